"""CIFAR-10 at 8, 16, 32 and 64 KiB: searched plans of a network beside what a user would pick instead.

    python results/cifar10/study.py resnet20 --data-root DATA         (about 1 hour on 2 cores)
    python results/cifar10/study.py vgg_small --data-root DATA        (about 70 minutes)

Writes table.md, accuracy.png, results.json and the searched plans to the network's folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.space import SpaceSettings
from bankwise.searching import SearchSettings
from bankwise.trainers.recipe import Recipe
from results.equal_bytes import Study, write

# On 6,000 images, two epochs in batches of 50 without crops and flips trained resnet20@0.5 best of what was tried.
EPOCHS = {"resnet20": 2, "vgg_small": 5}
TRIAL_EPOCHS = {"resnet20": 1, "vgg_small": 2}
WIDTH_EPOCHS = {"resnet20": 1, "vgg_small": 5}
ALL = ("stacked", "sparse", "composite", "binary", "int4", "int8")
# A CPU has no time for more.
WIDTHS = {"resnet20": (0.5, 1.0), "vgg_small": (0.1, 0.14, 0.1875)}
IMAGES = {"resnet20": 5000, "vgg_small": 5000}
VALIDATION = {"resnet20": 1 / 6, "vgg_small": 1 / 2}  # share of the images; more of them rank trials better


def study(network: str) -> Study:
    widths = WIDTHS[network]
    recipe = Recipe(epochs=EPOCHS[network], batch=50, augment=False)
    settings = SearchSettings(
        trials=8,
        uniform_trials=1,
        finalists=1,
        seeds=3,
        trial_epochs=TRIAL_EPOCHS[network],
        recipe=recipe,
        widths=widths,
        width_epochs=WIDTH_EPOCHS[network],
        space=SpaceSettings(hidden=ALL),
    )
    return Study(
        network=network,
        data="cifar10",
        images=IMAGES[network],
        budgets=(8, 16, 32, 64),
        recipe=recipe,
        searches={"searched": settings},
        methods=(
            "uniform-stacked", "tiled", "bwn", "int4", "int8", "narrower-1-bit", "narrower-4-bit", "narrower-8-bit",
        ),
        widest=network if max(widths) == 1 else f"{network}@{max(widths):g}",
        validation=VALIDATION[network],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=WIDTHS)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/cifar10")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent / options.network
    folder.mkdir(exist_ok=True)
    write(study(options.network), options.data_root, Path(options.cache) / options.network, folder)


if __name__ == "__main__":
    main()
