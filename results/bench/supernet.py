"""What layers compressed alone say of plans, and what bounds a supernet that compresses them all.

    python results/bench/supernet.py --data-root DATA       (half an hour; stopped, it goes on)

Writes its tables into README.md and prints the shares that belong into strategies/alone.py. Every measurement and every
supernet takes as many steps as two trainings of the setting, or fewer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.strategies.additive.strategy import Thompson
from bankwise.strategies.alone import Alone, interpolated
from bankwise.strategies.base import Strategy
from bankwise.strategies.scores import Scores
from results.bench.alone import ALONE, PARTS, SEEDS, UNADAPTED, Bench, shares, summed
from results.bench.page import write_between
from results.bench.paths import all_at_once, mixture, one_at_a_time
from results.bench.searches import Trainings, search
from results.bench.setting import SETTINGS
from results.bench.simulate import courses
from results.bench.surrogate import Surrogate
from results.bench.table import Table, table_path

HERE = Path(__file__).resolve().parent
ABLATED = ("digits-300", "digits-500", "digits-800-families")
LEAST_PLANS = 80  # of a table whose setting is searched
RUNS, MARKS = 20, (1, 4, 16, 32)
TRIALS, SEARCHES = (16,), 4  # of the real ones
CLOSED, SUM = "closed form", "closed form + alone"


def taus_table(benches: Sequence[Bench]) -> str:
    heads = ("setting", "score", *PARTS, "cost, trainings")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for bench in benches:
        training = bench.trained(bench.closed)[1]
        for label, scorings, measured in (
            (CLOSED, [bench.closed], None),
            (ALONE, [bench.alone(seed) for seed in SEEDS], ALONE),
            (UNADAPTED, [bench.unadapted(seed) for seed in SEEDS], UNADAPTED),
            (SUM, [summed(bench, seed, benches) for seed in SEEDS], ALONE),
        ):
            cost = np.mean([bench.seconds(f"{measured} {seed}") for seed in SEEDS]) / training if measured else 0.0
            cells = map(str, bench.taus([bench.totals(scores) for scores in scorings]))
            lines.append(f"| {bench.table.name} | {label} | {' | '.join(cells)} | {cost:.1f} |")
    return "\n".join(lines) + "\n"


def optima_table(benches: Sequence[Bench]) -> str:
    lines = [f"| plan of | {' | '.join(bench.table.name for bench in benches)} |", "|---" * (1 + len(benches)) + "|"]
    scorings: dict[str, Callable[[Bench], list[Scores]]] = {
        CLOSED: lambda bench: [bench.closed],
        ALONE: lambda bench: [bench.alone(seed) for seed in SEEDS],
        SUM: lambda bench: [summed(bench, seed, benches) for seed in SEEDS],
    }
    for label, scores in scorings.items():
        found = [100 * np.array([bench.trained(rows)[0] for rows in scores(bench)]) for bench in benches]
        lines.append(f"| {label} | {' | '.join(f'{one.mean():.1f} ± {one.std(ddof=1):.1f}' for one in found)} |")
    return "\n".join(lines) + "\n"


def ablation_table(benches: Sequence[Bench]) -> str:
    """Supernets that train for as long as two trainings."""
    names = ("one network a choice, one layer (alone)", "a supernet, one layer a step", "a supernet, all layers a step",
             "mixture of weights, accuracy of paths", "mixture of weights, logits")  # fmt: skip
    lines = [f"| supernet | {' | '.join(bench.table.name for bench in benches)} |", "|---" * (1 + len(benches)) + "|"]
    columns = []
    for bench in benches:
        found: list[list[np.ndarray]] = [[] for _ in names]
        for seed in SEEDS:
            task, space, kept, plans = bench.task(seed, 2), bench.space, bench.kept, bench.plans
            one = bench.of(f"{names[1]} {seed}", one_at_a_time, space, task, kept)
            every = bench.of(f"{names[2]} {seed}", all_at_once, space, task, kept, plans)
            logits, paths = bench.of(f"mixture of weights {seed}", mixture, space, task, plans)
            shared = interpolated(space, kept, [np.array(row) for row in one])
            values = [bench.totals(bench.alone(seed)), bench.totals(shared), every, paths, logits]
            for rows, value in zip(found, values, strict=True):
                rows.append(np.asarray(value))
        columns.append([" / ".join(f"{tau.value:.2f}" for tau in bench.taus(rows)) for rows in found])
    for name, *cells in zip(names, *columns, strict=True):
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def alone(bench: Bench, seed: int) -> Strategy:
    """Prepared by one of the measurements; searches take turns with them."""
    strategy = Alone(bench.space, seed)
    strategy.measured = bench.alone(SEEDS[seed % len(SEEDS)])
    return strategy


STRATEGIES: dict[str, Callable[[Bench, int], Strategy]] = {
    "thompson": lambda bench, seed: Thompson(bench.space, seed),
    "alone": alone,
}


def searches_table(benches: Sequence[Bench]) -> str:
    """With real trials: mean and deviation over searches of the accuracy of the plan held best, by seeds that chose
    nothing."""
    heads = ("setting", "strategy", *(f"after {trials}" for trials in TRIALS))
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for bench in benches:
        trainings = Trainings(bench.setting, bench.root, bench.folder)
        for name, make in STRATEGIES.items():
            cells = []
            for trials in TRIALS:
                found = [100 * search(make(bench, seed), trials, trainings)[0] for seed in range(SEARCHES)]
                cells.append(f"{np.mean(found):.2f} ± {np.std(found, ddof=1):.2f}")
                print(bench.table.name, name, trials, cells[-1], flush=True)
            lines.append(f"| {bench.table.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def regrets_table(benches: Sequence[Bench]) -> str:
    """By the surrogate, as in the study."""
    heads = ("setting", "strategy", *(f"after {mark}" for mark in MARKS))
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for bench in benches:
        surrogate = Surrogate.of(bench.table)

        found = {
            name: courses(lambda _, seed, make=make, bench=bench: make(bench, seed), surrogate, bench.table.noise,
                          MARKS[-1], RUNS)
            for name, make in STRATEGIES.items()
        }  # fmt: skip
        best = max(float(surrogate.predict(bench.plans).max()), *(course.max() for course in found.values()))
        for name, course in found.items():
            regret = 100 * (best - course[:, [mark - 1 for mark in MARKS]])
            halves = 1.96 * regret.std(0, ddof=1) / np.sqrt(RUNS)
            cells = [f"{mean:.2f} ± {half:.2f}" for mean, half in zip(regret.mean(0), halves, strict=True)]
            lines.append(f"| {bench.table.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    tables = [Table.read(name) for name in SETTINGS if table_path(name).exists()]
    benches = [Bench(tables, table.name, options.data_root, cache) for table in tables]
    ablated = [bench for bench in benches if bench.table.name in ABLATED]
    searched = [bench for bench in benches if len(bench.table.plans) >= LEAST_PLANS]
    for name, make, of in (
        ("alone", taus_table, benches),
        ("alone optima", optima_table, benches),
        ("supernets", ablation_table, ablated),
        ("alone regret", regrets_table, searched),
        ("alone searches", searches_table, searched),
    ):
        text = make(of)
        write_between(HERE / "README.md", name, text)
        print(text, flush=True)
    print("CLOSED_FORM, MEASURED =", ", ".join(f"{share:.2f}" for share in shares(benches)))


if __name__ == "__main__":
    main()
