from __future__ import annotations

import numpy as np

from strategies.frontier import LEAST, frontier, scatter
from strategies.portfolio import families
from strategies.scores import log_capture


def test_frontier_is_what_no_choice_beats(space):
    scores = log_capture(space)
    for costs, row, kept in zip(space.costs, scores, frontier(space, scores), strict=True):
        beaten = [
            i for i in range(len(row))
            if any(costs[j] <= costs[i] and row[j] >= row[i] and (costs[j], row[j]) != (costs[i], row[i])
                   for j in range(len(row)))
        ]  # fmt: skip
        assert not set(kept) & set(beaten)
        pairs = {(int(costs[i]), float(row[i])) for i in range(len(row)) if i not in beaten}
        assert {(int(costs[i]), float(row[i])) for i in kept} == pairs


def test_groups_are_compared_apart(space):
    scores = log_capture(space)
    groups = families(space)
    for costs, row, names, kept in zip(space.costs, scores, groups, frontier(space, scores, apart=groups), strict=True):
        for i in range(len(row)):
            rivals = [j for j in range(len(row)) if names[j] == names[i] and j != i]
            beaten = any(
                costs[j] <= costs[i] and row[j] >= row[i] and (costs[j], row[j]) != (costs[i], row[i]) for j in rivals
            )
            twin = any((costs[j], row[j]) == (costs[i], row[i]) and j in kept for j in rivals)
            assert (i in kept) == (not beaten and not twin)
        assert (np.diff(costs[kept]) >= 0).all()


def test_a_cut_frontier_keeps_both_ends(space):
    scores = log_capture(space)
    whole, cut = frontier(space, scores), frontier(space, scores, 5)
    for full, part in zip(whole, cut, strict=True):
        assert len(part) == min(5, len(full)) and set(part) <= set(full)
        assert part[0] == full[0] and part[-1] == full[-1]


def test_scatter():
    (row,) = scatter((4,), [np.array([1, 3])], [np.array([0.5, 0.25])])
    assert row.tolist() == [LEAST, 0.5, LEAST, 0.25]
