"""What a finished run's folder says, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bankwise.result import SearchResult
from bankwise.run_folder import FULL, RunFolder
from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import Price, price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.trace import shape_of
from bankwise.surroundings import Surroundings
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource


@dataclass(frozen=True)
class SearchRecord:
    """What a report needs of a search's settings.json, which has further keys."""

    network: str
    data: str
    budget: str
    accounting: str
    strategy: str
    engine: str
    trials: int
    uniform_trials: int
    seeds: int
    seed: int
    widths: tuple[float, ...]
    depths: tuple[int, ...]
    architecture_epochs: int | None
    source: TaskSource
    space: SpaceSettings
    recipe: Recipe
    trial_epochs: int
    finalists: int
    finalist_seeds: int
    max_ram: int | None
    max_ops: int | None
    training_images: int
    time: float | None = None
    patience: int | None = None
    made_in: Surroundings | None = None

    @classmethod
    def of(cls, folder: RunFolder, settings: Mapping) -> SearchRecord:
        try:
            return strict.read_known(cls, settings, "settings")
        except BankwiseError as error:
            path = str(folder.settings)
            raise BankwiseError(f"{path!r} is damaged ({error}); delete it and run again to resume") from None


@dataclass(frozen=True, kw_only=True)
class Run(SearchResult):
    """A finished run with the shape of its network and the prices of its plans, as a page shows them."""

    shape: NetworkShape
    price: Price
    uniform_plan: Plan | None
    uniform_price: Price | None
    record: SearchRecord | None = None  # of a search
    trainings: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)  # epochs of each full one

    @property
    def title(self) -> str:
        size = self.searched.bytes if self.budget_bytes is None else self.budget_bytes
        return f"{self.network} on {self.data} in {size:,} bytes"


def read_run(path: str | Path, module: nn.Module | None = None, allow_code: bool = False) -> Run:
    """Read the folder; `module` is the network where that was one in memory. What the run names of code of a user's own
    is imported with `allow_code` alone.

    Raises BankwiseError, one line, for a run that is not finished or whose files are damaged.
    """
    folder = RunFolder(path)
    if not folder.path.is_dir():
        raise BankwiseError(f"{str(path)!r} is not a folder; a report needs the folder of a finished run")
    if not folder.summary.exists():
        hint = folder.missing("it has neither summary nor settings")
        raise BankwiseError(f"{str(path)!r} is not a finished run: {hint}")
    with code_in_files(allow_code):
        return _read(folder, module, allow_code)


def _read(folder: RunFolder, module: nn.Module | None, allow_code: bool) -> Run:
    result = SearchResult.read(folder.path, module, allow_code)
    record = None if result.strategy is None else SearchRecord.of(folder, result.settings)
    plan = result.plan
    shape = shape_of(plan.network, plan.input_shape, plan.classes, plan.keep, module=module)
    uniform_plan = None if result.uniform is None else Plan.read(folder.uniform_plan, allow_code=True)
    return Run(
        **{item.name: getattr(result, item.name) for item in dataclasses.fields(result)},
        shape=shape,
        price=price(shape, plan),
        uniform_plan=uniform_plan,
        uniform_price=None if uniform_plan is None else price(shape, uniform_plan),
        record=record,
        trainings=_trainings(folder),
    )


def _trainings(folder: RunFolder) -> dict[str, tuple[float, ...]]:
    """The value after each epoch of every full training, by its name."""
    found = {}
    for path in sorted(folder.checkpoints.glob("*.json")):
        if FULL.match(path.name):
            epochs = folder.measured(path).get("epochs")
            values = epochs if isinstance(epochs, list) else []
            found[path.stem] = tuple(float(one) for one in values if isinstance(one, int | float))
    return found
