"""Small random problems of several kinds, and the enumeration of all their plans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from bankwise.strategies.solver import Problem


@dataclass(frozen=True)
class Plans:
    """Every plan of a problem: costs (plans,) or (plans, r), scores (plans,), indices (plans, layers)."""

    costs: np.ndarray
    scores: np.ndarray
    indices: np.ndarray

    def best(self, budget: int) -> float:
        return float(self.scores[self.costs <= budget].max())

    def cheapest(self, budget: int) -> int:
        """The least cost of a plan as good as the best."""
        good = (self.costs <= budget) & (self.scores >= self.best(budget) - 1e-11)
        return int(self.costs[good].min())


def enumerate_plans(problem: Problem) -> Plans:
    indices = np.indices([len(row) for row in problem.scores]).reshape(len(problem.scores), -1).T
    costs = sum(row[column] for row, column in zip(problem.costs, indices.T, strict=True))
    scores = sum(row[column] for row, column in zip(problem.scores, indices.T, strict=True))
    return Plans(costs, scores, indices)


def random_problem(rng: np.random.Generator, kind: int, layers: int = 5, choices: int = 5) -> Problem:
    """Kind 0: random, 1: few score values, 2: score = cost, 3: score near cost, 4: log of cost with outcasts."""
    sizes = rng.integers(1, choices + 1, rng.integers(1, layers + 1))
    largest = int(rng.choice([3, 10, 1000, 100_000]))
    costs = [rng.integers(0, largest, m) for m in sizes]
    make: Callable[[np.ndarray], np.ndarray] = {
        0: lambda c: rng.random(len(c)) - 0.5,
        1: lambda c: rng.integers(0, 4, len(c)).astype(float),
        2: lambda c: c.astype(float),
        3: lambda c: c + rng.integers(0, 3, len(c)).astype(float),
        4: lambda c: np.log1p(c) + rng.normal(0, 0.01, len(c)) - 1e3 * (rng.random(len(c)) < 0.2),
    }[kind]
    return Problem(tuple(costs), tuple(make(c) for c in costs))


def random_problems(count: int, seed: int, **size: int) -> Iterator[tuple[Problem, Plans, np.random.Generator]]:
    rng = np.random.default_rng(seed)
    for i in range(count):
        problem = random_problem(rng, i % 5, **size)
        yield problem, enumerate_plans(problem), rng


def large_problem(seed: int, layers: int = 20, choices: int = 90, kind: str = "log") -> Problem:
    """Layers of differing size with byte costs, and scores that rise with the logarithm of cost, or equal it."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(5, 11, layers))
    costs = [rng.integers(1, int(size) + choices, choices) for size in sizes]
    scores = [np.log(c + 10) * rng.uniform(0.2, 3) + rng.normal(0, 0.02, choices) for c in costs]
    return Problem(tuple(costs), tuple(scores) if kind == "log" else tuple(c.astype(float) for c in costs))


@pytest.fixture
def problems() -> Callable[..., Iterator[tuple[Problem, Plans, np.random.Generator]]]:
    return random_problems


@pytest.fixture
def plans_of() -> Callable[[Problem], Plans]:
    return enumerate_plans


@pytest.fixture
def large() -> Callable[..., Problem]:
    return functools.lru_cache(large_problem)
