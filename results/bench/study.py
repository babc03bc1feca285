"""What the tabular benchmark says of scores and strategies, from the packed tables.

    python results/bench/study.py [SETTING ...] --data-root DATA [--trials 256]

Kendall's tau of every score beside the noise ceiling; regret of every strategy over 20 searches on the surrogate.
Writes its tables into README.md, where a line names them, and regret.png. With --data-root sensitivity is measured too,
on each setting's teacher. What is through lies in runs/bench and is taken from there, unless the tables have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.files import write_text
from bankwise.strategies import make_strategy
from bankwise.strategies.base import Strategy
from bankwise.strategies.budgeted import BudgetedSpace
from results.bench import taus
from results.bench.fit import learned_table
from results.bench.page import write_between
from results.bench.setting import SETTINGS
from results.bench.simulate import courses
from results.bench.surrogate import Surrogate, cross_validated
from results.bench.table import Table, table_path

HERE = Path(__file__).resolve().parent
STRATEGIES = ("rate", "uniform", "random", "tpe", "evolution", "thompson")
IN_FLIGHT, FLIGHTS = ("evolution", "thompson"), (16,)
LEAST_PLANS = 80  # of a table whose surrogate is searched
RUNS, MARKS = 20, (1, 16, 64, 256)


def settings_table(tables: list[Table]) -> str:
    heads = ("setting", "plans", "trainings", "best %", "noise, points", "surrogate's error, points",
             "of the best tenth", "its tau", "of the best tenth")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for table in tables:
        error, _ = cross_validated(table)
        cells = [table.name, f"{len(table.plans):,}", f"{len(table.plan):,}", f"{100 * np.nanmax(table.mean):.1f}"]
        cells += [f"{100 * value:.1f}" for value in (error.noise, error.rmse, error.best_rmse)]
        cells += [f"{value:.2f}" for value in (error.tau, error.best_tau)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def taus_table(tables: list[Table], root: str | None, cache: Path) -> str:
    lines = []
    for table in tables:
        lines += [f"\n**{table.name}**\n", f"| score | {' | '.join(taus.PARTS)} |", "|---" * 5 + "|"]
        found = taus.taus(table, taus.scores(tables, table, root, cache))
        found["noise ceiling: another seed"] = {part: taus.ceiling(table, part) for part in taus.PARTS}
        lines += [f"| {name} | {' | '.join(str(row[part]) for part in taus.PARTS)} |" for name, row in found.items()]
    return "\n".join(lines) + "\n"


def course(table: Table, name: str, trials: int, in_flight: int, cache: Path) -> np.ndarray:
    """The accuracies of `courses`, (runs, trials), from the cache where they are there."""
    digest = hashlib.sha256(table_path(table.name).read_bytes()).hexdigest()[:12]
    path = cache / f"course-{table.name}-{name}-{trials}-{in_flight}-{digest}.json"
    if not path.exists():

        def make(space: BudgetedSpace, seed: int) -> Strategy:
            return make_strategy(name, space, seed)

        found = courses(make, surrogate(table.name), table.noise, trials, RUNS, in_flight)
        write_text(path, json.dumps(found.round(6).tolist()))
        print(table.name, name, in_flight, flush=True)
    return np.array(json.loads(path.read_text()))


@cache
def surrogate(name: str) -> Surrogate:
    return Surrogate.of(Table.read(name))


def regrets(table: Table, trials: int, cache: Path) -> dict[str, np.ndarray]:
    """Of every strategy the regret after each trial, (runs, trials): of the best plan that any search met or the table
    holds, less that of the plan held, by the surrogate. Those of IN_FLIGHT also with many trials at a time."""
    found = {name: course(table, name, trials, 1, cache) for name in STRATEGIES}
    for name in IN_FLIGHT:
        for count in FLIGHTS:
            found[f"{name}, {count} at a time"] = course(table, name, trials, count, cache)
    known = float(surrogate(table.name).predict(table.indices()[table.usable]).max())
    best = max(known, *(course.max() for course in found.values()))
    return {name: best - course for name, course in found.items()}


def regret_table(found: dict[str, dict[str, np.ndarray]], trials: int) -> str:
    marks = [mark for mark in MARKS if mark <= trials]
    heads = ["setting", "strategy", *(f"after {mark}" for mark in marks)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for setting, regret in found.items():
        for name, rows in regret.items():
            cells = [f"{_interval(100 * rows[:, mark - 1])}" for mark in marks]
            lines.append(f"| {setting} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(values: np.ndarray) -> str:
    """Mean and half the width of its 95 % interval."""
    return f"{values.mean():.2f} ± {1.96 * values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def draw(found: dict[str, dict[str, np.ndarray]]) -> Figure:
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(3.2 * columns + 0.6, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (setting, regret) in zip(panels, found.items(), strict=False):
        for name in STRATEGIES:
            course = regret[name]
            mean, error = 100 * course.mean(0), 196 * course.std(0, ddof=1) / np.sqrt(len(course))
            trials = np.arange(1, len(mean) + 1)
            axes.plot(trials, mean, label=name, lw=2 if name == "thompson" else 1)
            axes.fill_between(trials, mean - error, mean + error, alpha=0.15)
        axes.set(title=setting, xscale="log", yscale="log", xlabel="trials", ylabel="regret, points")
        axes.grid(alpha=0.3)
    for axes in list(panels):
        axes.set_axis_off()
    figure.axes[0].legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="default: all that are made")
    parser.add_argument("--data-root")
    parser.add_argument("--trials", type=int, default=MARKS[-1])
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    names = options.settings or [name for name in SETTINGS if table_path(name).exists()]
    tables, cache = [Table.read(name) for name in names], Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    parts = {
        "settings": settings_table(tables),
        "learned": learned_table(tables),
        "taus": taus_table(tables, options.data_root, cache),
    }
    searched = [table for table in tables if len(table.plans) >= LEAST_PLANS]
    found = {table.name: regrets(table, options.trials, cache) for table in searched}
    parts["regret"] = regret_table(found, options.trials)
    for name, text in parts.items():
        write_between(HERE / "README.md", name, text)
        print(text)
    draw(found).savefig(HERE / "regret.png", dpi=130)


if __name__ == "__main__":
    main()
