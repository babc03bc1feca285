"""From what a one-shot search has learned to one plan within the budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding

LEAST = 1e-300  # for the logarithm of a probability that float32 rounds to 0


def most_probable(
    space: BudgetedSpace, probabilities: Mapping[str, Mapping[str, float] | Iterable[float]]
) -> dict[str, str]:
    """The plan of largest probability within the budget, as a sample: exact.

    `probabilities[name]` are those of the layer's choices, by code (as NNI exports them) or in the space's order.
    Where every layer's most probable choice fits the budget, these are the plan.
    """
    points, rows = PlanEncoding(space), []
    for name, codes in points.codes.items():
        given = probabilities[name]
        shares = [given[code] for code in codes] if isinstance(given, Mapping) else given
        row = np.array([share.item() if isinstance(share, torch.Tensor) else float(share) for share in shares])
        if row.shape != (len(codes),) or not np.isfinite(row).all():
            raise BankwiseError(f"layer {name!r}: probabilities {row.tolist()}: need {len(codes)} finite numbers")
        rows.append(row)
    wish = np.array([int(row.argmax()) for row in rows])
    return points.encode(wish if space.fits(wish) else space.solve([np.log(np.maximum(row, LEAST)) for row in rows]))
