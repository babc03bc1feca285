"""The constants of the closed form, and the deviations of the additive model's prior, fitted to the table.

    python results/bench/fit.py          (seconds; prints what belongs into strategies/learned.py and into DEVIATIONS)

Of each setting the plans of each origin, random and near, are a group. The closed form (`strategies.scores`) is fitted
so that within a group it follows the logit of the accuracy up to a scale and a start of the group's own. All data sets
count alike, however many settings are of one, and constants are pulled to what was believed before the table. The
prior's deviations are the likeliest. What is said of a setting was fitted without it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares, minimize
from scipy.special import logit
from scipy.stats import kendalltau

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, Deviations, Prior
from bankwise.strategies.learned import LEARNED, Constants
from bankwise.strategies.portfolio import families
from bankwise.strategies.scores import total, weighted_capture
from results.bench.setting import SETTINGS
from results.bench.surrogate import EDGE, usable
from results.bench.table import Table, table_path

FAMILIES = ("binary", "integer", "sparse", "tiled", "subbit", "composite")  # stacked is what they are compared with
LAYER = ("weights", "positions", "depth", "first", "last")
CHOICE = ("split", "bank", "dimension")
UNTRAINED = Constants()
BEFORE = Constants(weights=-0.25, split=-0.07)  # what was believed before the table: small layers first, whole tiles
PULL = 0.3  # towards BEFORE: the pull whose plans did best, by the surrogate, on settings that were left out
SCALES = np.array([0.2, 0.2, 0.5, 1.0, 0.5, 0.2, 0.1, 0.1, *[0.3] * len(FAMILIES)])  # how far each is expected from it
LEAST = 5  # plans of a group
DIGITS = 3  # of the constants that are shipped


@dataclass(frozen=True)
class Group:
    """Of plans of one setting: terms of their layers' choices (plans, layers, 1 + terms), the first the log capture,
    what the importance of the layers is made of (layers, terms), and the plans' logits (plans,). `data` are the
    setting's images."""

    data: str
    choice: np.ndarray
    layer: np.ndarray
    logits: np.ndarray


def terms(table: Table) -> tuple[list[np.ndarray], np.ndarray]:
    """Of every choice of every layer of the setting the terms that `Constants` weigh, and those of the layers."""
    space = SETTINGS[table.name].space
    layers, rows = space.space.shape.layers, []
    for i, layer in enumerate(layers):
        family = families(space)[i]
        numbers = [
            (choice.capture(layer), choice.kernel_parts(layer) or 1, *choice.bank_size) for choice in space.choices(i)
        ]
        rows.append(np.column_stack([np.log(numbers), family[:, None] == np.array(FAMILIES)]))
    weights, positions = (np.log([getattr(layer, name) for layer in layers]) for name in ("weights", "positions"))
    ends = np.eye(len(layers))[[0, -1]]
    place = np.linspace(-0.5, 0.5, len(layers))
    return rows, np.column_stack([weights - weights.mean(), positions - positions.mean(), place, *ends])


def groups(table: Table) -> list[Group]:
    plans, accuracies, origins = usable(table)
    rows, layer = terms(table)
    found = []
    for origin in np.unique(origins):
        of = origins == origin
        if of.sum() >= LEAST:
            choice = np.stack([row[plans[of][:, i]] for i, row in enumerate(rows)], 1)
            found.append(Group(SETTINGS[table.name].data, choice, layer, _logits(accuracies[of])))
    return found


def _logits(accuracies: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracies, EDGE, 1 - EDGE)))


def _vector(constants: Constants) -> np.ndarray:
    named = [getattr(constants, name) for name in (*LAYER, *CHOICE)]
    zero = constants.families.get("stacked", 0.0)
    return np.array([*named, *(constants.families.get(name, 0.0) - zero for name in FAMILIES)])


def _constants(vector: np.ndarray) -> Constants:
    values = [round(float(value), DIGITS) for value in vector]
    named = dict(zip((*LAYER, *CHOICE), values, strict=False))
    families = {"stacked": 0.0, **dict(zip(FAMILIES, values[len(named) :], strict=True))}
    most = max(families.values())  # the same for all plans: no family's share is above 1
    return Constants(**named, families={name: round(value - most, DIGITS) for name, value in families.items()})


