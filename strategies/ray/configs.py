"""Plans as Ray sees them: a trial's config has one entry a layer and decodes to a plan within the budget.

Two forms: the code of the layer's choice, as the exported file writes it ({"conv1": "S16.4.3x3"}), or its
log-importance, a real number ({"conv1": 0.7}), of which any values decode to a plan on the budget's frontier
(`ImportanceEncoding`). So Ray's own search algorithms and population-based training obey the budget as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

from ray import tune

from search_space.basis import choice_from_code
from search_space.errors import BankwiseError, unknown
from search_space.plan import Plan
from strategies.budgeted import BudgetedSpace
from strategies.encodings import BOX, ImportanceEncoding
from strategies.scores import log_capture


def importance_space(space: BudgetedSpace) -> dict[str, tune.search.sample.Float]:
    """Ray's search space of log-importances, one a layer: a `param_space`, or the mutations of PBT."""
    return {name: tune.uniform(*BOX) for name in space.space.names}


def importance_bounds(space: BudgetedSpace) -> dict[str, list[float]]:
    """The same box as PB2 takes it."""
    return {name: list(BOX) for name in space.space.names}


def plan_config(plan: Plan) -> dict[str, str]:
    """The config of a plan."""
    return {name: choice.code() for name, choice in plan.layers.items()}


def plan_text(plan: Plan) -> str:
    """The plan in one line, for logs."""
    return " ".join(f"{name}={code}" for name, code in plan_config(plan).items())


def config_plan(config: Mapping[str, object], space: BudgetedSpace) -> Plan:
    """The plan of a config of either form. One that is not of the space or exceeds the budget is an error."""
    names = space.space.names
    for name in config:
        if name not in names:
            raise unknown("layer", name, names)
    for name in names:
        if name not in config:
            raise BankwiseError(f"the config has no entry for layer {name!r}")
    values = [config[name] for name in names]
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        return space.plan(ImportanceEncoding(space, log_capture(space)).decode(values))
    if not all(isinstance(value, str) for value in values):
        raise BankwiseError(f"config {dict(config)!r}: give every layer a choice's code, or every layer a number")
    plan = space.space.make_plan({name: choice_from_code(code) for name, code in zip(names, values, strict=True)})
    if not space.fits(space.indices(plan)):
        raise BankwiseError(f"plan {plan_text(plan)} exceeds the limits of the search ({space.budget})")
    return plan
