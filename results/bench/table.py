"""The table of a setting: plans, seeds, accuracies on the validation split. Read without torch or images.

table = Table.read("digits-500")
table.accuracy(plan, seed=0)        # a Plan or its codes, one a layer
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.plan import Plan
from results.bench.draw import ORIGINS
from results.bench.setting import SETTINGS, Setting

HERE = Path(__file__).resolve().parent


def table_path(name: str) -> Path:
    return HERE / f"{name}.npz"


@dataclass(frozen=True)
class Table:
    """`codes[layer]` are the choices met there; `plans` (plans, layers) are places among them, `origins` (plans,) how
    each was drawn. A row is a training: `plan` (rows,) its plan, `seed`, `accuracy` (rows,), 0 to 1, NaN where it
    diverged, `epochs` (rows, epochs) the accuracy after each, `code` (rows,) into `identities`: the code that trained.
    `setting` are the values of the setting as it was then."""

    name: str
    layers: tuple[str, ...]
    codes: tuple[tuple[str, ...], ...]
    plans: np.ndarray
    origins: np.ndarray
    plan: np.ndarray
    seed: np.ndarray
    accuracy_of_row: np.ndarray
    epochs: np.ndarray
    seconds: np.ndarray
    code: np.ndarray
    identities: tuple[str, ...]
    setting: Mapping[str, Any]

    @classmethod
    def read(cls, name: str) -> Table:
        """Raises BankwiseError where there is no such table."""
        if name not in SETTINGS:
            raise unknown("setting", name, SETTINGS)
        if not table_path(name).exists():
            raise BankwiseError(f"{table_path(name).name} is not made yet: python results/bench/make.py {name}")
        with np.load(table_path(name)) as file:
            about = json.loads(str(file["about"]))
            arrays = {key: file[key] for key in file.files if key != "about"}
        codes = tuple(map(tuple, about["codes"]))
        return cls(name, tuple(about["layers"]), codes, identities=tuple(about["identities"]),
                   setting=about["setting"], **arrays)  # fmt: skip

    @cached_property
    def _rows(self) -> dict[tuple[tuple[str, ...], int], int]:
        words = [self.words(number) for number in range(len(self.plans))]
        return {
            (words[plan], int(seed)): row for row, (plan, seed) in enumerate(zip(self.plan, self.seed, strict=True))
        }

    def words(self, number: int) -> tuple[str, ...]:
        """The codes of plan `number`."""
        return tuple(row[i] for row, i in zip(self.codes, self.plans[number], strict=True))

    def accuracy(self, plan: Plan | Sequence[str], seed: int = 0) -> float:
        """Of that training; NaN where it diverged. BankwiseError where it is not in the table."""
        codes = tuple(choice.code() for choice in plan.layers.values()) if isinstance(plan, Plan) else tuple(plan)
        row = self._rows.get((codes, seed))
        if row is None:
            seeds = [of for words, of in self._rows if words == codes]
            which = f"seed {seed}, only {seeds}" if seeds else f"plan {' '.join(codes)}"
            raise BankwiseError(f"table {self.name!r} has no {which}; the surrogate answers for any plan")
        return float(self.accuracy_of_row[row])

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean accuracy over the seeds of each plan, (plans,); a plan that diverged by any has NaN."""
        total, count = np.zeros(len(self.plans)), np.zeros(len(self.plans))
        np.add.at(total, self.plan, self.accuracy_of_row)
        np.add.at(count, self.plan, 1)
        return np.asarray(total / count)

    @cached_property
    def by_seed(self) -> np.ndarray:
        """Accuracies (plans, seeds); NaN where a plan was not trained by that seed, or diverged."""
        found = np.full((len(self.plans), int(self.seed.max()) + 1), np.nan)
        found[self.plan, self.seed] = self.accuracy_of_row
        return found

    @cached_property
    def repeated(self) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies (n, seeds) of the n plans that were trained by every seed, and which plans these are, (n,)."""
        plans = np.flatnonzero(np.isfinite(self.by_seed).all(1))
        return self.by_seed[plans], plans

    def without_seed(self, seed: int) -> np.ndarray:
        """Mean accuracies (plans,) of the other seeds; NaN where there are none."""
        others = np.delete(self.by_seed, seed, 1)
        there = np.isfinite(others)
        return np.asarray(np.where(there, others, 0).sum(1) / np.where(there.any(1), there.sum(1), np.nan))

    @property
    def noise(self) -> float:
        """Standard deviation of the accuracy between the seeds of a plan."""
        return float(np.sqrt(self.repeated[0].var(1, ddof=1).mean()))

    @cached_property
    def usable(self) -> np.ndarray:
        """Which plans did not diverge and are still in the setting's space, (plans,) of bool."""
        return np.asarray((self.indices() >= 0).all(1) & np.isfinite(self.mean))

    def indices(self) -> np.ndarray:
        """The plans as indices of the setting's space as it is now, (plans, layers); -1 where a choice is not in it."""
        space = SETTINGS[self.name].space
        columns = []
        for i, codes in enumerate(self.codes):
            places = {choice.code(): j for j, choice in enumerate(space.choices(i))}
            columns.append(np.array([places.get(code, -1) for code in codes])[self.plans[:, i]])
        return np.stack(columns, 1)

    def summary(self) -> str:
        random, near = (int((self.origins == i).sum()) for i in range(2))
        return (
            f"{self.name}: {len(self.plans):,} plans ({random:,} random, {near:,} near), {len(self.plan):,} trainings, "
            f"{int(np.isnan(self.accuracy_of_row).sum())} diverged, {self.seconds.sum() / 60:.1f} minutes, "
            f"accuracy {100 * np.nanmin(self.mean):.1f} to {100 * np.nanmax(self.mean):.1f} %"
        )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of make.py; a last line that a kill cut short is none."""
    lines = path.read_text().split("\n") if path.exists() else []
    if lines and lines[-1]:
        path.write_text("".join(f"{line}\n" for line in lines[:-1]))
    return [json.loads(line) for line in lines[:-1]]


def pack(setting: Setting, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the table of `rows`."""
    plans: dict[int, tuple[str, ...]] = {row["number"]: tuple(row["plan"]) for row in rows}
    numbers = {number: i for i, number in enumerate(sorted(plans))}
    layers = setting.space.space.names
    codes = [sorted({plan[i] for plan in plans.values()}) for i in range(len(layers))]
    origins = {row["number"]: ORIGINS.index(row["origin"]) for row in rows}
    identities = sorted({row["code"] for row in rows})
    nothing = [np.nan] * setting.recipe.epochs
    about = {
        "layers": layers, "codes": codes, "identities": identities,
        "setting": {
            "network": setting.network, "data": setting.data, "input_shape": setting.input_shape,
            "bytes": setting.bytes, "images": setting.images, "validation": setting.validation,
            "kinds": setting.kinds, "teacher_epochs": setting.teacher_epochs, "recipe": setting.recipe.to_dict(),
        },
    }  # fmt: skip
    arrays = {
        "plans": np.array([[row.index(code) for row, code in zip(codes, plans[n], strict=True)] for n in numbers],
                          np.uint16),
        "origins": np.array([origins[number] for number in numbers], np.uint8),
        "plan": np.array([numbers[row["number"]] for row in rows], np.uint32),
        "seed": np.array([row["seed"] for row in rows], np.uint8),
        "accuracy_of_row": np.array([np.nan if row["accuracy"] is None else row["accuracy"] for row in rows]),
        "epochs": np.array([row.get("epochs", nothing) for row in rows], np.float32),
        "seconds": np.array([row["seconds"] for row in rows], np.float32),
        "code": np.array([identities.index(row["code"]) for row in rows], np.uint16),
    }  # fmt: skip
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, about=json.dumps(about), **arrays)
    os.replace(part, path)
