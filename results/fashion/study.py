"""Fashion-MNIST at 1, 2 and 4 KiB: searched plans beside what a user would pick instead, at equal bytes.

    python results/fashion/study.py --data-root DATA        (about 30 minutes on 2 cores)

Writes table.md, accuracy.png, results.json and the searched plans.
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

RECIPE = Recipe(epochs=4)
ALL = ("stacked", "sparse", "composite", "binary", "int4", "int8")
SEARCH = SearchSettings(
    trials=12,
    uniform_trials=2,
    finalists=2,
    finalist_seeds=2,
    seeds=3,
    trial_epochs=2,
    recipe=RECIPE,
    widths=(0.25, 0.375, 0.5, 0.75, 1.0),
    architecture_epochs=4,
    space=SpaceSettings(hidden=ALL),
)

STUDY = Study(
    network="small",
    data="fashion-mnist",
    images=6000,
    validation=1 / 2,
    budgets=(1, 2, 4),
    recipe=RECIPE,
    searches={"searched": SEARCH},
    methods=(
        "uniform-stacked", "tiled", "subbit", "bwn", "int4",
        "narrower-1-bit", "narrower-4-bit", "narrower-8-bit",
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/fashion")
    options = parser.parse_args()
    write(STUDY, options.data_root, Path(options.cache), Path(__file__).resolve().parent)


if __name__ == "__main__":
    main()
