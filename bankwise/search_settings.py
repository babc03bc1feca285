"""How a search is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from bankwise.architectures import Offered
from bankwise.progress import ARCHITECTURES, DATA
from bankwise.search_space import strict
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.limits import Limits
from bankwise.search_space.networks import DEEPEST
from bankwise.search_space.ranges import SEED, in_range
from bankwise.search_space.settings import SpaceSettings
from bankwise.strategies import DEFAULT, BudgetedSpace, find_strategy
from bankwise.strategies.engines import engine_class
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, TaskSource

_COUNTS = ("trials", "uniform_trials", "finalists", "finalist_seeds", "seeds", "trial_epochs", "architecture_epochs")


@dataclass(frozen=True)
class SearchSettings:
    """`recipe` trains the uncompressed network and the final plans, `trial_epochs` of it a trial; `trials` plans are
    tried, `uniform_trials` uniform ones; the best `finalists` of each are trained in full, `finalist_seeds` times. The
    best of them all by the mean on the validation split, and the best uniform one beside it, are trained over `seeds`
    further seeds. `widths` are multipliers of channels and `depths` numbers of blocks, searched for every stage of the
    network before the plan is (`bankwise.architectures`), by trainings of `architecture_epochs` (None: of
    `trial_epochs`).

    `strategy` is a name of `bankwise.strategies.STRATEGIES` or a user's own `package.module:Name`, `engine` where
    trials run. `time` is when all is to be done, in seconds from the first start: no trial is begun that would leave
    too little for the full trainings (`bankwise.deadline`), but one of each kind; nor one after `patience` trials in a
    row that were no better than the best before them (`bankwise.patience`). `max_ram` (bytes) and `max_ops` are
    further hard limits. Raises BankwiseError for values of other types or out of range.
    """

    strategy: str = DEFAULT
    engine: str = "local"
    trials: int = 16
    uniform_trials: int = 4
    finalists: int = 2
    finalist_seeds: int = 2
    seeds: int = 3
    seed: int = 0
    trial_epochs: int = 8
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=40))
    space: SpaceSettings = field(default_factory=SpaceSettings)
    max_ram: int | None = None
    max_ops: int | None = None
    widths: tuple[float, ...] = ()
    depths: tuple[int, ...] = ()
    architecture_epochs: int | None = None
    time: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        strict.check_types(self, "settings")
        find_strategy(self.strategy)  # an error unless there is one
        engine_class(self.engine)
        for width in self.widths:
            if not 0 < width < float("inf"):
                raise BankwiseError(f"width {width:g} must be a number above 0 such as 0.5")
        for depth in self.depths:
            in_range(0, DEEPEST, depth=depth)
        if self.architecture_epochs is not None and not self.searches_architectures:
            raise BankwiseError(
                f"architecture_epochs={self.architecture_epochs} is for searched widths or depths: give these too"
            )
        if self.time is not None and not 0 < self.time < float("inf"):
            raise BankwiseError(f"time={self.time:g} must be a number of seconds above 0")
        for name in ("time", "patience"):
            if getattr(self, name) is not None and not engine_class(self.engine).stops_early:
                raise BankwiseError(f"{name}: the {self.engine} engine stops no search early; local, nni and ray do")
        in_range(1, patience=self.patience, **{name: getattr(self, name) for name in _COUNTS})
        in_range(0, SEED, seed=self.seed)

    @property
    def searches_architectures(self) -> bool:
        return bool(self.widths or self.depths)

    def offered(self, network: str) -> Offered:
        """The architectures that are searched. Raises BankwiseError where `network` has no such choice."""
        return Offered(network, self.widths, self.depths)

    def work(self, network: str) -> dict[str, int]:
        """Epochs that each phase is planned to train."""
        full, finalists = self.recipe.epochs, self.finalists * self.finalist_seeds * self.recipe.epochs
        work = {DATA: 0}
        if self.searches_architectures:
            epochs = self.architecture_epochs or self.trial_epochs
            work[ARCHITECTURES] = 2 * epochs * self.offered(network).most_trials
        supernet = find_strategy(self.strategy).trains_supernet
        work |= {"uncompressed": self.seeds * full, "prepare": full if supernet else 0}
        work["search"] = self.trials * self.trial_epochs
        both = self.strategy != "uniform"
        work |= {"uniform": self.uniform_trials * self.trial_epochs} if both else {}
        work |= {"search finalists": finalists} | ({"uniform finalists": finalists} if both else {})
        return work | {"final searched": self.seeds * full, "final uniform": self.seeds * full, "test": 0}

    def budgeted(self, task: Task, budget: Budget) -> BudgetedSpace:
        """The plans within the limits. Raises InfeasibleBudget where there are none."""
        return BudgetedSpace.of(task.shape, self.space, Limits(budget, self.max_ram, self.max_ops), task.module)

    def named_code(self, source: TaskSource) -> tuple[str, ...]:
        """What names code of the user's own in these settings and the description (`imports.code_in_files`)."""
        return (*source.named_code, self.strategy, self.engine, *self.space.listed, *self.recipe.named_code)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready: lists for tuples."""
        values: dict[str, object] = strict.to_dict(self)
        return values

    @classmethod
    def from_dict(cls, values: object) -> SearchSettings:
        """The settings from the values of `to_dict`; keys that are left out take their defaults.

        Raises:
            BankwiseError: a foreign key, or a value that it cannot have.

        >>> SearchSettings.from_dict({"trials": 3, "recipe": {"epochs": 5}}).recipe.epochs
        5
        """
        return strict.read(cls, values, "settings")
