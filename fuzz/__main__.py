"""Read damaged and hostile files of every kind for a while: python -m fuzz --seconds 180 --seed 0"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import torch

from fuzz.every_kind import every_kind
from fuzz.runner import MEGABYTES, SECONDS, Outcome, run


def table(outcomes: list[Outcome]) -> str:
    """A row a kind."""
    rows = ["kind             cases  read  one line  tracebacks  hangs  over memory  peak MB"]
    for one in outcomes:
        bad = f"{len(one.tracebacks):10d}  {len(one.hangs):5d}  {len(one.large):11d}"
        rows.append(f"{one.kind:15s} {one.cases:6d} {one.accepted:5d}  {one.lines:8d}  {bad}  {one.peak:7d}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="some of them, with commas between")
    parser.add_argument("--keep", type=Path, help="folder for the files of bad cases; default: a new one")
    options = parser.parse_args()
    torch.set_num_threads(1)  # processes are forked
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        kinds = every_kind(folder / "valid")
    names = [name.strip() for name in options.kinds.split(",") if name.strip()]
    unknown = set(names) - {kind.name for kind in kinds}
    if unknown:
        parser.error(f"unknown kinds {', '.join(sorted(unknown))}; known: {', '.join(kind.name for kind in kinds)}")
    kinds = [kind for kind in kinds if not names or kind.name in names]
    outcomes = []
    for kind in kinds:
        outcome = run(kind, options.seed, folder, seconds=options.seconds / len(kinds))
        outcomes.append(outcome)
        for bad in (*outcome.tracebacks, *outcome.hangs, *outcome.large):
            print(f"{kind.name}: {bad}", file=sys.stderr)
    print(
        f"seed {options.seed}; a case may take {SECONDS:g} seconds, a process {MEGABYTES} MB; bad cases are in {folder}"
    )
    print(table(outcomes))
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
