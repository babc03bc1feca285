"""What a budget leaves: how much of it a plan does not take, and what would use more."""

from __future__ import annotations

import dataclasses

from bankwise.search_space.accounting import Accounting
from bankwise.search_space.settings import USUAL
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace

SHARE = 0.01  # of a budget that is left without a word


def most_bytes(space: SearchSpace, accounting: Accounting) -> int:
    """What the dearest plan of the space takes."""
    rows = accounting.table(space.prices)
    return accounting.in_bytes(accounting.fixed(space.prices) + sum(int(row.max()) for row in rows))


def unspent(limited: BudgetedSpace, taken: int) -> str | None:
    """A line on what a plan of `taken` bytes leaves of the budget; None where that is next to nothing."""
    budget, accounting, space = limited.budget.bytes, limited.accounting, limited.space
    if budget - taken <= SHARE * budget:
        return None
    said = f"{budget - taken:,} of the budget's {budget:,} bytes are left: "
    most = most_bytes(space, accounting)
    if most > taken + SHARE * budget:
        return said + f"plans of up to {min(most, budget):,} bytes are there, but none within the limits scored better"
    said += f"no plan takes more than {most:,}"
    for _, kinds in USUAL:
        wider = SearchSpace(space.shape, dataclasses.replace(space.settings, hidden=kinds))
        size = most_bytes(wider, accounting)
        if size > most and (size >= budget or kinds == USUAL[-1][1]):
            return f"{said}; --hidden {','.join(kinds)} would use up to {size:,}"
    return f"{said}, which is the largest budget of use"
