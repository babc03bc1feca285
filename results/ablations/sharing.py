"""What a bank that several layers share would be worth: by the closed form, exactly solved, without any training.

    python results/ablations/sharing.py        (about 5 minutes of one core)

Layers whose stacked filters have one slot shape may take the first k filters of one bank of K, which is paid for once.
For every slot shape and every K up to the space's largest bank the rest is the usual exact problem, in which layers may
also take stacked filters that would not pay with a bank of their own: of the best plan with such a bank and the
best plan without, the table gives the closed form's captured share, and by how much the budget of the latter would
have to be larger to capture as much. Writes sharing.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import InfeasibleBudget
from bankwise.search_space.families import Choice
from bankwise.search_space.families.bank import slot_sizes
from bankwise.search_space.families.stacked import Stacked
from bankwise.search_space.limits import Limits
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.trace import shape_of
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.scores import mean_capture, total, weighted_capture
from bankwise.strategies.solver import Problem, Solution, solve

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
ROWS = (
    ("small@0.25", GREY, 1500),
    ("small@0.5", COLOUR, 4096),
    ("small", COLOUR, 4096),
    ("small", COLOUR, 11_400),
    ("small@2", COLOUR, 16_384),
    ("resnet8", COLOUR, 4096),
    ("resnet20", COLOUR, 8192),
    ("resnet20", COLOUR, 16_384),
    ("mobilenet_v1@0.25", COLOUR, 8192),
)


def spaced(shape: NetworkShape, size: int, settings: SpaceSettings) -> BudgetedSpace:
    return BudgetedSpace.of(shape, settings, Limits(Budget(size)))


def bank_bytes(choice: Stacked) -> int:
    """Of the file: its part begins on a byte."""
    return -(-choice.k * choice.dimension // 8)


def banks_of(layer: LayerShape, settings: SpaceSettings) -> list[Stacked]:
    """Every bank of 2, 4, 8, ... filters that the layer can use, whether it pays there or not."""
    found = []
    for s, tile in slot_sizes(layer, settings):
        slot = s * tile[0] * tile[1]
        most = min(settings.max_k, 2 ** min(slot, 62), layer.weights // slot)
        found += [Stacked(2**i, s, tile) for i in range(1, most.bit_length())]
    return found


def richer(space: BudgetedSpace) -> BudgetedSpace:
    """With every bank for every layer that may have one, with each storage of vectors that the layer has already."""
    shape, settings, rows = space.space.shape, space.space.settings, []
    for layer, row in zip(shape.layers, space.space.choices, strict=True):
        stacked = [choice for choice in row if isinstance(choice, Stacked)]
        ways = dict.fromkeys(choice.vectors for choice in stacked)
        more = [replace(bank, vectors=way) for bank in banks_of(layer, settings) for way in ways]
        rows.append([*row, *(choice for choice in more if choice not in set(stacked))])
    return BudgetedSpace(space.space.offering(rows), space.limits)


def shared(space: BudgetedSpace) -> tuple[Solution, Stacked] | None:
    """The best plan with one shared bank, and that bank; its costs are without the bank where a layer uses it."""
    scores = weighted_capture(space)
    offered = [choice for i in range(len(space.costs)) for choice in space.choices(i) if isinstance(choice, Stacked)]
    best: tuple[Solution, Stacked] | None = None
    for bank in {(one.k, one.s, one.tile): one for one in offered}.values():
        costs = tuple(
            row - [bank_bytes(choice) if takes(choice, bank) else 0 for choice in space.choices(i)]
            for i, row in enumerate(space.costs)
        )
        try:
            found = solve(Problem(costs, tuple(scores), space.space.names), space.capacity - bank_bytes(bank))
        except InfeasibleBudget:
            continue
        if best is None or found.score > best[0].score:
            best = found, bank
    return best


def takes(choice: Choice, bank: Stacked) -> bool:
    """Whether a layer's choice can be the first filters of the bank."""
    return isinstance(choice, Stacked) and (choice.s, choice.tile) == (bank.s, bank.tile) and choice.k <= bank.k


def as_much(shape: NetworkShape, settings: SpaceSettings, size: int, score: float) -> int:
    """The smallest budget in bytes, to 8, of which the best plan without a shared bank scores as much."""
    low, high = size, 2 * size
    while high - low > 8:
        middle = (low + high) // 2
        space = spaced(shape, middle, settings)
        scores = weighted_capture(space)
        low, high = (low, middle) if total(scores, space.solve(scores)) >= score else (middle, high)
    return high


def line(network: str, images: tuple[int, int, int], size: int) -> str:
    shape = shape_of(network, images, 10)
    settings = SpaceSettings().within(size, shape)
    space = spaced(shape, size, settings)
    scores = weighted_capture(space)
    alone = total(scores, space.solve(scores))
    rich = richer(space)
    with_bank = shared(rich)
    if with_bank is None or with_bank[0].score <= alone:
        return f"| {network} | {size:,} | {mean_capture(space, alone):.3f} | - | 0 | none | +0.0 % |"
    found, bank = with_bank
    users = sum(takes(rich.choices(i)[choice], bank) for i, choice in enumerate(found.indices))
    more = as_much(shape, settings, size, found.score) / size - 1
    return (
        f"| {network} | {size:,} | {mean_capture(space, alone):.3f} | {mean_capture(space, found.score):.3f} | {users} "
        f"| {bank.label()} | +{100 * more:.1f} % |"
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    heads = ("network", "bytes", "captured", "with a shared bank", "layers that take it", "bank", "worth, in bytes")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in ROWS:
        lines.append(line(*row))
        print(lines[-1], flush=True)
    (Path(__file__).parent / "sharing.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
