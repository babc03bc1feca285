"""Train the plans of the tabular benchmark, in full; stopped at any time, the same command goes on.

    python results/bench/make.py SETTING [SETTING ...] --data-root DATA [--minutes M]

One process, one thread. Rows are appended to runs/bench/SETTING.jsonl and packed into SETTING.npz beside this file at
the end and every ten minutes. Of several settings the one that has taken least time comes next.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bankwise
from bankwise.trainers.loop import Diverged
from bankwise.trainers.trial import run_trial
from results.bench.draw import draw, origin, seeds
from results.bench.setting import SETTINGS, Setting
from results.bench.table import Table, pack, read_rows, table_path

ROOT = Path(__file__).resolve().parents[2]
PACK_EVERY = 600  # seconds


def code_identity() -> str:
    """Version and commit of the code that trains, and torch's version; `+` after a commit whose files were changed."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    trains = ("search_space", "trainers", "results/bench/setting.py")
    changed = "+" if git("status", "--porcelain", "--", *trains) else ""
    return f"{bankwise.__version__} {git('log', '-1', '--format=%h', '--', *trains)}{changed} torch {torch.__version__}"


class Making:
    """A setting under way. `seconds` are those that its rows took."""

    def __init__(self, setting: Setting, root: str, cache: Path, code: str) -> None:
        self.setting, self.code, self.path = setting, code, cache / f"{setting.name}.jsonl"
        self.space = setting.space
        self.rows = read_rows(self.path)
        self.seconds = math.fsum(row["seconds"] for row in self.rows)
        self.task = setting.task(root, cache)
        self.jobs = self._jobs()

    def _jobs(self) -> Iterator[tuple[int, tuple[int, ...], int]]:
        codes = [[choice.code() for choice in self.space.choices(i)] for i in range(len(self.space.sizes))]
        plans = {
            row["number"]: tuple(of.index(code) for of, code in zip(codes, row["plan"], strict=True))
            for row in self.rows
        }
        done = {(row["number"], row["seed"]) for row in self.rows}
        known = set(plans.values())
        number = 0
        while len(known) < self.space.sampler.count:
            plan = plans.get(number) or draw(self.space, number, known)
            if plan is not None:
                known.add(plan)
                yield from ((number, plan, seed) for seed in seeds(number) if (number, seed) not in done)
            number += 1

    def step(self) -> bool:
        """Train the next plan; false where none is left."""
        job = next(self.jobs, None)
        if job is None:
            return False
        number, indices, seed = job
        plan, begin = self.space.plan(indices), time.process_time()
        recipe = dataclasses.replace(self.setting.recipe, seed=1 + seed)  # the teacher's was 0
        try:
            result = run_trial(self.task, plan, recipe)
            found = {"accuracy": result.accuracy, "epochs": result.epochs}
        except Diverged as error:
            found = {"accuracy": None, "failure": str(error)}
        row = {
            "number": number, "origin": origin(number), "plan": [choice.code() for choice in plan.layers.values()],
            "seed": seed, **found, "seconds": round(time.process_time() - begin, 3), "code": self.code,
        }  # fmt: skip
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        self.seconds += row["seconds"]
        return True

    def pack(self) -> None:
        if self.rows:
            pack(self.setting, self.rows, table_path(self.setting.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)}; default: all")
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/bench")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after as many")
    parser.add_argument("--pack", action="store_true", help="train nothing, pack the rows that are there")
    options = parser.parse_args()
    if unknown := [name for name in options.settings if name not in SETTINGS]:
        parser.error(f"unknown setting {unknown[0]!r}; there are {', '.join(SETTINGS)}")
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    names = options.settings or list(SETTINGS)
    if options.pack:
        for name in names:
            if rows := read_rows(cache / f"{name}.jsonl"):
                pack(SETTINGS[name], rows, table_path(name))
                print(Table.read(name).summary())
        return
    torch.set_num_threads(1)
    code = code_identity()
    makings = [Making(SETTINGS[name], options.data_root, cache, code) for name in names]
    begin = packed = time.monotonic()
    try:
        while makings and time.monotonic() - begin < 60 * options.minutes:
            least = min(makings, key=lambda making: making.seconds)
            if not least.step():
                least.pack()
                makings.remove(least)
            if time.monotonic() - packed > PACK_EVERY:
                packed = time.monotonic()
                for making in makings:
                    making.pack()
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
    for making in makings:
        making.pack()
        print(Table.read(making.setting.name).summary())


if __name__ == "__main__":
    main()
