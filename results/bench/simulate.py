"""Searches on a surrogate: a trial is the surrogate's accuracy and the noise that seeds make, so it costs nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from bankwise.search_space.plan import Plan
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.base import Strategy
from results.bench.surrogate import Surrogate

Make = Callable[[BudgetedSpace, int], Strategy]


class _Search:
    """One strategy under way, with up to `in_flight` plans proposed and not told yet; the oldest ends first."""

    def __init__(self, strategy: Strategy, in_flight: int, seed: int) -> None:
        self.strategy, self.in_flight = strategy, in_flight
        self.running: deque[Plan] = deque()
        self.truths: dict[str, float] = {}
        self.rng = np.random.default_rng((11, seed))

    def next(self, left: int) -> Plan | None:
        """The plan whose trial ends next, of `left` that may still end; None at the end of the strategy's plans."""
        while len(self.running) < min(self.in_flight, left) and (plan := self.strategy.ask()) is not None:
            self.running.append(plan)
        return self.running[0] if self.running else None

    def end(self, truth: float, noise: float) -> None:
        plan = self.running.popleft()
        self.truths[plan.text] = truth
        seen = float(np.clip(truth + self.rng.normal(0, noise), 0, 1))
        self.strategy.tell(plan, {"accuracy": seen})

    @property
    def held(self) -> float:
        best = self.strategy.best
        assert best is not None
        return self.truths[best.text]


def courses(make: Make, surrogate: Surrogate, noise: float, trials: int, runs: int, in_flight: int = 1) -> np.ndarray:
    """True accuracy of the plan that the strategy holds best after every trial, (runs, trials), with `in_flight` trials
    at a time. A strategy that has no further plan keeps what it has.

    The runs go in step, so that the surrogate predicts for all of them at once.
    """
    space = surrogate.space
    searches = [_Search(make(space, seed), in_flight, seed) for seed in range(runs)]
    held = np.empty((runs, trials))
    for trial in range(trials):
        ending = [(search, plan) for search in searches if (plan := search.next(trials - trial)) is not None]
        if ending:
            truths = surrogate.predict([space.indices(plan) for _, plan in ending])
            for (search, _), truth in zip(ending, truths, strict=True):
                search.end(float(truth), noise)
        held[:, trial] = [search.held for search in searches]
    return held
