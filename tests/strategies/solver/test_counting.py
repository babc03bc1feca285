from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from bankwise.search_space.errors import InfeasibleBudget
from bankwise.strategies.solver import FeasibleSampler, Problem, counting


def chi_square(problem, plans, sampler, budget, seed, draws):
    """The p-value of `draws` plans against the uniform distribution over the feasible ones."""
    feasible = {tuple(row): i for i, row in enumerate(plans.indices[plans.costs <= budget].tolist())}
    rng = np.random.default_rng(seed)
    seen = np.bincount([feasible[tuple(sampler.sample(rng))] for _ in range(draws)], minlength=len(feasible))
    return chisquare(seen).pvalue


def test_count_equals_enumeration(problems):
    for problem, plans, rng in problems(500, seed=6):
        budget = int(rng.integers(plans.costs.min(), plans.costs.max() + 2))
        sampler = FeasibleSampler(problem, budget)
        assert type(sampler.count) is int and sampler.exact
        assert sampler.count == (plans.costs <= budget).sum()


def test_draws_are_uniform(problems):
    values = []
    for i, (problem, plans, _) in enumerate(problems(40, seed=7, layers=4, choices=4)):
        budget = int(np.median(plans.costs))
        if 1 < (plans.costs <= budget).sum() <= 60:
            values.append(chi_square(problem, plans, FeasibleSampler(problem, budget), budget, i, 1500))
    assert len(values) > 15
    assert min(values) > 1e-4 and np.mean(values) == pytest.approx(0.5, abs=0.2)


def test_coarse_tables_stay_uniform_and_within_the_budget(problems, monkeypatch):
    monkeypatch.setattr(counting, "CELLS", 400)
    values = []
    for i, (problem, plans, _) in enumerate(problems(60, seed=8, layers=4, choices=4)):
        budget = int(np.median(plans.costs))
        sampler = FeasibleSampler(problem, budget)
        if not sampler.exact and 1 < (plans.costs <= budget).sum() <= 60:
            assert sampler.count >= (plans.costs <= budget).sum()
            values.append(chi_square(problem, plans, sampler, budget, i, 1500))
    assert len(values) > 8
    assert min(values) > 1e-4


def test_counts_beyond_the_range_of_floats_are_right():
    """400 layers of 90 free choices: 90^400 plans; and with a budget of one costly choice, n + 1 plans of n layers."""
    free = Problem((np.zeros(90, int),) * 400, (np.zeros(90),) * 400)
    sampler = FeasibleSampler(free, 0)
    assert abs(sampler.count * 10**12 // 90**400 - 10**12) <= 10
    draws = np.stack([sampler.sample(np.random.default_rng(seed)) for seed in range(20)])
    assert chisquare(np.bincount(draws.ravel(), minlength=90)).pvalue > 1e-4
    pair = Problem((np.array([7, 10]),) * 1000, (np.zeros(2),) * 1000)
    assert FeasibleSampler(pair, 7005).count == 1001


def test_large_draws_fit_repeat_by_seed_and_spend_most_of_a_tight_budget(large):
    problem = large(3)
    budget = sum(int(row.min()) for row in problem.costs) + 20_000
    sampler = FeasibleSampler(problem, budget)
    draws = [sampler.sample(np.random.default_rng(seed)) for seed in range(50)]
    costs = [problem.solution(indices).cost for indices in draws]
    assert max(costs) <= budget
    assert np.mean(costs) > 0.9 * budget  # most plans are near the limit
    again = [sampler.sample(np.random.default_rng(seed)) for seed in range(50)]
    assert np.array_equal(draws, again)


def test_infeasible():
    with pytest.raises(InfeasibleBudget, match="needs 5 bytes, given 4 bytes"):
        FeasibleSampler(Problem((np.array([5, 9]),), (np.zeros(2),)), 4)
