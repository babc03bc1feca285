"""What else could be done with the same bytes: the plan of a method by its name, for a network and a size of file.

full             the float32 network
bwn              signs with a scale a filter (Rastegari et al. 2016)
tiled            one binary tile a layer, repeated, the same p everywhere (Gorbett et al. 2024)
subbit           3x3 kernels of a learned set, the same tau everywhere, other layers binary (Wang et al. 2021)
uniform-stacked  banks of stacked filters with one setting for all layers (Lan & Lan 2021)
int8, int4       integers with a scale a filter
narrower-B-bit   the same network made narrower until it fits with weights of B = 1, 4 or 8 bits

Where a method leaves several plans, it takes the uniform one that fits and is best in closed form. The first and the
last layer follow the method or take one of `ends`, as for a searched plan; in a narrower network they take one of
`ends`, and the width comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import InfeasibleBudget, unknown
from bankwise.search_space.networks import at_width
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import VECTORS_USUAL, SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.uniform import Uniform

ENDS = ("binary", "int4", "int8")
WIDTHS = 100  # steps of 0.01


@dataclass(frozen=True)
class Baseline:
    """`plan` is to be trained on the network that `plan.network` names; its file takes `file_bytes`."""

    method: str
    plan: Plan
    file_bytes: int


@dataclass(frozen=True)
class _Method:
    """`kinds` of the hidden layers (`whole`: of the ends too); `family`: what the plan must have among them, if any."""

    kinds: tuple[str, ...]
    family: str | None = None
    narrow: bool = False
    whole: bool = False


_METHODS = {
    "full": _Method(("float32",), whole=True),
    "bwn": _Method(("binary",)),
    "tiled": _Method(("tiled",), "tiled"),
    "subbit": _Method(("subbit", "binary"), "subbit"),
    "uniform-stacked": _Method(("stacked", "binary"), "stacked"),
    "int8": _Method(("int8",)),
    "int4": _Method(("int4",)),
    "narrower-1-bit": _Method(("binary",), narrow=True),
    "narrower-4-bit": _Method(("int4",), narrow=True),
    "narrower-8-bit": _Method(("int8",), narrow=True),
}
METHODS = tuple(_METHODS)


def baseline(
    method: str,
    network: str,
    input_shape: tuple[int, int, int],
    classes: int,
    budget: int,
    ends: Sequence[str] = ENDS,
    keep: tuple[str, ...] = (),
) -> Baseline | None:
    """The method's plan for files of at most `budget` bytes, or None where it cannot be that small.

    `network` is a reference as `bankwise.search_space.networks.build` takes it. BankwiseError where the method or the
    network is unknown, or narrower versions are asked of one that comes in a single width.
    """
    if method not in _METHODS:
        raise unknown("baseline", method, METHODS)
    how = _METHODS[method]
    sides = how.kinds if how.whole else tuple(ends) if how.narrow else (*how.kinds, *ends)
    bits, vectors = (32, ()) if how.whole else (8, VECTORS_USUAL)
    settings = SpaceSettings(how.kinds, sides, sides, keep=keep, vector_bits=bits, vectors=vectors)
    reference = _widest(network, input_shape, classes, budget, settings) if how.narrow else network
    if reference is None:
        return None
    shape = _shape(reference, input_shape, classes, keep)
    try:
        strategy = Uniform(BudgetedSpace(SearchSpace(shape, settings), Budget(budget)))
    except InfeasibleBudget:
        return None
    for indices in strategy.ranked:
        plan = strategy.space.plan(indices)
        choices = list(plan.layers.values())
        if how.family is None or how.family in {choice.family for choice in choices[1:-1] or choices}:
            return Baseline(method, plan, price(shape, plan).file_bytes)
    return None


def _widest(
    network: str, input_shape: tuple[int, int, int], classes: int, budget: int, settings: SpaceSettings
) -> str | None:
    """The widest version up to the network itself whose smallest file fits, found by bisection."""

    def references(step: int) -> str:
        return at_width(network, step / WIDTHS)

    def least(step: int) -> int:
        prices = SearchSpace(_shape(references(step), input_shape, classes, settings.keep), settings).prices
        return prices.fixed_file_bytes + sum(int(row.min()) for row in prices.file_bytes)

    low, high = 0, WIDTHS  # without the reference's own letters in the header, bytes never fall with the width
    while low < high:
        middle = (low + high + 1) // 2
        if least(middle) - len(references(middle)) + len(network) <= budget:
            low = middle
        else:
            high = middle - 1
    return next((references(step) for step in range(low, 0, -1) if least(step) <= budget), None)


_shape = lru_cache(maxsize=256)(shape_of)
