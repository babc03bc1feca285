"""NNI's samples (a dict from label to value) as plans, and back.

The label of a layer is its name in the network; the value is the code of its choice, such as S32.4.3x3. A sample may
hold other labels besides, such as those of an evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search_space.errors import BankwiseError, unknown
from search_space.plan import Plan
from strategies.budgeted import BudgetedSpace
from strategies.frontier import frontier
from strategies.scores import log_capture


def codes_of(space: BudgetedSpace) -> dict[str, list[str]]:
    """The codes of every layer's choices, in the order of the space."""
    return {name: [choice.code() for choice in space.choices(i)] for i, name in enumerate(space.space.names)}


def to_indices(space: BudgetedSpace, sample: Mapping[str, object]) -> np.ndarray:
    """The sample's place in the space, (layers,)."""
    found = []
    for name, codes in codes_of(space).items():
        if name not in sample:
            raise BankwiseError(f"the sample has no choice for layer {name!r}; it has: {', '.join(map(str, sample))}")
        if sample[name] not in codes:
            raise unknown(f"choice of layer {name!r}", sample[name], codes)
        found.append(codes.index(sample[name]))
    return np.array(found)


def to_sample(space: BudgetedSpace, indices: Sequence[int]) -> dict[str, str]:
    return {
        name: space.choices(i)[index].code()
        for i, (name, index) in enumerate(zip(space.space.names, indices, strict=True))
    }


def to_plan(space: BudgetedSpace, sample: Mapping[str, object]) -> Plan:
    """The plan of exactly this sample, over the budget or not."""
    return space.plan(to_indices(space, sample))


def project(space: BudgetedSpace, sample: Mapping[str, object]) -> dict[str, object]:
    """The sample nearest to this one within the budget; one within it comes back unchanged."""
    return {**sample, **to_sample(space, space.project(to_indices(space, sample)))}


def cut(space: BudgetedSpace, most: int) -> BudgetedSpace:
    """The space of about `most` efficient choices a layer: those no other beats in cost and closed-form score, spread
    over the costs, and that of the best plan by those scores, so that some plan is always within all limits."""
    scores = log_capture(space)
    best = space.solve(scores)
    kept = [np.union1d(row, i) for row, i in zip(frontier(space, scores, most), best, strict=True)]
    chosen = space.space.cut([allowed[row] for allowed, row in zip(space.allowed, kept, strict=True)])
    return BudgetedSpace(chosen, space.budget, max_ops=space.max_ops)
