"""Accuracy at a given size of file, from all training images, beside what others published.

    python results/records/study.py mnist --data-root DATA
    python results/records/study.py fashion-mnist --data-root DATA
    python results/records/study.py cifar10 --data-root DATA
    python results/records/study.py cifar10-large --data-root DATA --workers 1      (made for a GPU)

The validation split is the same for everything and chooses network and plan of a row, by short trainings with one seed.
Each row is then trained over three seeds, each from a float network of its own; in some rows other methods at equal
bytes likewise. The test set is read when a row's trainings are through, once, from the files; nothing is chosen after
that. What is through lies in runs/records, so that a command that was stopped goes on; rows of results.json by the same
settings that are not in the cache stay.
`--rows 1500,3200` does these rows alone; `--keep` trains no row that results.json has, only what is missing beside it;
`--table` trains nothing, and writes the table of the rows that are through; `--small` tries the command in a minute, on
few images, and writes nothing here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.plan import Plan
from results.jobs import run_jobs
from results.records.ladders import LADDERS, Ladder
from results.records.tables import draw, table
from results.records.work import by_method, child, floating, measured, plans


@dataclass(frozen=True)
class Run:
    """How the jobs of a ladder run. Rows of `kept`, by size, are not trained again, only what is missing beside."""

    ladder: Ladder
    root: str
    cache: Path
    workers: int | None
    kept: Mapping[int, dict]

    def jobs(self, work: Callable[..., dict], jobs: Mapping[str, tuple], workers: int | None = None) -> None:
        """`work(ladder, root, cache, *arguments)` for every job."""
        given = {name: (self.ladder, self.root, self.cache, *arguments) for name, arguments in jobs.items()}
        run_jobs(work, given.items(), self.cache, workers or self.workers)


def row(run: Run, size: int) -> None:
    """Choose, train and measure the row of one size, and what is compared there."""
    ladder = run.ladder
    if size in run.kept:
        plan = Plan.from_dict(run.kept[size]["plan"])
    else:
        label, plan = chosen(run, size)
        full(run, {label: plan}, ladder.full)
    beside = f"{size}-{plan.network}"  # the row's network, as another choice has others beside it
    if size in ladder.longer:
        full(run, {f"{beside}-{ladder.longer[size]}-epochs": plan}, ladder.longer[size])
    methods = {name: by_method(ladder, name, plan.network, size) for name in ladder.compared.get(size, ())}
    full(run, {f"{beside}-{name}": other for name, other in methods.items() if other is not None}, ladder.full)


def chosen(run: Run, size: int) -> tuple[str, Plan]:
    """The label and the plan that short trainings choose for a row."""
    ladder = run.ladder
    run.jobs(floating, {f"float-{name}-0": (name, 0) for name in ladder.networks[size]})
    proposed = {
        f"{size}-{name}-{score}": plan
        for name in ladder.networks[size]
        for score, plan in plans(ladder, name, size).items()
    }
    if len(labels(ladder, size)) > 1:
        run.jobs(child, {f"try-{label}": (plan, 0, ladder.short, None) for label, plan in proposed.items()})
    label = choice(ladder, size, run.cache)
    if label not in proposed:
        raise SystemExit(f"{ladder.name}: no plan of {', '.join(ladder.networks[size])} fits {size:,} bytes")
    return label, proposed[label]


def full(run: Run, plans: Mapping[str, Plan], epochs: int) -> None:
    """The plans, by their labels, trained over all seeds, each from a float network of its own, and measured."""
    runs = [(f"{label}-{seed}", plan, seed) for label, plan in plans.items() for seed in range(run.ladder.seeds)]
    files = {name: run.cache / f"final-{name}.bankwise" for name, _, _ in runs}
    run.jobs(floating, {f"float-{plan.network}-{seed}": (plan.network, seed) for _, plan, seed in runs})
    run.jobs(child, {f"final-{name}": (plan, seed, epochs, files[name]) for name, plan, seed in runs})
    run.jobs(measured, {f"test-{name}": (files[name],) for name, _, _ in runs}, 1)


def labels(ladder: Ladder, size: int) -> list[str]:
    """What a row chooses among, as SIZE-NETWORK-SCORE."""
    return [f"{size}-{name}-{score}" for name in ladder.networks[size] for score in ladder.scores]


def tried(ladder: Ladder, size: int, cache: Path) -> dict[str, float]:
    """Validation accuracies of the row's short trainings, by label."""
    names = labels(ladder, size)
    return {label: read(cache, f"try-{label}")["accuracy"] for label in names if there(cache, f"try-{label}")}


