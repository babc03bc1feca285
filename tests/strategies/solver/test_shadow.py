from __future__ import annotations

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.solver import Problem, shadow_prices


def test_gains_equal_enumeration(problems):
    for problem, plans, rng in problems(600, seed=5):
        budget = int(rng.integers(plans.costs.min(), plans.costs.max() + 1))
        extra = int(rng.integers(0, plans.costs.max() + 2))
        shadow = shadow_prices(problem, budget, extra)
        assert shadow.base.score == pytest.approx(plans.best(budget), abs=1e-9)
        assert shadow.gain == pytest.approx(plans.best(budget + extra) - plans.best(budget), abs=1e-9)
        for i, gain in enumerate(shadow.layers):
            alike = (np.delete(plans.indices, i, 1) == np.delete(shadow.base.indices, i)).all(1)
            best = plans.scores[alike & (plans.costs <= budget + extra)].max()
            assert gain == pytest.approx(best - shadow.base.score, abs=1e-9)
            assert gain <= shadow.gain + 1e-9
            changed = shadow.base.indices.copy()
            changed[i] = shadow.choices[i]
            assert problem.solution(changed).cost <= budget + extra
            assert problem.solution(changed).score == pytest.approx(best, abs=1e-9)


def test_extra_below_zero_is_an_error():
    with pytest.raises(BankwiseError, match="extra -1"):
        shadow_prices(Problem((np.array([1]),), (np.array([1.0]),)), 1, -1)
