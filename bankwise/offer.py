"""What `bankwise plan` tells, as plain JSON values: the network, its reach, a plan and its price, what more buys."""

from __future__ import annotations

import dataclasses
import math

from bankwise.planning import Planner, Step
from search_space.budget import Budget
from search_space.errors import InfeasibleBudget
from search_space.layout import choice_bytes
from search_space.plan import Plan
from search_space.price import LayerPrice, Price, paper_bits, price
from search_space.shape import LayerShape, NetworkShape
from search_space.space import SearchSpace

RUNS = ("materialized", "merge")


def describe(shape: NetworkShape) -> dict:
    """The network, with the keys of a plan still empty."""
    empty = dict.fromkeys(
        ("budget", "accounting", "budget_bytes", "file_bytes", "paper_bits", "accuracy", "plan", "baseline_uniform",
         "range", "staircase", "one_more")
    )  # fmt: skip
    return {
        "network": shape.network,
        "input_shape": list(shape.input_shape),
        "classes": shape.classes,
        "weights": shape.weights,
        "uncompressed": {"accuracy": None, "bytes": shape.float_bytes},
        **empty,
    }


def priced(shape: NetworkShape, plan: Plan) -> dict:
    """The price of a plan: both accountings, bytes by layer and part, both ways of running."""
    cost = price(shape, plan)
    return {
        "file_bytes": cost.file_bytes,
        "file_bits_per_weight": cost.file_bits_per_weight,
        "paper_bits": cost.paper_bits,
        "paper_bits_per_weight": cost.paper_bits_per_weight,
        "times_smaller": cost.ratio,
        "layers": [_layer(layer, shape.layer(layer.name)) for layer in cost.layers],
        "fixed": cost.fixed,
        "runs": {run: _run(cost, run) for run in RUNS},
    }


def _layer(cost: LayerPrice, shape: LayerShape) -> dict:
    return {
        "name": cost.name,
        "weight_shape": list(shape.weight_shape),
        "choice": cost.choice.to_dict(),
        "text": str(cost.choice),
        "rate": cost.choice.rate(shape),
        "file_bytes": cost.file_bytes,
        "paper_bits": cost.paper_bits,
        "parts": {part.name: part.file_bytes for part in cost.parts} | {"header": len(cost.choice.code())},
        "runs": {
            "materialized": dataclasses.asdict(cost.materialized) | {"peak_bytes": cost.live_bytes},
            "merge": dataclasses.asdict(cost.merge) | {"peak_bytes": cost.merge_peak_bytes},
        },
    }


def _run(cost: Price, run: str) -> dict:
    return dataclasses.asdict(cost.totals(run))


def reach(planner: Planner) -> dict:
    """The smallest and the largest plan, and the best ones between."""
    smallest, largest = (_step(step) for step in planner.reach)
    ends = {"accounting": planner.accounting, "smallest": smallest, "largest": largest}
    return {"range": ends, "staircase": [_step(one) for one in planner.staircase()]}


def bought(planner: Planner, budget: Budget, text: str) -> tuple[Plan, dict]:
    """The best plan of a budget by the closed form, its price, the best uniform plan, and what one more KiB buys."""
    best = planner.best(budget.bytes)
    uniform = planner.uniform(budget.bytes)
    return best.plan, {
        **within(budget, text),
        **priced(planner.space.shape, best.plan),
        "rate": best.rate,
        "baseline_uniform": uniform
        and {
            "accuracy": None,
            "bytes": uniform.file_bytes,
            "paper_bits": uniform.paper_bits,
            "rate": uniform.rate,
        },
        "one_more": dataclasses.asdict(planner.shadow(best)),
    }


def within(budget: Budget, text: str) -> dict:
    return {"budget": text, "accounting": budget.accounting, "budget_bytes": budget.bytes}


def held(shape: NetworkShape, plan: Plan, budget: Budget) -> None:
    """InfeasibleBudget where a given plan is over the budget."""
    cost = price(shape, plan)
    taken = cost.file_bytes if budget.accounting == "file" else math.ceil(cost.paper_bits / 8)
    if taken > budget.bytes:
        raise InfeasibleBudget(f"the plan takes {taken:,} bytes, over the budget of {budget}")


def choices(space: SearchSpace, name: str) -> list[dict]:
    """Every choice of a layer, by rising file bytes."""
    layer = space.shape.layer(name)
    rows = [
        {
            "choice": choice.to_dict(),
            "text": str(choice),
            "rate": choice.rate(layer),
            "file_bytes": choice_bytes(layer, choice, space.settings.vector_bits),
            "paper_bits": paper_bits(layer, choice),
            **{run: dataclasses.asdict(choice.operations(layer, run)) for run in RUNS},
        }
        for choice in space.choices[space.names.index(name)]
    ]
    return sorted(rows, key=lambda row: row["file_bytes"])


def _step(step: Step) -> dict:
    values = dataclasses.asdict(dataclasses.replace(step, plan=None))
    del values["plan"]
    return values
