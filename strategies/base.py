"""The interface of every strategy: ask for a plan, tell what it reached.

The local loop, the NNI tuner and the Ray searcher are adapters over it. A strategy is seeded, never proposes a plan
over the budget or the same plan twice, and is wholly described by `state_dict()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from search_space.errors import BankwiseError
from search_space.plan import Plan
from strategies.budgeted import BudgetedSpace
from trainers.loop import EpochReport
from trainers.task import Task

_FRESH_TRIES = 32


class Strategy(ABC):
    """`ask()` gives the next plan or None when there is none left; `tell(plan, metrics)` takes {"accuracy": ...}.

    A subclass implements `_propose` and, where it learns, `_observe`. All randomness comes from `self.rng`.
    """

    name: ClassVar[str]
    trains_supernet: ClassVar[bool] = False

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        self.space, self.seed = space, seed
        self.rng = np.random.default_rng(seed)
        self.asked: list[tuple[int, ...]] = []
        self._known: set[tuple[int, ...]] = set()
        self.told: list[tuple[tuple[int, ...], float]] = []

    def prepare(  # noqa: B027 - most look at no data
        self, task: Task, folder: Path | None = None, report: Callable[[EpochReport], None] | None = None
    ) -> None:
        """Look at the data before the first `ask`, where the strategy does; checkpoints go to `folder`.

        A strategy that trains a supernet for it (`trains_supernet`) by the task's recipe reports every epoch.
        """

    @abstractmethod
    def _propose(self) -> np.ndarray | None:
        """Indices of a feasible plan, or None at the end. May repeat itself; `ask` then tries again."""

    def _observe(self, indices: tuple[int, ...], accuracy: float) -> None:  # noqa: B027 - most do not learn
        """Learn from a finished trial."""

    def ask(self) -> Plan | None:
        for attempt in range(2 * _FRESH_TRIES):
            if len(self._known) >= self.space.sampler.count:
                return None
            found = self._propose() if attempt < _FRESH_TRIES else self.space.sample(self.rng)
            if found is None:
                return None
            indices = tuple(int(i) for i in found)
            if not self.space.fits(indices):
                raise AssertionError(f"strategy {self.name} proposed {indices}, over the budget")
            if indices not in self._known:
                self._add(indices)
                return self.space.plan(indices)
        return None

    def skip(self, plan: Plan) -> None:
        """Never propose `plan`: it is out on trial elsewhere."""
        indices = tuple(int(i) for i in self.space.indices(plan))
        if indices not in self._known:
            self._add(indices)

    def _add(self, indices: tuple[int, ...]) -> None:
        self.asked.append(indices)
        self._known.add(indices)

    def tell(self, plan: Plan, metrics: Mapping[str, float]) -> None:
        accuracy = float(metrics["accuracy"])
        if not np.isfinite(accuracy):
            raise BankwiseError(f"accuracy {accuracy} of a trial is not a number between 0 and 1")
        indices = tuple(int(i) for i in self.space.indices(plan))
        self.skip(plan)
        self.told.append((indices, accuracy))
        self._observe(indices, accuracy)

    @property
    def best(self) -> Plan | None:
        """The told plan of highest accuracy, the first of equals."""
        if not self.told:
            return None
        return self.space.plan(max(self.told, key=lambda pair: pair[1])[0])

    def state_dict(self) -> dict:
        """JSON-ready."""
        return {
            "strategy": self.name,
            "seed": self.seed,
            "sizes": list(self.space.sizes),
            "asked": [list(indices) for indices in self.asked],
            "told": [[list(indices), accuracy] for indices, accuracy in self.told],
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping) -> None:
        if state.get("strategy") != self.name:
            raise BankwiseError(f"the state is of strategy {state.get('strategy')!r}, not of {self.name!r}")
        if state.get("sizes") != list(self.space.sizes):
            raise BankwiseError("the state is of another search space or budget")
        self.seed = state["seed"]
        self.asked = [tuple(indices) for indices in state["asked"]]
        self._known = set(self.asked)
        self.told = [(tuple(indices), accuracy) for indices, accuracy in state["told"]]
        self.rng.bit_generator.state = state["rng"]
