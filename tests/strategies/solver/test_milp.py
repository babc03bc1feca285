from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies.solver import Problem, milp, solve, solve_many


def test_optimum_equals_enumeration_and_infeasible_is_seen(problems, plans_of):
    infeasible = 0
    for i, (first, _, rng) in enumerate(problems(400, seed=2, layers=4, choices=4)):
        r = 1 + i % 3
        costs = tuple(np.column_stack([c] + [rng.integers(0, 99, len(c)) for _ in range(r - 1)]) for c in first.costs)
        problem = Problem(costs, first.scores)
        plans = plans_of(problem)
        budgets = [
            int(rng.integers(low, high + 1)) for low, high in zip(plans.costs.min(0), plans.costs.max(0), strict=True)
        ]
        fits = (plans.costs <= budgets).all(1)
        if not fits.any():
            infeasible += 1
            with pytest.raises(InfeasibleBudget, match=f"all {r} budgets"):
                solve_many(problem, budgets)
            continue
        solution = solve_many(problem, budgets)
        picked = np.stack([c[i] for c, i in zip(costs, solution.indices, strict=True)]).sum(0)
        assert (picked <= budgets).all() and picked[0] == solution.cost
        assert solution.score == pytest.approx(plans.scores[fits].max(), abs=1e-7)
    assert infeasible > 5


def test_one_budget_agrees_with_the_programme(large):
    problem = large(1, layers=12, choices=40)
    assert solve_many(problem, [40_000]).score == pytest.approx(solve(problem, 40_000).score, rel=1e-9)


def test_impossible_and_miscounted_budgets_say_which():
    problem = Problem((np.array([[1, 50], [9, 3]]),), (np.array([0.0, 1.0]),), ("stem",))
    with pytest.raises(InfeasibleBudget, match=r"budget 2 of 2: the cheapest needs 3, given 2; .*stem: 3"):
        solve_many(problem, [9, 2])
    with pytest.raises(InfeasibleBudget, match=r"all 2 budgets \[8, 10\] at once"):
        solve_many(problem, [8, 10])
    with pytest.raises(BankwiseError, match="1 budgets for 2 costs"):
        solve_many(problem, [9])
    with pytest.raises(BankwiseError, match="whole number"):
        solve_many(problem, [9, 2.5])


@pytest.mark.parametrize("bits", [44, 47, 50])
def test_costs_of_up_to_2_to_the_50_are_solved_exactly(bits, plans_of):
    rng = np.random.default_rng(bits)
    infeasible = 0
    for _ in range(60):
        costs = tuple(np.column_stack([rng.integers(1, 2**e, 5) for e in (9, bits)]) for _ in range(4))
        problem = Problem(costs, tuple(rng.random(5) for _ in costs))
        plans = plans_of(problem)
        budgets = [int(total * rng.uniform(0.5, 1.4)) for total in plans.costs.mean(0)]
        fits = (plans.costs <= budgets).all(1)
        if not fits.any():
            infeasible += 1
            with pytest.raises(InfeasibleBudget):
                solve_many(problem, budgets)
            continue
        assert solve_many(problem, budgets).score == pytest.approx(plans.scores[fits].max(), abs=1e-9)
    assert infeasible < 20


def test_a_budget_without_bound_is_no_bound():
    problem = Problem((np.array([[1, 50], [9, 3]]),), (np.array([0.0, 1.0]),))
    assert solve_many(problem, [9, 10**30]).indices.tolist() == [1]


def test_costs_that_floats_do_not_hold_are_refused():
    problem = Problem((np.array([[1, 2**52]]), np.array([[1, 2**52]])), (np.zeros(1), np.zeros(1)))
    with pytest.raises(BankwiseError, match=r"costs 9,007,199,254,740,992 of budget 2: need less than 2\^53"):
        solve_many(problem, [9, 2**60])


def test_where_highs_fails_it_is_tried_without_its_presolve(monkeypatch: pytest.MonkeyPatch):
    real, tried = milp.milp, []

    def failing(*arguments, options, **rest):
        tried.append(options["presolve"])
        if options["presolve"]:
            return SimpleNamespace(status=4, message="Status 4: Solve error")
        return real(*arguments, options=options, **rest)

    monkeypatch.setattr(milp, "milp", failing)
    problem = Problem((np.array([[1, 3], [9, 5]]),), (np.array([0.0, 1.0]),))
    assert (solve_many(problem, [9, 5]).indices.tolist(), tried) == ([1], [True, False])
    monkeypatch.setattr(milp, "milp", lambda *_, **__: SimpleNamespace(status=4, message="Status 4: Solve error"))
    with pytest.raises(BankwiseError, match="HiGHS did not finish: Status 4"):
        solve_many(problem, [9, 5])


def test_what_highs_prints_is_not_on_stdout(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    real = milp.milp

    def printing(*arguments, **options):
        ctypes.CDLL(None).printf(b"HighsMipSolverData::transformNewIntegerFeasibleSolution tmpSolver.run();\n")
        return real(*arguments, **options)

    monkeypatch.setattr(milp, "milp", printing)
    ctypes.CDLL(None).printf(b"before\n")
    solve_many(Problem((np.array([[1, 3], [9, 5]]),), (np.array([0.0, 1.0]),)), [9, 5])
    ctypes.CDLL(None).printf(b"after\n")
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"
