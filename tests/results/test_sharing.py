"""A shared bank's worth, against all plans of a small space."""

from __future__ import annotations

import itertools

from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.trace import shape_of
from bankwise.strategies.scores import total, weighted_capture
from results.ablations.sharing import bank_bytes, richer, shared, spaced, takes


def test_the_best_plan_with_a_shared_bank_is_that_of_all_plans():
    """Every combination of a bank and choices is priced by hand: the bank once, the file's bytes without the banks of
    those that take it."""
    shape = shape_of("tiny", (1, 8, 8), 10)
    settings = SpaceSettings(hidden=("stacked",), first=("int4",), last=("binary",), tiles=((3, 3),), max_k=8)
    space = richer(spaced(shape, 600, settings))
    scores = weighted_capture(space)
    rows = [space.choices(i) for i in range(len(space.costs))]
    banks = {choice.bare for row in rows for choice in row if choice.family == "stacked"}
    best = None
    for plan in itertools.product(*(range(len(row)) for row in rows)):
        chosen = [row[i] for row, i in zip(rows, plan, strict=True)]
        score = total(scores, plan)
        for bank in banks:
            saved = sum(bank_bytes(choice) for choice in chosen if takes(choice, bank))
            if space.cost(plan) - saved + bank_bytes(bank) <= 600 and (best is None or score > best):
                best = score
    found = shared(space)
    assert found is not None and best is not None and abs(found[0].score - best) < 1e-9
    plain = total(scores, space.solve(scores))
    assert found[0].score > plain, "here a shared bank pays"
