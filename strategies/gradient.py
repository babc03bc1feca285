"""The differentiable search: train the shared-bank supernet with its architecture distribution on the budget.

The logits start at the closed-form scores and the expected bytes never exceed the budget. The exact solver decodes
plans from the logits, not from the probabilities: those contain the Lagrange multiplier's price of a byte already, so
that the solver would leave bytes unused. The first plan is that of the logits averaged over the second half of the
training, the others are those of single epochs of that half, the last one first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.supernet import Supernet
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.frontier import frontier, scatter
from bankwise.strategies.scores import Scores, log_capture
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.supernet_training import train_supernet
from bankwise.trainers.task import Task

CHOICES = 16  # candidates a layer in the supernet


class Gradient(Strategy):
    """Trains the supernet in `prepare`, then proposes the plans of its logits."""

    name = "gradient"
    trains_supernet = True

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.snapshots: list[Scores] = []

    def prepare(
        self, task: Task, folder: Path | None = None, report: Callable[[EpochReport], None] | None = None
    ) -> None:
        """Train the supernet; its checkpoint lies in `folder`."""
        supernet, kept = make_supernet(self.space, task, self.seed, CHOICES)
        checkpoint = None if folder is None else folder / "supernet.pt"
        logits = train_supernet(supernet, task, task.recipe, checkpoint, report)
        late = logits[len(logits) // 2 :]
        for table in (late.mean(0), *late[::-1]):
            values = [row[: len(indices)] for row, indices in zip(table, kept, strict=True)]
            self.snapshots.append(scatter(self.space.sizes, kept, values))

    def _propose(self) -> np.ndarray | None:
        if not self.snapshots:
            raise BankwiseError("strategy 'gradient' needs prepare() before it proposes")
        known = set(self.asked)
        for scores in self.snapshots:
            indices = self.space.solve(scores)
            if tuple(int(i) for i in indices) not in known:
                return indices
        return None

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"snapshots": [[row.tolist() for row in scores] for scores in self.snapshots]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.snapshots = [[np.array(row) for row in scores] for scores in state["snapshots"]]


def make_supernet(space: BudgetedSpace, task: Task, seed: int, max_choices: int) -> tuple[Supernet, list[np.ndarray]]:
    """A supernet over up to `max_choices` efficient choices of each layer, and the indices of those choices.

    Its logits start at the closed-form scores, its weights at the teacher's.
    """
    scores = log_capture(space)
    kept = frontier(space, scores, max_choices)
    supernet = Supernet(
        task.network,
        task.shape,
        [[space.choices(i)[j] for j in row] for i, row in enumerate(kept)],
        [space.costs[i][row] for i, row in enumerate(kept)],
        space.capacity,
        seed,
        start=[scores[i][row] for i, row in enumerate(kept)],
    )
    if task.teacher is not None:
        supernet.start_from(task.teacher)
    return supernet, kept
