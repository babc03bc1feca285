"""Thompson sampling with an exact oracle.

Every proposal is the best plan within the budget of a plausible world: worths of all choices are drawn from the
posterior of an additive Gaussian model, and the solver maximizes their sum, exactly. The search begins with the
portfolio of closed-form plans. Draws are shrunk to the posterior's mean, since the first ones are from the prior more
than from trials. What layers do to each other no sum over layers tells; so local moves from the plans of largest
posterior mean stand beside the draw's optimum, and of all these the one is tried that is best in the drawn world with
the model's non-additive part.

The plan held best is that of the largest posterior mean, not of the luckiest trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit

from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Prior
from bankwise.strategies.additive.scale import as_logit, as_logits, likeliest
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.moves import Moves
from bankwise.strategies.portfolio import portfolio
from bankwise.strategies.scores import total

SHARE = 0.25  # of a posterior deviation that a draw takes
LEADERS, CHILDREN = 3, 4  # plans from which local moves go, and how many of these in all
SCALED = (8, 16, 32, 64, 128, 256)  # trials after which the prior is scaled anew


class Thompson(Strategy):
    name = "thompson"

    def __init__(self, space: BudgetedSpace, seed: int = 0):
        super().__init__(space, seed)
        self.moves = Moves(space)

    @cached_property
    def prior(self) -> Prior:
        return Prior(self.space, DEVIATIONS)

    @cached_property
    def posterior(self) -> Posterior:
        return Posterior(self.prior)

    @cached_property
    def founders(self) -> list[np.ndarray]:
        return portfolio(self.space)

    def _propose(self) -> np.ndarray:
        founder = next((plan for plan in self.founders if tuple(map(int, plan)) not in self._known), None)
        if founder is not None:
            return founder
        worths = self.posterior.draw(self.rng, SHARE)
        plans = [self.space.solve(worths), *self._children()]
        fresh = [plan for plan in plans if tuple(map(int, plan)) not in self._known] or plans[:1]
        together = self.posterior.together(np.array(fresh))
        values = [total(worths, plan) + more for plan, more in zip(fresh, together, strict=True)]
        return fresh[int(np.argmax(values))]

    def _children(self) -> list[np.ndarray]:
        if not self.results:
            return []
        means = self.posterior.mean_of_tried()
        leaders = self.posterior.plans[np.argsort(-means, kind="stable")[:LEADERS]]
        return [self.moves.mutated(leaders[int(self.rng.integers(len(leaders)))], self.rng) for _ in range(CHILDREN)]

    def _observe(self, indices: tuple[int, ...], accuracy: float) -> None:
        self.posterior.add(indices, as_logit(accuracy))
        if not 0 <= min(self._seen) <= max(self._seen) <= 1:
            self.posterior.values = as_logits(self._seen)  # each result moves the ranks of all
        if len(self.posterior.plans) in SCALED:
            self.posterior = self.posterior.under(likeliest(self.prior, self.posterior))

    @property
    def _seen(self) -> list[float]:
        """The results that the posterior has."""
        return [accuracy for _, accuracy in self.results[: len(self.posterior.plans)]]

    def estimates(self) -> np.ndarray:
        """Of the posterior mean: a lucky trial counts for less than its neighbours say."""
        return np.asarray(expit(self.posterior.mean_of_tried()))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.__dict__.pop("posterior", None)
        for indices, accuracy in self.results:
            self._observe(indices, accuracy)
