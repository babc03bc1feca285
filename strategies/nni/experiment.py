"""An NNI experiment's folder: what every process of the experiment must agree on, and where its files lie.

bankwise.json      the experiment (this module)
config.yml, search_space.json, register.yml, recipe.yaml    for NNI and the user (`strategies.nni.config`)
teacher.pt         training of the uncompressed network; teacher-weights.pt where it was given
trials/KEY/        one plan: checkpoint.pt while it trains, record.json when it is through
attempts/          one file a started trial (`strategies.nni.attempts`)
strategy/          what a strategy prepares
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from search_space.budget import Budget
from search_space.errors import BankwiseError, unknown
from search_space.files import write_text
from search_space.networks import build
from search_space.plan import Plan
from search_space.shape import NetworkShape
from search_space.space import SearchSpace, SpaceSettings
from search_space.trace import trace
from strategies.budgeted import BudgetedSpace
from trainers.checkpoint import load_checkpoint
from trainers.recipe import Recipe
from trainers.task import Task, TaskSource

VERSION = 1
ENCODINGS = ("choice", "importance")
FILE = "bankwise.json"


@dataclass(frozen=True)
class Experiment:
    """`source` makes the task, its recipe trains the teacher; a trial takes `trial_epochs` of that recipe and `seed`.

    `input_shape` (channels, height, width) and `classes` are those of the data, so that plans are priced without them.
    `encoding` is that of NNI's search space. `code` is the folder a network of the user's own is imported from.
    """

    source: TaskSource
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

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise unknown("encoding", self.encoding, ENCODINGS)
        if self.trial_epochs < 1:
            raise BankwiseError(f"trial epochs {self.trial_epochs} must be at least 1")
        if self.source.recipe.distill and not self.teacher:
            raise BankwiseError(f"recipe distill is {self.source.recipe.distill}: that needs a teacher")
        if self.source.keep != self.space.keep:
            raise BankwiseError(f"keep: {self.source.keep} of the task is not {self.space.keep} of the space")

    @property
    def recipe(self) -> Recipe:
        """Of a trial."""
        return dataclasses.replace(self.source.recipe, epochs=self.trial_epochs, seed=self.seed)

    @cached_property
    def shape(self) -> NetworkShape:
        self.find_code()
        network = build(self.source.network, classes=self.classes, in_channels=self.input_shape[0])
        return trace(network, self.source.network, self.input_shape, self.classes, self.source.keep)

    @cached_property
    def budgeted(self) -> BudgetedSpace:
        """The plans within the limits. Raises InfeasibleBudget."""
        limit = Budget.parse(self.budget, self.shape, self.accounting)
        return BudgetedSpace(SearchSpace(self.shape, self.space), limit, self.max_ram, self.max_ops)

    def find_code(self) -> None:
        if self.code is not None and self.code not in sys.path:
            sys.path.insert(0, self.code)

    def key(self, plan: Plan) -> str:
        """Names the trial of a plan: the same plan, recipe and seed have the same one."""
        values = [plan.to_dict(), {**self.recipe.to_dict(), "threads": None}]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def task(self, folder: Path) -> Task:
        """The data, the network and, where there is one, the teacher: the first that asks trains it, others wait."""
        self.find_code()
        if not self.teacher:
            return self.source.make()
        weights = folder / "teacher-weights.pt"
        if weights.exists():
            task = self.source.make()
            teacher = copy.deepcopy(task.network)
            teacher.load_state_dict(load_checkpoint(weights)["model"])
            return dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))
        with FileLock(folder / "teacher.lock"):
            return self.source.make(folder / "teacher.pt")

    def to_dict(self) -> dict[str, object]:
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values |= {"source": self.source.to_dict(), "space": dataclasses.asdict(self.space)}
        return json.loads(json.dumps({"version": VERSION, **values}))

    @classmethod
    def from_dict(cls, values: object) -> Experiment:
        known = _checked(values, cls, extra=("version",))
        if known.pop("version") != VERSION:
            raise BankwiseError(f"version: {values['version']!r} is not known; this release reads {VERSION}")
        source = _checked(known["source"], TaskSource)
        space = _checked(known["space"], SpaceSettings)
        try:
            for key in ("hidden", "first", "last", "keep"):
                space[key] = tuple(space[key])
            space["tiles"] = tuple(tuple(tile) for tile in space["tiles"])
            space["layers"] = {name: tuple(kinds) for name, kinds in space["layers"].items()}
            known |= {"source": TaskSource.from_dict(source), "space": SpaceSettings(**space)}
            return cls(**known | {"input_shape": tuple(known["input_shape"])})
        except (TypeError, AttributeError, KeyError) as error:
            raise BankwiseError(f"a value is of the wrong type ({error})") from None

    def write(self, folder: Path) -> None:
        """Into FOLDER/bankwise.json; one that holds another experiment is an error."""
        path = folder / FILE
        if path.exists():
            held, mine = Experiment.read(folder).to_dict(), self.to_dict()
            wrong = [key for key in mine if held[key] != mine[key]]
            if wrong:
                raise BankwiseError(
                    f"{str(folder)!r} holds another experiment ("
                    + ", ".join(f"{key}: {held[key]!r} there, {mine[key]!r} now" for key in wrong[:3])
                    + "); choose another folder"
                )
        elif folder.exists() and (not folder.is_dir() or any(not _half(inner) for inner in folder.iterdir())):
            raise BankwiseError(f"{str(folder)!r} exists and is no NNI experiment of bankwise; choose another folder")
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Experiment:
        path = folder / FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BankwiseError(
                f"{str(folder)!r} is no NNI experiment of bankwise (cannot read {FILE}: {error.strerror}); "
                "`bankwise nni init` makes one"
            ) from None
        except ValueError:
            raise BankwiseError(f"{str(path)!r} is damaged: not JSON") from None
        try:
            return cls.from_dict(values)
        except BankwiseError as error:
            raise BankwiseError(f"{str(path)!r}: {error}") from None


def _half(path: Path) -> bool:
    """A file that a killed process had not yet given its name."""
    return path.name.startswith(f".{FILE}.")


def _checked(values: object, cls: type, extra: tuple[str, ...] = ()) -> dict:
    """A copy of `values` with exactly the fields of the dataclass `cls`."""
    names = [*extra, *(item.name for item in dataclasses.fields(cls))]
    if not isinstance(values, Mapping):
        raise BankwiseError(f"{values!r} is not a mapping of {', '.join(names)}")
    for key in values:
        if key not in names:
            raise unknown("key", key, names)
    for key in names:
        if key not in values:
            raise BankwiseError(f"the key {key!r} is missing")
    return dict(values)
