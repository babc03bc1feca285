"""Plans drawn uniformly from all that fit the budget, by counting and not by rejection."""

from __future__ import annotations

import numpy as np

from bankwise.strategies.base import Strategy


class RandomSearch(Strategy):
    """Each feasible plan with the same probability, none twice."""

    name = "random"

    def _propose(self) -> np.ndarray:
        return self.space.sample(self.rng)
