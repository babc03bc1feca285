"""A Cholesky factor that grows by a row at a time, in O(rows^2)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

LEAST = 1e-12  # of a pivot: rounding may take one below 0


class Factor:
    """Lower triangular, of a covariance (rows, rows)."""

    def __init__(self, covariance: np.ndarray | None = None) -> None:
        self._room = np.zeros((0, 0)) if covariance is None else cholesky(covariance, lower=True)
        self.rows = len(self._room)

    @property
    def lower(self) -> np.ndarray:
        return self._room[: self.rows, : self.rows]

    def add(self, covariances: np.ndarray, variance: float) -> None:
        """A row more: its covariances with those before, and its variance."""
        if self.rows == len(self._room):
            self._room = np.pad(self._room, (0, max(16, self.rows)))
        side = self.halved(covariances)
        self._room[self.rows, : self.rows] = side
        self._room[self.rows, self.rows] = np.sqrt(max(variance - float(side @ side), LEAST))
        self.rows += 1

    def solved(self, values: np.ndarray) -> np.ndarray:
        """The covariance's inverse times `values` (rows,)."""
        return np.asarray(cho_solve((self.lower, True), values, check_finite=False)) if self.rows else values

    def halved(self, values: np.ndarray) -> np.ndarray:
        """The factor's inverse times `values` (rows,) or (rows, n)."""
        return np.asarray(solve_triangular(self.lower, values, lower=True, check_finite=False)) if self.rows else values

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """A draw from the normal distribution of that covariance, (rows,)."""
        return np.asarray(self.lower @ rng.normal(size=self.rows))
