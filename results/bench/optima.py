"""The closed forms' own plans, trained: what `bankwise plan` gives with constants that never saw the setting.

    python results/bench/optima.py --data-root DATA       (minutes; writes its table into README.md)

Of each setting the best plan within the budget by each closed form, and the best uniform plan, trained as the table's
plans, by three seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.files import write_text
from bankwise.strategies import make_strategy
from bankwise.strategies.scores import log_rate, weighted_capture
from bankwise.trainers.trial import run_trial
from results.bench.fit import BEFORE, UNTRAINED, fitted_without
from results.bench.page import write_between
from results.bench.setting import SETTINGS
from results.bench.table import Table, table_path

HERE = Path(__file__).resolve().parent
SEEDS = 3
UNIFORM, LEARNED = "best uniform", "learned without the setting"


def plans(tables: list[Table], name: str) -> dict[str, np.ndarray]:
    space = SETTINGS[name].space
    return {
        "log rate": space.solve(log_rate(space)),
        UNIFORM: space.indices(make_strategy("uniform", space).ask()),
        "capture, untrained": space.solve(weighted_capture(space, UNTRAINED)),
        "capture, weights^-1/4": space.solve(weighted_capture(space, BEFORE)),
        LEARNED: space.solve(weighted_capture(space, fitted_without(tables, name))),
    }


def trained(tables: list[Table], root: str, cache: Path) -> dict[str, dict[str, list[float]]]:
    """By label and setting the accuracies (seeds,), in percent, of the plans; what is through is taken from `cache`."""
    kept = cache / "optima.json"
    done = json.loads(kept.read_text()) if kept.exists() else {}
    rows: dict[str, dict[str, list[float]]] = {}
    for table in tables:
        setting, task = SETTINGS[table.name], None
        for label, indices in plans(tables, table.name).items():
            plan = setting.space.plan(indices)
            found = []
            for seed in range(SEEDS):
                key = f"{table.name} {plan.text} {seed}"
                if key not in done:
                    task = task or setting.task(root, cache)
                    recipe = dataclasses.replace(setting.recipe, seed=1 + seed)
                    done[key] = run_trial(task, plan, recipe).accuracy
                    write_text(kept, json.dumps(done))
                found.append(100 * done[key])
            rows.setdefault(label, {})[table.name] = found
            print(table.name, label, f"{np.mean(found):.1f} ± {np.std(found, ddof=1):.1f}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = [Table.read(name) for name in SETTINGS if table_path(name).exists()]
    rows = trained(tables, options.data_root, Path(options.cache))
    lines = [f"| plan of | {' | '.join(table.name for table in tables)} |", "|---" * (1 + len(tables)) + "|"]
    for label, of in rows.items():
        cells = [f"{np.mean(one):.1f} ± {np.std(one, ddof=1):.1f}" for one in of.values()]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    write_between(HERE / "README.md", "optima", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
