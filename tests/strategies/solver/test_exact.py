from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.strategies.solver import Problem, pareto, solve, solve_many
from bankwise.strategies.solver.exact import Reduced


def test_optimum_and_tie_break_equal_enumeration(problems):
    for problem, plans, rng in problems(2500, seed=0):
        budget = int(rng.integers(plans.costs.min(), plans.costs.max() + 2))
        solution = solve(problem, budget)
        assert solution.score == pytest.approx(plans.best(budget), abs=1e-9)
        assert solution.cost == plans.cheapest(budget) <= budget
        assert solution.cost == sum(int(c[i]) for c, i in zip(problem.costs, solution.indices, strict=True))
        assert solution.score == math.fsum(s[i] for s, i in zip(problem.scores, solution.indices, strict=True))


def test_optimum_equals_highs_on_large_problems(large):
    for seed in range(3):
        problem = large(seed)
        reduced = Reduced(problem)
        for share in (0.01, 0.2):
            budget = int(reduced.least + share * (reduced.most - reduced.least))
            solution = solve(problem, budget)
            assert solution.cost <= budget
            assert solution.score == pytest.approx(solve_many(problem, [budget]).score, rel=1e-9)


def test_narrow_memory_finds_the_same_plans(problems, large, monkeypatch):
    """History that was forgotten is found again."""
    cases = [(problem, int(np.median(plans.costs))) for problem, plans, _ in problems(300, seed=1)]
    cases += [(large(seed, layers=8, choices=30, kind=kind), 30_000) for seed in range(4) for kind in ("log", "equal")]
    cases = [(problem, max(budget, Reduced(problem).least)) for problem, budget in cases]
    roomy = [solve(problem, budget) for problem, budget in cases]
    monkeypatch.setattr(pareto, "HISTORY", 3)
    for (problem, budget), expected in zip(cases, roomy, strict=True):
        again = solve(problem, budget)
        assert again.cost <= budget
        assert again.score == pytest.approx(expected.score, abs=1e-9)


def test_unreachable_budget_of_score_equal_cost_is_proved():
    """All but one layer cost multiples of 16, so no sum is 7 over one, which no relaxation sees."""
    rng = np.random.default_rng(3)
    costs = [16 * rng.integers(0, 1500, 30) for _ in range(8)]
    costs[0] = costs[0] + rng.integers(0, 2, 30)
    problem = Problem(tuple(costs), tuple(row.astype(float) for row in costs))
    reachable = np.zeros(60_008, bool)
    reachable[0] = True
    for row in costs:
        shifted = np.zeros_like(reachable)
        for cost in row:
            shifted[cost:] |= reachable[: len(reachable) - cost]
        reachable = shifted
    assert solve(problem, 60_007).cost == int(np.flatnonzero(reachable).max()) == 60_001


def test_same_problem_same_plan(large):
    problem = large(5)
    plans = {tuple(solve(problem, 60_000).indices) for _ in range(3)}
    assert len(plans) == 1


def test_reordered_layers_give_the_same_score(large):
    problem = large(6)
    turned = Problem(problem.costs[::-1], problem.scores[::-1])
    assert solve(turned, 50_000).score == pytest.approx(solve(problem, 50_000).score, rel=1e-12)


layer = st.lists(
    st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)),
    min_size=1,
    max_size=6,
)


@given(st.lists(layer, min_size=1, max_size=6), st.floats(0, 1.1))
def test_never_over_budget_and_never_below_the_cheapest_plan(layers, share):
    costs = tuple(np.array([c for c, _ in row]) for row in layers)
    scores = tuple(np.array([s for _, s in row]) for row in layers)
    least, most = sum(int(c.min()) for c in costs), sum(int(c.max()) for c in costs)
    budget = least + int(share * (most - least))
    solution = solve(Problem(costs, scores), budget)
    assert sum(int(c[i]) for c, i in zip(costs, solution.indices, strict=True)) == solution.cost <= budget
    assert solution.score >= math.fsum(s[c == c.min()].max() for c, s in zip(costs, scores, strict=True)) - 1e-6
