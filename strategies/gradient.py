"""The differentiable search: train the shared-bank supernet with its architecture distribution on the budget.

The logits start at the closed-form scores and the expected bytes never exceed the budget. Plans are decoded by the
exact solver from the logits, not from the probabilities: those carry the multiplier's price of a byte already, and
would leave bytes unspent. Noise is averaged away: the first plan is that of the logits averaged over the second half of
the training, the others are those of single late epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search_space.errors import BankwiseError
from search_space.supernet import Supernet
from strategies.base import Strategy
from strategies.budgeted import BudgetedSpace
from strategies.frontier import frontier, scatter
from strategies.scores import Scores, log_capture
from trainers.supernet_training import train_supernet
from trainers.task import Task

CHOICES = 16  # candidates a layer in the supernet


class Gradient(Strategy):
    name = "gradient"
    trains_supernet = True

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.snapshots: list[Scores] = []

    def prepare(self, task: Task, folder: Path | None = None, report=None) -> None:
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

    def state_dict(self) -> dict:
        return super().state_dict() | {"snapshots": [[row.tolist() for row in scores] for scores in self.snapshots]}

    def load_state_dict(self, state: Mapping) -> None:
        super().load_state_dict(state)
        self.snapshots = [[np.array(row) for row in scores] for scores in state["snapshots"]]


def make_supernet(space: BudgetedSpace, task: Task, seed: int, most: int) -> tuple[Supernet, list[np.ndarray]]:
    """A supernet over the efficient choices of each layer, started at the closed-form scores and the teacher's
    weights; and which choices those are."""
    scores = log_capture(space)
    kept = frontier(space, scores, most)
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
