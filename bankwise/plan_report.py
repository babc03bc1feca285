"""What `bankwise.plan` gives: the plan, its price, the staircase and shadow prices, as values of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bankwise.expected import Expected
from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import RUNS, LayerPrice, Price, layer_price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.strict import to_dict
from bankwise.search_space.targets.c.chips import Fit


@dataclass(frozen=True)
class PricedPlan:
    """The best plan of at most `budget_bytes` in the report's accounting; `capture` is the mean share of its
    layers' weights that it captures (`strategies.scores.mean_capture`): what the closed form maximizes."""

    budget_bytes: int
    file_bytes: int
    paper_bits: int
    capture: float
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, without the plan."""
        return {
            "budget_bytes": self.budget_bytes,
            "file_bytes": self.file_bytes,
            "paper_bits": self.paper_bits,
            "capture": self.capture,
        }


@dataclass(frozen=True)
class Staircase:
    """The best plans by rising budget: `plans`, and of each what `PricedPlan` says, as arrays (steps,)."""

    budget_bytes: np.ndarray
    file_bytes: np.ndarray
    paper_bits: np.ndarray
    capture: np.ndarray
    plans: tuple[Plan, ...]

    @classmethod
    def of(cls, steps: list[PricedPlan]) -> Staircase:
        return cls(
            np.array([step.budget_bytes for step in steps], np.int64),
            np.array([step.file_bytes for step in steps], np.int64),
            np.array([step.paper_bits for step in steps], np.int64),
            np.array([step.capture for step in steps]),
            tuple(step.plan for step in steps),
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """JSON-ready values, one mapping a step, without the plans."""
        columns = ("budget_bytes", "file_bytes", "paper_bits", "capture")
        rows = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class ShadowPrices:
    """What `bytes` further bytes would give: the share by which the mean capture grows, the layers whose choice changes
    (before, after), and the share by which each layer's capture grows where that layer alone may change (empty where
    operations are limited)."""

    bytes: int
    gain: float
    changes: Mapping[str, tuple[str, str]]
    layers: Mapping[str, float]


@dataclass(frozen=True)
class PlanReport:
    """Everything that is known of a network's plans before training.

    `plan` and `price` are None without a budget. For a plan that was solved for, `capture` is its mean capture,
    `uniform` the best uniform plan of the budget (None: none fits), `shadow_prices` what one more KiB would give and
    `unspent` a line on the bytes that it leaves, where these are worth one.
    `smallest`, `largest` and `staircase` are those of `space`; all of these are None where a given plan was priced.
    `fit` is what a plan takes of the chip that was asked for, `expected` how far the plan may be ahead of `uniform`.
    """

    shape: NetworkShape
    accounting: str | None = None
    budget: Budget | None = None
    budget_text: str | None = None
    plan: Plan | None = None
    price: Price | None = None
    capture: float | None = None
    uniform: PricedPlan | None = None
    shadow_prices: ShadowPrices | None = None
    space: SearchSpace | None = None
    smallest: PricedPlan | None = None
    largest: PricedPlan | None = None
    staircase: Staircase | None = None
    unspent: str | None = None
    fit: Fit | None = None
    expected: Expected | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `bankwise plan --json`; its `plan` and the accuracies, which nothing here knows, are None.

        Values of a plan that was solved for or priced stand beside those of the network.
        """
        shape = self.shape
        values: dict[str, Any] = {
            "network": shape.network,
            "input_shape": list(shape.input_shape),
            "classes": shape.classes,
            "weights": shape.weights,
            "uncompressed": {"accuracy": None, "bytes": shape.float_bytes},
            "budget": self.budget_text,
            "accounting": self.budget and self.budget.accounting,
            "budget_bytes": self.budget and self.budget.bytes,
            "file_bytes": None,
            "paper_bits": None,
            "accuracy": None,
            "plan": None,
            "baseline_uniform": self.uniform and _baseline(self.uniform),
            "range": None,
            "staircase": self.staircase and self.staircase.to_dict(),
            "one_more": to_dict(self.shadow_prices),
            "unspent": self.unspent,
            "expected": self.expected and self.expected.to_dict(),
            "chip": self.fit and self.fit.to_dict(),
        }
        if self.smallest is not None and self.largest is not None:
            ends = {"smallest": self.smallest.to_dict(), "largest": self.largest.to_dict()}
            values["range"] = {"accounting": self.accounting, **ends}
        if self.price is not None:
            values |= self.price.to_dict()
        if self.capture is not None:
            values["capture"] = self.capture
        return values


def choice_prices(space: SearchSpace, layer: str) -> list[LayerPrice]:
    """The price of every choice of a layer, by rising file bytes. Raises BankwiseError where there is no such layer."""
    shape, bits = space.shape.layer(layer), space.settings.vector_bits
    found = [layer_price(shape, choice, bits) for choice in space.choices[space.names.index(layer)]]
    return sorted(found, key=lambda cost: cost.file_bytes)


def choice_dict(cost: LayerPrice) -> dict[str, Any]:
    """One of `choice_prices` as JSON-ready values."""
    names = ("choice", "text", "rate", "file_bytes", "paper_bits")
    values = cost.to_dict()
    return {name: values[name] for name in names} | {run: to_dict(getattr(cost, run)) for run in RUNS}


def _baseline(uniform: PricedPlan) -> dict[str, Any]:
    return {
        "accuracy": None,
        "bytes": uniform.file_bytes,
        "paper_bits": uniform.paper_bits,
        "capture": uniform.capture,
    }
