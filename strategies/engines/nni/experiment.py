"""An NNI experiment's folder: what every process of the experiment must agree on, and where its files lie.

bankwise.json      the experiment (this module)
config.yml, search_space.json, register.yml, recipe.yaml    for NNI and the user
(`bankwise.strategies.engines.nni.config`)
teacher.pt         training of the uncompressed network; teacher-weights.pt where it was given
trials/            the trial store (`bankwise.trainers.store`)
ledgers/           the ledger of each NNI experiment that used the folder (`bankwise.strategies.ledger`)
strategy/          what a strategy prepares
no-more            there where no trial is begun any more, for want of time or patience
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from bankwise.search_space import strict
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.files import write_text
from bankwise.search_space.imports import check_permitted
from bankwise.search_space.limits import Limits
from bankwise.search_space.locks import is_left_by_lock
from bankwise.search_space.ranges import SEED, in_range
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.trace import shape_of
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.trainers.checkpoint import load_checkpoint
from bankwise.trainers.identity import differences
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialStore
from bankwise.trainers.task import Task, TaskSource

VERSION = 3
ENCODINGS = ("choice", "importance")
FILE, CONFIG = "bankwise.json", "config.yml"
NO_MORE = "no-more"  # a file that says that no trial is begun any more


@dataclass(frozen=True)
class Experiment:
    """`source` makes the task, `training` trains the teacher; a trial takes `trial_epochs` of that recipe and `seed`.

    `input_shape` (channels, height, width) and `classes` are those of the data, so that plans are priced without them.
    `encoding` is that of NNI's search space. `code` is the folder a network of the user's own is imported from.
    `identity` tells images and network from others (`Task.identity`): a trial of others is an error.
    """

    source: TaskSource
    training: Recipe
    budget: str
    input_shape: tuple[int, int, int]
    classes: int
    accounting: str = "file"
    max_ram: int | None = None
    max_ops: int | None = None
    space: SpaceSettings = field(default_factory=SpaceSettings)
    trial_epochs: int = 8
    encoding: str = "choice"
    teacher: bool = True
    seed: int = 0
    code: str | None = None
    identity: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise unknown("encoding", self.encoding, ENCODINGS)
        in_range(1, trial_epochs=self.trial_epochs)
        in_range(0, SEED, seed=self.seed)
        if self.training.distill and not self.teacher:
            raise BankwiseError(f"recipe distill is {self.training.distill}: that needs a teacher")
        if self.source.keep != self.space.keep:
            raise BankwiseError(f"keep: {self.source.keep} of the task is not {self.space.keep} of the space")

    @property
    def recipe(self) -> Recipe:
        """Of a trial."""
        return dataclasses.replace(self.training, epochs=self.trial_epochs, seed=self.seed)

    @cached_property
    def shape(self) -> NetworkShape:
        self.find_code()
        return shape_of(self.source.network, self.input_shape, self.classes, self.source.keep)

    @cached_property
    def budgeted(self) -> BudgetedSpace:
        """The plans within the limits. Raises InfeasibleBudget."""
        limit = Budget.parse(self.budget, self.shape, self.accounting)
        return BudgetedSpace.of(self.shape, self.space, Limits(limit, self.max_ram, self.max_ops))

    def find_code(self) -> None:
        if self.code is not None and self.code not in sys.path:
            check_permitted("folder of code", self.code)
            sys.path.insert(0, self.code)

    def store(self, folder: Path) -> TrialStore:
        """The trials below `folder`."""
        return TrialStore(folder / "trials", {"source": self.source.to_dict(), "teacher": self.teacher})

    def task(self, folder: Path) -> Task:
        """The data, the network and, where there is one, the teacher: the first that asks trains it, others wait."""
        self.find_code()
        if not self.teacher:
            return self.source.make(self.training, identity=self.identity)
        weights = folder / "teacher-weights.pt"
        if weights.exists():
            task = self.source.make(self.training, identity=self.identity)
            teacher = copy.deepcopy(task.network)
            teacher.load_state_dict(load_checkpoint(weights)["model"])
            return dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))
        with FileLock(folder / "teacher.lock"):
            return self.source.make(self.training, folder / "teacher.pt", self.identity)

    def to_dict(self) -> dict[str, Any]:
        return {"version": VERSION, **strict.to_dict(self)}

    @classmethod
    def from_dict(cls, values: object) -> Experiment:
        if not isinstance(values, Mapping):
            raise BankwiseError(f"{short(values)} is not a mapping")
        if values.get("version") != VERSION:
            raise BankwiseError(f"version: {short(values.get('version'))} is not known; this release reads {VERSION}")
        return strict.read(cls, {key: value for key, value in values.items() if key != "version"}, "experiment")

    def write(self, folder: Path) -> None:
        """Into FOLDER/bankwise.json; raises BankwiseError as `check` does."""
        self.check(folder)
        write_text(folder / FILE, json.dumps(self.to_dict(), indent=2) + "\n")

    def check(self, folder: Path) -> None:
        """Raises BankwiseError where the folder holds another experiment, or something else."""
        path = folder / FILE
        if path.exists():
            there, mine = Experiment.read(folder).to_dict(), self.to_dict()
            wrong = list(differences(there.pop("identity"), mine.pop("identity"), "identity"))
            wrong += [
                f"{key}: {short(there[key])} there, {short(mine[key])} now" for key in mine if there[key] != mine[key]
            ]
            if wrong:
                raise BankwiseError(
                    f"{str(folder)!r} holds another experiment (" + ", ".join(wrong[:3]) + "); choose another folder"
                )
        elif folder.exists() and (not folder.is_dir() or any(not is_left_by_lock(inner) for inner in folder.iterdir())):
            raise BankwiseError(f"{str(folder)!r} exists and is no NNI experiment of bankwise; choose another folder")

    @classmethod
    def read(cls, folder: Path) -> Experiment:
        path = folder / FILE
        try:
            text = path.read_bytes()
        except OSError as error:
            raise BankwiseError(
                f"{str(folder)!r} is no NNI experiment of bankwise (cannot read {FILE}: {error.strerror}); "
                "`bankwise nni init` makes one"
            ) from None
        try:
            return cls.from_dict(strict.parse_json(text, "experiment"))
        except BankwiseError as error:
            raise BankwiseError(f"{str(path)!r}: {error}") from None