def fit(found: Sequence[Group], pull: float = PULL) -> Constants:
    """The constants that the groups ask for, pulled to BEFORE."""
    start = _vector(BEFORE)
    counts = Counter(group.data for group in found)

    def left(vector: np.ndarray) -> np.ndarray:
        parts = [pull * (vector - start) / SCALES]
        for group in found:
            importances = group.layer @ vector[: len(LAYER)]
            importances = np.exp(importances - importances.mean())
            worth = group.choice[:, :, 0] + group.choice[:, :, 1:] @ vector[len(LAYER) :]
            score = worth @ importances
            a, b = score - score.mean(), group.logits - group.logits.mean()
            slope = max(0.0, float(a @ b)) / max(float(a @ a), 1e-12)
            parts.append((b - slope * a) / np.sqrt(b @ b * counts[group.data]))
        return np.concatenate(parts)

    return _constants(least_squares(left, start).x)


def fitted_without(tables: Iterable[Table], name: str) -> Constants:
    """By all settings but one."""
    return fit([group for table in tables if table.name != name for group in groups(table)])


FREE = ("slope_mean", "slope", "tilt", "smooth", "family", "own", "together", "noise")


def fit_deviations(tables: Iterable[Table], constants: Constants = LEARNED) -> Deviations:
    """The likeliest deviations of the prior, one for all settings; a weak pull to DEVIATIONS keeps those in bounds that
    the table does not tell."""
    parts = [(Prior(SETTINGS[table.name].space, DEVIATIONS, constants), *usable(table)[:2]) for table in tables]
    start = np.log([getattr(DEVIATIONS, name) for name in FREE])

    def loss(vector: np.ndarray) -> float:
        d = dataclasses.replace(DEVIATIONS, **dict(zip(FREE, map(float, np.exp(vector)), strict=True)))
        loss = 0.1 * float(((vector - start) ** 2).sum())
        for prior, plans, accuracies in parts:
            values, posterior = _logits(accuracies), Posterior(prior.of(d))
            covariance = posterior.covariance(plans, plans) + d.noise**2 * np.eye(len(plans))
            factor = cholesky(covariance, lower=True)
            side = solve_triangular(factor, values - posterior.mean(plans), lower=True)
            loss += float(side @ side / 2 + np.log(np.diag(factor)).sum())
        return loss

    found = minimize(loss, start, method="L-BFGS-B", bounds=[(np.log(0.01), np.log(5))] * len(FREE)).x
    values = {name: round(float(value), DIGITS) for name, value in zip(FREE, np.exp(found), strict=True)}
    return dataclasses.replace(DEVIATIONS, **values)


def tau(table: Table, constants: Constants, origin: int | None = None) -> float:
    """Kendall's tau of the closed form with these constants, over all plans or those of one origin."""
    plans, accuracies, origins = usable(table)
    of = np.ones(len(plans), bool) if origin is None else origins == origin
    scores = weighted_capture(SETTINGS[table.name].space, constants)
    return float(kendalltau([total(scores, plan) for plan in plans[of]], accuracies[of]).statistic)


def learned_table(tables: Sequence[Table]) -> str:
    heads = ("setting", "plans", "untrained", "before", "learned without it", "shipped")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for table in tables:
        cells = [
            " / ".join(f"{tau(table, constants, origin):.2f}" for origin in (None, 0, 1))
            for constants in (UNTRAINED, BEFORE, fitted_without(tables, table.name), LEARNED)
        ]
        lines.append(f"| {table.name} | {len(table.plans):,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    tables = [Table.read(name) for name in SETTINGS if table_path(name).exists()]
    print(learned_table(tables))
    print("LEARNED =", fit([group for table in tables for group in groups(table)]))
    print("DEVIATIONS =", fit_deviations(tables))


if __name__ == "__main__":
    main()
