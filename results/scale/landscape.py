"""A stand-in for training, fitted to measured trainings: so that thousands of trials cost nothing.

accuracy(plan) = a + sum over layers of (w_l log capture(choice) + d_l(choice)), w_l >= 0 fitted by least squares to the
24 plans trained in results/scores, d drawn once, normal, so that it makes up for what the fit leaves. It is additive,
so the exact solver gives the true optimum. A trial sees accuracy + noise; the noise is what a short trial of those
plans left unexplained of the full training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

from search_space.budget import Budget
from search_space.networks import build
from search_space.plan import Plan
from search_space.space import SearchSpace
from search_space.trace import trace
from strategies import BudgetedSpace
from strategies.frontier import frontier
from strategies.scores import log_capture

MEASURED = Path(__file__).resolve().parents[1] / "scores" / "plans.json"
CHOICES = 16  # efficient choices a layer, as in results/scores
TRIAL = "trial of 2 epochs"


@dataclass(frozen=True)
class Landscape:
    space: BudgetedSpace
    offset: float
    utilities: list[np.ndarray]
    noise: float
    optimum: float

    def truth(self, indices) -> float:
        return self.offset + sum(float(row[i]) for row, i in zip(self.utilities, indices, strict=True))


def small_space(budget: str) -> BudgetedSpace:
    network = build("small", classes=10, in_channels=3)
    shape = trace(network, "small", (3, 32, 32), 10)
    limits, space = Budget.parse(budget, shape), SearchSpace(shape)
    whole = BudgetedSpace(space, limits)
    return BudgetedSpace(space.cut(frontier(whole, log_capture(whole), CHOICES)), limits)


def fit(seed: int, budget: str = "4KiB") -> Landscape:
    measured = json.loads(MEASURED.read_text())
    space = small_space(budget)
    scores = log_capture(space)
    drawn = [space.indices(Plan.from_dict(plan)) for plan in measured["plans"]]
    features = np.array([[row[i] for row, i in zip(scores, indices, strict=True)] for indices in drawn])
    accuracy = np.array(measured["accuracies"])
    layers = features.shape[1]
    design = np.column_stack([np.ones(len(features)), features])
    bounds = (np.r_[-np.inf, np.zeros(layers)], np.full(layers + 1, np.inf))
    weights = lsq_linear(design, accuracy, bounds).x
    left = accuracy - design @ weights
    spread = float(np.sqrt((left**2).sum() / max(1, len(left) - np.count_nonzero(weights > 1e-9))))
    trial = np.array(measured["scores"][TRIAL])
    slope, start = np.polyfit(trial, accuracy, 1)
    noise = float(np.std(accuracy - (slope * trial + start), ddof=2))
    rng = np.random.default_rng(seed)
    utilities = [
        weight * row + rng.normal(0, spread / np.sqrt(layers), len(row))
        for weight, row in zip(weights[1:], scores, strict=True)
    ]
    best = Landscape(space, float(weights[0]), utilities, noise, 0.0)
    return Landscape(space, best.offset, utilities, noise, best.truth(space.solve(utilities)))
