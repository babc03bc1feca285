from __future__ import annotations

import numpy as np

from bankwise.strategies.solver.dominance import efficient, undominated


def beats(costs, scores, a, b):
    no_worse = (costs[a] <= costs[b]).all() and scores[a] >= scores[b]
    better = (costs[a] < costs[b]).any() or scores[a] > scores[b]
    return no_worse and (better or a < b)


def test_kept_choices_are_those_that_no_other_beats():
    rng = np.random.default_rng(0)
    for r in (1, 2, 3):
        for _ in range(150):
            m = int(rng.integers(1, 12))
            costs, scores = rng.integers(0, 5, (m, r)), rng.integers(0, 5, m).astype(float)
            expected = [b for b in range(m) if not any(beats(costs, scores, a, b) for a in range(m) if a != b)]
            assert undominated(costs, scores).tolist() == expected
            if r == 1:
                kept = efficient(costs[:, 0], scores)
                assert sorted(kept.tolist()) == expected
                assert (np.diff(costs[kept, 0]) > 0).all() and (np.diff(scores[kept]) > 0).all()
