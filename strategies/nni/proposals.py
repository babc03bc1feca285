"""A strategy among trials that crash, are cancelled, come twice, come late or from elsewhere. Knows no NNI.

Plans are indices in the whole space. The strategy may work in a narrower one, and is rebuilt when that changes; what
was proposed and measured is kept here, whatever the strategy's space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.nni.points import Indices


class Proposals:
    """`make(space)` gives a fresh strategy; `prepare(strategy)` is called before its first proposal.

    `pending` maps NNI's parameter ids to the plans out on trial, `told` the plans that were measured to their
    accuracies; `queue` are plans to be proposed again, before new ones. A plan that crashed is queued `RETRIES` times
    at most, and goes on from its checkpoint. `exhausted`: the strategy has no further plan.
    """

    RETRIES: ClassVar[int] = 2

    def __init__(
        self,
        space: BudgetedSpace,
        make: Callable[[BudgetedSpace], Strategy],
        prepare: Callable[[Strategy], None] = lambda strategy: None,
    ):
        self.space, self._make, self._prepare = space, make, prepare
        self.kept: list[list[int]] = [list(range(size)) for size in space.sizes]
        self.pending: dict[int, Indices] = {}
        self.queue: list[Indices] = []
        self.failures: dict[Indices, int] = {}
        self.asked: list[Indices] = []
        self.told: dict[Indices, float] = {}
        self.strategy = make(space)
        self.prepared, self.exhausted = False, False

    def propose(self, number: int) -> Indices | None:
        """The plan of parameter `number`; None where there is none left."""
        plan = self._queued() or self._new()
        if plan is None:
            return None
        displaced = self.pending.get(number)
        if displaced is not None and displaced not in self.queue:
            self.queue.append(displaced)
        self.pending[number] = plan
        return plan

    def _queued(self) -> Indices | None:
        while self.queue:
            plan = self.queue.pop(0)
            if plan not in self.told and self._lies_within(plan):
                return plan
        return None

    def _new(self) -> Indices | None:
        if not self.prepared:
            self._prepare(self.strategy)
            self.prepared = True
        while (found := self.strategy.ask()) is not None:
            plan = tuple(int(i) for i in self.space.indices(found))
            if plan not in self.told and plan not in self.asked:
                self.asked.append(plan)
                return plan
        self.exhausted = True
        return None

    def result(self, plan: Indices, accuracy: float) -> bool:
        """Take what a trial reached; false where the plan's accuracy is known already."""
        self._forget(plan)
        if plan in self.told:
            return False
        self.told[plan] = accuracy
        if self._lies_within(plan):
            self.strategy.tell(self.space.plan(plan), {"accuracy": accuracy})
        return True

    def crashed(self, plan: Indices) -> bool:
        """A trial of the plan died; true where it will be proposed again."""
        self._forget(plan)
        if plan in self.told:
            return False
        self.failures[plan] = self.failures.get(plan, 0) + 1
        if self.failures[plan] > self.RETRIES:
            return False
        self.queue.append(plan)
        return True

    def cancelled(self, plan: Indices) -> None:
        """Somebody ended the trial on purpose: the plan is not proposed again."""
        self._forget(plan)

    def lost(self, plan: Indices) -> None:
        """The plan was proposed, and its trial will not come: it is the next proposal."""
        self._forget(plan)
        if plan not in self.told:
            self.queue.append(plan)

    def _forget(self, plan: Indices) -> None:
        self.pending = {number: other for number, other in self.pending.items() if other != plan}

    def narrow(self, kept: Sequence[Sequence[int]]) -> bool:
        """Search among these choices of each layer from now on; false where that is so already.

        Raises InfeasibleBudget, and changes nothing, where no plan among them fits.
        """
        kept = [list(row) for row in kept]
        if kept == self.kept:
            return False
        space = self._space(kept)
        self.kept, self.strategy = kept, self._make(space)
        self.prepared, self.exhausted = False, False
        self._tell_again()
        return True

    def _space(self, kept: list[list[int]]) -> BudgetedSpace:
        if all(len(row) == size for row, size in zip(kept, self.space.sizes, strict=True)):
            return self.space
        rows = [[int(allowed[i]) for i in row] for allowed, row in zip(self.space.allowed, kept, strict=True)]
        return BudgetedSpace(self.space.space.cut(rows), self.space.budget, max_ops=self.space.max_ops)

    def _tell_again(self) -> None:
        for plan in self.asked:
            if self._lies_within(plan):
                self.strategy.skip(self.space.plan(plan))
        for plan, accuracy in self.told.items():
            if self._lies_within(plan):
                self.strategy.tell(self.space.plan(plan), {"accuracy": accuracy})

    def _lies_within(self, plan: Indices) -> bool:
        return all(i in row for i, row in zip(plan, self.kept, strict=True))

    def state_dict(self) -> dict:
        """JSON-ready."""
        return {
            "kept": self.kept,
            "pending": [[number, list(plan)] for number, plan in self.pending.items()],
            "queue": [list(plan) for plan in self.queue],
            "failures": [[list(plan), count] for plan, count in self.failures.items()],
            "asked": [list(plan) for plan in self.asked],
            "told": [[list(plan), accuracy] for plan, accuracy in self.told.items()],
            "strategy": self.strategy.state_dict(),
            "prepared": self.prepared,
            "exhausted": self.exhausted,
        }

    def load_state_dict(self, state: Mapping) -> None:
        """All of it or, where the state is damaged (KeyError, TypeError, ValueError), nothing."""
        kept = [list(row) for row in state["kept"]]
        strategy = self._make(self._space(kept))
        strategy.load_state_dict(state["strategy"])
        values = {
            "kept": kept,
            "strategy": strategy,
            "prepared": bool(state["prepared"]),
            "exhausted": bool(state["exhausted"]),
            "pending": {int(number): tuple(plan) for number, plan in state["pending"]},
            "queue": [tuple(plan) for plan in state["queue"]],
            "failures": {tuple(plan): int(count) for plan, count in state["failures"]},
            "asked": [tuple(plan) for plan in state["asked"]],
            "told": {tuple(plan): float(accuracy) for plan, accuracy in state["told"]},
        }
        vars(self).update(values)
