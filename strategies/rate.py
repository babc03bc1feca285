"""The exact optimum of the summed log rate: no data, no training. What the closed form, which begins the others, is
measured against."""

from __future__ import annotations

import numpy as np

from bankwise.strategies.base import Strategy
from bankwise.strategies.scores import log_rate


class Rate(Strategy):
    """One plan: the solver's for the log rate of every choice."""

    name = "rate"

    def _propose(self) -> np.ndarray | None:
        return None if self.asked else self.space.solve(log_rate(self.space))
