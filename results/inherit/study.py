"""Is a short trial worth more where it starts from the trained child of a near plan than from the float network?

    python results/inherit/study.py --data-root DATA        (about 20 minutes on one core)

Plans of the table of trained plans, and searches by evolution: their short trials from either start, held against full
trainings. Only the validation split is read. Writes table.md, the same tables in README.md, and
results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.files import write_text
from results.bench.page import write_between
from results.bench.table import Table
from results.inherit import tables, work
from results.inherit.descent import FITS
from results.inherit.fields import TABLES, field
from results.inherit.tables import FROM_FLOAT, Trials
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
SEEDS = dict.fromkeys(TABLES, 1)  # of trials, each with parents of its own
FRESH = {"digits-500": (1, 2, 4, 8), "digits-800-families": (1, 2, 4)}  # epochs of trials from the float network
EPOCHS = (1, 2, 4)  # of those that inherit
SEARCHED, SEARCHES, SEARCH_TRUTH = "digits-500", {2: 3, 4: 3}, 300  # searches by the epochs of their trials
INHERIT = {f"inherit, {fit}": (work.inherited, fit) for fit in FITS}
CHAIN = {f"chain, {fit}": (work.chain, fit) for fit in FITS}
WAYS = {"digits-500": {**INHERIT, **CHAIN}, "digits-800-families": {"inherit, teacher": INHERIT["inherit, teacher"]}}
Found = Mapping[str, dict]


def trial_jobs(root: str, cache: str) -> list[tuple]:
    """(function, name, arguments): every way's trials, seed by seed."""
    jobs: list[tuple] = []
    for name, seeds in SEEDS.items():
        for seed in range(seeds):
            jobs += [
                (work.fresh, f"{name}-fresh-{epochs}-{seed}", (name, root, cache, seed, epochs))
                for epochs in FRESH[name]
            ]
            jobs += [
                (make, _name(name, way, epochs, seed), (name, root, cache, seed, fit, epochs))
                for way, (make, fit) in WAYS[name].items()
                for epochs in EPOCHS
            ]
    return jobs


def _name(name: str, way: str, epochs: int, seed: int) -> str:
    return f"{name}-{way.replace(', ', '-')}-{epochs}-{seed}"


def search_jobs(root: str, cache: str) -> list[tuple]:
    return [
        (work.search, _search_name(epochs, inherits, seed), (SEARCHED, root, cache, seed, epochs, inherits))
        for epochs, count in SEARCHES.items()
        for seed in range(count)
        for inherits in (False, True)
    ]


def _search_name(epochs: int, inherits: bool, seed: int) -> str:
    return f"{SEARCHED}-search-{'inherit' if inherits else 'fresh'}-{epochs}-{seed}"


def truth_jobs(searches: Found, root: str, cache: str) -> list[tuple]:
    """A full training of every plan that a search tried."""
    plans = {_plan_name(plan): plan for one in searches.values() for plan in one["plans"]}
    return [(work.in_full, name, (SEARCHED, root, cache, plan, SEARCH_TRUTH)) for name, plan in plans.items()]


def _plan_name(plan: list[int]) -> str:
    return f"{SEARCHED}-plan-{'-'.join(map(str, plan))}"


def ordered(found: Found, root: str, cache: str) -> dict[str, Trials]:
    """By field, named as the tables name it."""
    made = {}
    for name, seeds in SEEDS.items():
        table = Table.read(name)
        truth = table.mean[table.usable][: TABLES[name][0]]
        fresh = {
            epochs: _rows([found[f"{name}-fresh-{epochs}-{seed}"]["accuracies"] for seed in range(seeds)])
            for epochs in FRESH[name]
        }
        trials: dict[str, dict[int, np.ndarray]] = {FROM_FLOAT: fresh}
        about: dict[str, dict[int, np.ndarray]] = {}
        for way, (make, _) in WAYS[name].items():
            what = "generations" if make is work.chain else "shared"
            of = {epochs: [found[_name(name, way, epochs, s)] for s in range(seeds)] for epochs in EPOCHS}
            trials[way] = {epochs: _rows([one["accuracies"] for one in some]) for epochs, some in of.items()}
            about[way] = {epochs: _rows([one[what] for one in some]) for epochs, some in of.items()}
        made[f"{field(name, root, cache).setting.network}, {name}"] = Trials(truth, trials, about)
    return made


def _rows(values: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in values], float)


def searched(searches: Found, truths: Found) -> dict[tuple[int, bool], list[dict[str, np.ndarray]]]:
    """By epochs and whether trials inherit: each search's trials beside full trainings of the same plans."""
    return {
        (epochs, inherits): [
            {
                "accuracies": np.array(one["accuracies"]), "generations": np.array(one["generations"]),
                "shared": _rows([one["shared"]])[0],
                "truth": np.array([truths[_plan_name(plan)]["accuracy"] for plan in one["plans"]]),
            }
            for one in (searches[_search_name(epochs, inherits, seed)] for seed in range(count))
        ]
        for epochs, count in SEARCHES.items()
        for inherits in (False, True)
    }  # fmt: skip


def run(jobs: list[tuple], cache: Path, workers: int) -> Found:
    """The results by name."""
    return run_jobs(_call, [(name, (make, *arguments)) for make, name, arguments in jobs], cache, workers)


def _call(make: Callable[..., dict], *arguments: object) -> dict:
    return make(*arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/inherit")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    root, cache = options.data_root, Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    trials = run(search_jobs(root, options.cache), cache, options.workers)
    truths = run(truth_jobs(trials, root, options.cache), cache, options.workers)
    found = run(trial_jobs(root, options.cache), cache, options.workers)
    fields = ordered(found, root, options.cache)
    parts = {
        "Tau by epochs": tables.taus(fields), "What an epoch is worth": tables.values(fields),
        "What descent adds to an accuracy": tables.gains(fields), "Searches": tables.searches(searched(trials, truths)),
    }  # fmt: skip
    text = "\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
    write_text(HERE / "table.md", text)
    write_text(HERE / "results.json", json.dumps({**found, **trials, **truths}) + "\n")
    for title, part in parts.items():
        write_between(HERE / "README.md", title.lower(), part)
    print(text)


if __name__ == "__main__":
    main()
