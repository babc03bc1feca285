"""Does the gain that a search expects before its trials come, and how often does its interval hold?

    python results/bench/gain.py --data-root DATA        (after optima.py a minute; writes its tables into README.md)

What is said of a setting is said by constants and deviations that were fitted without it. First the closed form's own
plan over the best uniform one, as trained by optima.py. Then pairs of plans of the table, of which there are many: the
share of the differences that lie in the interval.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import logit
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.strategies.additive.gain import SHARE, Gain, expected_gain
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import Deviations, Prior
from bankwise.strategies.learned import Constants
from results.bench import optima
from results.bench.fit import fit_deviations, fitted_without
from results.bench.page import write_between
from results.bench.setting import SETTINGS
from results.bench.surrogate import EDGE, usable
from results.bench.table import Table, table_path

HERE = Path(__file__).resolve().parent
PARTS = ("all", "random", "near")
SHARES = (SHARE, 0.95)


@dataclass(frozen=True)
class Learned:
    """What is believed of a setting by the others."""

    constants: Constants
    deviations: Deviations


def learned_without(tables: list[Table], name: str) -> Learned:
    constants = fitted_without(tables, name)
    return Learned(constants, fit_deviations([table for table in tables if table.name != name], constants))


def standardized(table: Table, learned: Learned, part: str = "all") -> np.ndarray:
    """Of every pair of plans of a part the difference of their logits less what was expected of it, over the expected
    deviation, the noise of as many seeds as each was trained by included; (pairs,)."""
    plans, accuracies, origins = usable(table)
    counts = np.bincount(table.plan, minlength=len(table.plans))[table.usable]
    posterior = Posterior(Prior(SETTINGS[table.name].space, learned.deviations, learned.constants))
    left = logit(np.clip(accuracies, EDGE, 1 - EDGE)) - posterior.mean(plans)
    covariance = posterior.covariance(plans, plans) + np.diag(learned.deviations.noise**2 / counts)
    of = np.flatnonzero((part == "all") | (origins == PARTS.index(part) - 1))
    i, j = (of[row] for row in np.triu_indices(len(of), 1))
    variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    return np.asarray((left[i] - left[j]) / np.sqrt(variance))


def coverage_table(tables: list[Table], learned: dict[str, Learned]) -> str:
    heads = [f"{100 * share:.0f} %, {part}" for share in SHARES for part in PARTS]
    lines = [f"| setting | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    found = []
    for table in tables:
        scores = {part: np.abs(standardized(table, learned[table.name], part)) for part in PARTS}
        found.append([100 * np.mean(scores[part] < norm.ppf((1 + share) / 2)) for share in SHARES for part in PARTS])
        lines.append(f"| {table.name} | {' | '.join(f'{value:.0f}' for value in found[-1])} |")
    lines.append(f"| mean of the settings | {' | '.join(f'{value:.0f}' for value in np.mean(found, 0))} |")
    return "\n".join(lines) + "\n"


def gain_of(tables: list[Table], name: str, learned: Learned) -> Gain:
    """Of the closed form's own plan over the best uniform one, of as many seeds as `optima` trains."""
    plans = optima.plans(tables, name)
    return expected_gain(SETTINGS[name].space, plans[optima.LEARNED], plans[optima.UNIFORM], optima.SEEDS,
                         learned.deviations, learned.constants)  # fmt: skip


def gain_table(tables: list[Table], learned: dict[str, Learned], trained: dict[str, dict[str, list[float]]]) -> str:
    heads = ("setting", "best uniform, %", "expected, points", f"{100 * SHARE:.0f} % interval", "chance, %",
             "measured, points", "in it")  # fmt: skip
    lines, inside = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"], 0
    for table in tables:
        uniform, best = (np.mean(trained[label][table.name]) for label in (optima.UNIFORM, optima.LEARNED))
        gain = gain_of(tables, table.name, learned[table.name])
        points, low, high = gain.points(uniform / 100)
        hit = low <= best - uniform <= high
        inside += hit
        cells = [table.name, f"{uniform:.1f}", f"{points:+.1f}", f"{low:+.1f} to {high:+.1f}"]
        cells += [f"{100 * gain.chance:.0f}", f"{best - uniform:+.1f}", "yes" if hit else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"In the interval: {inside} of {len(tables)}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = [Table.read(name) for name in SETTINGS if table_path(name).exists()]
    learned = {table.name: learned_without(tables, table.name) for table in tables}
    trained = optima.trained(tables, options.data_root, Path(options.cache))
    for name, text in {
        "gain": gain_table(tables, learned, trained),
        "coverage": coverage_table(tables, learned),
    }.items():
        write_between(HERE / "README.md", name, text)
        print(text)


if __name__ == "__main__":
    main()
