"""How much more of trained kernels than of random ones a bank captures, by the parts that its tile cuts a kernel into.

    python results/ablations/captures.py --data-root DATA        (about 3 minutes on 2 cores)

Float networks are trained, banks of many settings fitted to their hidden 3x3 layers and to Gaussian weights of the
same shapes; no child is trained. Writes captures.md. The slope that it prints is the `split` to which the fit of
results/bench is pulled.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from bankwise.search_space.budget import Budget
from bankwise.search_space.families import Choice
from bankwise.search_space.families.bank import BankChoice
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.sensitivity import captured
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from results.jobs import run_jobs

SETTINGS = {  # network, data, epochs
    "small@0.5 on CIFAR-10": ("small@0.5", "cifar10", 3),
    "small@0.5 on Fashion-MNIST": ("small@0.5", "fashion-mnist", 3),
    "vgg_small@0.1 on CIFAR-10": ("vgg_small@0.1", "cifar10", 5),
    "resnet20@0.5 on CIFAR-10": ("resnet20@0.5", "cifar10", 3),
}
IMAGES = 6000  # training images
FITTED = 8  # choices of a layer, family and tile, drawn at random
MOST_BANK = 0.3  # of the bits: a bank that holds more of them holds the weights themselves
FAMILIES = ("stacked", "sparse")
PARTS = (1, 3, 9)  # that a tile of 3x3, of 1x3 or 3x1, of 1x1 cuts a kernel into


def measure(network: str, data: str, epochs: int, root: str, cache: Path) -> dict:
    """{family: {parts: [log of captured share, trained less Gaussian]}}."""
    images = load_data(data, root=Path(root), limit=IMAGES)
    recipe = Recipe(epochs=epochs, batch=50, augment=False)
    task = make_task(network, images, recipe)
    train(task.network, images, recipe, checkpoint=cache / f"captures-{network}-{data}.pt")
    limits = Budget(task.shape.float_bytes)  # any: prices are not looked at
    space = BudgetedSpace(SearchSpace(task.shape, SpaceSettings(hidden=FAMILIES)), limits)
    rng = np.random.default_rng(0)
    found = {family: {str(parts): [] for parts in PARTS} for family in FAMILIES}
    for i, layer in list(enumerate(task.shape.layers))[1:-1]:
        if layer.kernel != (3, 3):
            continue
        weight = task.network.get_submodule(layer.name).weight.detach().reshape(layer.weight_shape)
        noise = torch.randn(layer.weight_shape, generator=torch.Generator().manual_seed(i))
        for family, parts in itertools.product(FAMILIES, PARTS):
            suited = [choice for choice in space.choices(i) if _suits(choice, family, parts, layer)]
            for j in rng.permutation(len(suited))[:FITTED]:
                trained, random = (captured(layer, suited[j], one) for one in (weight, noise))
                found[family][str(parts)].append(math.log(trained / random))
    return found


def _suits(choice: Choice, family: str, parts: int, layer: LayerShape) -> bool:
    """Of that family and tile, with a bank that holds less than MOST_BANK of the bits."""
    if choice.family != family or not isinstance(choice, BankChoice) or 9 // math.prod(choice.tile) != parts:
        return False
    bank, indices = (part.total_bits for part in choice.parts(layer)[:2])
    return bank <= MOST_BANK * (bank + indices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/ablations")
    options = parser.parse_args()
    cache = Path(options.cache)
    jobs = [
        (f"captures-{setting.replace(' ', '-')}", (*given, options.data_root, cache))
        for setting, given in SETTINGS.items()
    ]
    results = dict(zip(SETTINGS, run_jobs(measure, jobs, cache).values(), strict=True))
    heads = ("float network", "family", "3x3", "1x3 and 3x1", "1x1", "slope")
    lines, slopes = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"], []
    for setting, found in results.items():
        for family, rows in found.items():
            means = [statistics.fmean(rows[str(parts)]) for parts in PARTS]
            slopes.append(-np.polyfit(np.log(PARTS), means, 1)[0])
            cells = [f"{mean:+.2f} ({len(rows[str(parts)])})" for mean, parts in zip(means, PARTS, strict=True)]
            lines.append(f"| {' | '.join([setting, family, *cells, f'{slopes[-1]:.2f}'])} |")
    lines.append(f"| mean | | | | | {statistics.fmean(slopes):.2f} ± {statistics.stdev(slopes):.2f} |")
    table = "\n".join(lines) + "\n"
    (Path(__file__).resolve().parent / "captures.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
