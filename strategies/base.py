"""The interface of every strategy: ask for a plan, tell its result.

The ledger of trials (`bankwise.strategies.ledger`) asks and tells, whatever the engine. A strategy is seeded, never
proposes a plan over the budget or the same plan twice, and is wholly described by `state_dict()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.plan import Plan
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.task import Task

_FRESH_TRIES = 32


class Strategy(ABC):
    """`ask()` gives the next plan or None when there is none left; `tell(plan, metrics)` takes {"accuracy": ...}, and
    `fail(plan)` says that a plan has no result.

    A subclass implements `_propose` and, where it learns, `_observe`. All randomness comes from `self.rng`. `results`
    are the plans with results and their accuracies, `failed` those without; plans are indices among the choices.
    """

    name: ClassVar[str]
    trains_supernet: ClassVar[bool] = False

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        self.space, self.seed = space, seed
        self.rng = np.random.default_rng(seed)
        self.asked: list[tuple[int, ...]] = []
        self._known: set[tuple[int, ...]] = set()
        self.results: list[tuple[tuple[int, ...], float]] = []
        self.failed: list[tuple[int, ...]] = []

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
        for number in range(2 * _FRESH_TRIES):
            if len(self._known) >= self.space.sampler.count:
                return None
            found = self._propose() if number < _FRESH_TRIES else self.space.sample(self.rng)
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
        """Never propose `plan`: it is tried elsewhere."""
        indices = self._indices(plan)
        if indices not in self._known:
            self._add(indices)

    def _add(self, indices: tuple[int, ...]) -> None:
        self.asked.append(indices)
        self._known.add(indices)

    def tell(self, plan: Plan, metrics: Mapping[str, float]) -> None:
        accuracy = float(metrics["accuracy"])
        if not np.isfinite(accuracy):
            raise BankwiseError(f"accuracy {accuracy} of a trial is not a finite number")
        indices = self._indices(plan)
        self.skip(plan)
        self.results.append((indices, accuracy))
        self._observe(indices, accuracy)

    def fail(self, plan: Plan) -> None:
        """The trial of `plan` failed: it is never proposed, and the search learns nothing from it."""
        self.skip(plan)
        self.failed.append(self._indices(plan))

    def contains(self, plan: Plan) -> bool:
        """Whether the strategy could propose `plan`."""
        try:
            return self.space.fits(self.space.indices(plan))
        except BankwiseError:
            return False

    def proposal_state(self, plan: Plan) -> dict[str, Any]:
        """What the latest `ask`, which gave `plan`, changed; JSON-ready."""
        return {"rng": self.rng.bit_generator.state}

    def repeat_proposal(self, plan: Plan, state: Mapping[str, Any]) -> None:
        """Take over an `ask` that gave `plan`, from its `proposal_state`, without the work of it."""
        self._add(self._indices(plan))
        self.rng.bit_generator.state = state["rng"]

    def _indices(self, plan: Plan) -> tuple[int, ...]:
        return tuple(int(i) for i in self.space.indices(plan))

    def estimates(self) -> np.ndarray:
        """What the accuracy of the plan of each of `results` is taken for, (results,): the measured one, unless the
        strategy has a model of it."""
        return np.array([accuracy for _, accuracy in self.results])

    @property
    def best(self) -> Plan | None:
        """The plan of the highest estimate so far, the first of equals."""
        if not self.results:
            return None
        return self.space.plan(self.results[int(self.estimates().argmax())][0])

    def state_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "strategy": self.name,
            "seed": self.seed,
            "space": self.space.identity,
            "asked": [list(indices) for indices in self.asked],
            "results": [[list(indices), accuracy] for indices, accuracy in self.results],
            "failed": [list(indices) for indices in self.failed],
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over `state`. Raises BankwiseError where it is of another strategy, search space or budget."""
        if state.get("strategy") != self.name:
            raise BankwiseError(f"the state is of strategy {short(state.get('strategy'))}, not of {self.name!r}")
        mine, theirs = self.space.identity, state.get("space")
        if theirs != mine:
            names = [name for name in mine if not isinstance(theirs, Mapping) or theirs.get(name) != mine[name]]
            raise BankwiseError(f"the state is of another search space or budget ({', '.join(names)} differ)")
        self.seed = state["seed"]
        self.asked = [tuple(indices) for indices in state["asked"]]
        self._known = set(self.asked)
        self.results = [(tuple(indices), accuracy) for indices, accuracy in state["results"]]
        self.failed = [tuple(indices) for indices in state["failed"]]
        self.rng.bit_generator.state = state["rng"]