def choice(ladder: Ladder, size: int, cache: Path) -> str | None:
    """What the validation split chose for the row, once all short trainings are through; where there is nothing to
    choose it is not asked. None: none is through."""
    accuracies = tried(ladder, size, cache)
    if len(only := labels(ladder, size)) == 1:
        return only[0]
    return max(accuracies, key=accuracies.__getitem__) if accuracies else None


def there(cache: Path, name: str) -> bool:
    return (cache / f"{name}.json").exists()


def read(cache: Path, name: str) -> dict:
    """The result of a job."""
    found: dict = json.loads((cache / f"{name}.json").read_text())
    return found


def results(ladder: Ladder, cache: Path, kept: Mapping[int, dict] | None = None) -> dict[int, dict]:
    """The rows that are through, by size, as they lie in the cache; those of `kept` where it has none."""
    found = {}
    for size in ladder.networks:
        label = choice(ladder, size, cache)
        before = (kept or {}).get(size, {})
        one = through(ladder, label, cache) if label is not None else {}
        one = one | {"tried": tried(ladder, size, cache)} if one else before
        if one:
            beside = {name: through(ladder, f"{size}-{one['network']}-{name}", cache) for name in ladder.beside(size)}
            old = before.get("compared", {}) if before.get("network") == one["network"] else {}
            found[size] = one | {"compared": old | {name: other for name, other in beside.items() if other}}
    return found


def through(ladder: Ladder, label: str, cache: Path) -> dict:
    """What the seeds of a plan gave; nothing unless all are measured."""
    seeds = range(ladder.seeds)
    if not all(there(cache, f"test-{label}-{seed}") for seed in seeds):
        return {}
    finals = [read(cache, f"final-{label}-{seed}") for seed in seeds]
    floats = [read(cache, f"float-{finals[0]['network']}-{seed}") for seed in seeds]
    return finals[0] | {
        "accuracies": [one["accuracy"] for one in finals],
        "test_accuracies": [read(cache, f"test-{label}-{seed}")["accuracy"] for seed in seeds],
        "float_accuracies": [one["accuracy"] for one in floats],
        "seconds": sum(one["seconds"] for one in (*finals, *floats)) / len(seeds),
        "petaflop": sum(one["petaflop"] for one in (*finals, *floats)) / len(seeds),
    }


def published(ladder: Ladder, folder: Path) -> dict[int, dict]:
    """The rows that an earlier run of the command wrote, by the same settings."""
    file = folder / "results.json"
    stored = json.loads(file.read_text()) if file.exists() else {}
    rows = stored["rows"] if stored.get("settings") == ladder.key else {}
    return {size: rows[str(size)] for size in ladder.networks if str(size) in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ladder", choices=LADDERS)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/records")
    parser.add_argument("--rows", help="sizes in bytes with commas between them; default: all")
    parser.add_argument("--workers", type=int, help="trainings at a time; default: one a core")
    parser.add_argument("--keep", action="store_true", help="train no row again that is in results.json")
    parser.add_argument("--table", action="store_true", help="train nothing, write the table of what is through")
    parser.add_argument("--small", action="store_true", help="try the command on few images, print its table")
    options = parser.parse_args()
    ladder = LADDERS[options.ladder]
    ladder = ladder.tried_small() if options.small else ladder
    cache = Path(options.cache) / ladder.key
    folder = Path(__file__).resolve().parent / ladder.name
    sizes = list(ladder.networks) if options.rows is None else [int(text) for text in options.rows.split(",")]
    if unknown := [size for size in sizes if size not in ladder.networks]:
        parser.error(f"no row of {unknown[0]} bytes: rows are {', '.join(map(str, ladder.networks))}")
    kept = {} if options.small else published(ladder, folder)
    run = Run(ladder, options.data_root, cache, options.workers, kept if options.keep else {})
    for size in [] if options.table else sizes:
        row(run, size)
    found = results(ladder, cache, kept)
    if not found:
        parser.error(f"no row of {ladder.name} is through in {cache}: leave --table out to train it")
    print(table(ladder, found))
    if options.small:
        return
    folder.mkdir(exist_ok=True)
    stored = {"settings": ladder.key, "rows": found}
    (folder / "results.json").write_text(json.dumps(stored, indent=1) + "\n")
    (folder / "table.md").write_text(table(ladder, found))
    draw(ladder, found).savefig(folder / "accuracy.png", dpi=160)


if __name__ == "__main__":
    main()
