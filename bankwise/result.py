"""What a run found: typed, with its own plots and tables."""

from __future__ import annotations

import dataclasses
import html
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from bankwise.expected import Expected
from bankwise.measuring import Measured
from bankwise.run_folder import RunFolder
from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.plan import Plan
from bankwise.shown import metric_name, value_of
from bankwise.strategies.engines.job import LEDGER
from bankwise.strategies.trials import Trials

if TYPE_CHECKING:
    import pandas

    from bankwise.report.style import Shown

PHASES = ("search", "uniform")
SHOWN = ("history", "choices")  # those that a notebook shows
PLOTS = ("bytes", "choices", "history", "staircase", "next-kib", "worth")


@dataclass(frozen=True)
class Trial:
    """A short training of one plan: `phase` is "search" or "uniform", `accuracy` (0 to 1) that of the packed network on
    the validation split, `full` the mean of the same after full trainings, for a finalist."""

    phase: str
    number: int
    plan: Plan
    accuracy: float
    metrics: Mapping[str, Any]
    full: float | None = None

    @property
    def file_bytes(self) -> int:
        return int(self.metrics.get("file_bytes", 0))


@dataclass(frozen=True)
class SearchResult:
    """A finished search, or the training of one plan. Sizes are bytes, accuracies shares from 0 to 1.

    `plan` is the plan of the exported file `model`; `searched`, `uniform` (None: no uniform plan was trained) and
    `uncompressed` are what it, the best uniform plan and the float network measure. `budget` is as it was given,
    `budget_bytes` what that is, both None where a given plan was trained. `settings` is what settings.json holds, with
    the data description under "source". `architectures` is the validation accuracy of each that was tried, `unspent` a
    line on the bytes of the budget that are left, where these are worth one, `made` with which versions, where and when
    it was made, `ended` why the search began no further trial. `metric` is what was measured where "accuracy" is
    written, `expected` what was expected of the closed form before any trial. `confusion` counts the test images of
    each class (row) by what the exported file finds (column); None where there are no classes, or more than
    `bankwise.measuring.MOST_CONFUSED`.
    """

    folder: Path
    network: str
    data: str
    plan: Plan
    planned_bytes: int
    paper_bits_per_weight: float
    searched: Measured
    uniform: Measured | None
    uncompressed: Measured
    trials: tuple[Trial, ...]
    seconds: float
    settings: Mapping[str, Any] = field(repr=False)
    budget: str | None = None
    budget_bytes: int | None = None
    accounting: str = "file"
    strategy: str | None = None
    found_by: str | None = None
    architectures: Mapping[str, float] | None = None
    unspent: str | None = None
    made: Mapping[str, str] | None = None
    metric: str = "accuracy"
    confusion: tuple[tuple[int, ...], ...] | None = None
    ended: str | None = None
    expected: Expected | None = None
    module: nn.Module | None = field(default=None, repr=False, compare=False)
    allow_code: bool = field(default=False, repr=False, compare=False)

    @property
    def model(self) -> Path:
        """The exported file."""
        return RunFolder(self.folder).model

    @property
    def seeds(self) -> int:
        """Final trainings of the plan."""
        return len(self.searched.validation.values) if self.searched.validation else 0

    @property
    def file_bytes(self) -> int:
        return self.searched.bytes

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy of the packed files over the seeds."""
        return self.searched.accuracy

    @property
    def test_accuracy(self) -> float | None:
        """Mean test accuracy of the packed files, read back, over the seeds."""
        return self.searched.test_accuracy

    @property
    def searched_trials(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.phase == "search")

    @property
    def uniform_trials(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.phase == "uniform")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the data, or the numbers of the classes."""
        names = (self.settings.get("identity") or {}).get("class_names")
        count = len(self.confusion or ())
        if isinstance(names, list) and len(names) == (count or len(names)):
            return tuple(map(str, names))
        return tuple(map(str, range(count)))

    @property
    def ended_early(self) -> bool:
        """Whether trials were left out for want of time or patience."""
        return self.ended is not None and ("time limit" in self.ended or "were no better" in self.ended)

    @property
    def source(self) -> Mapping[str, Any]:
        """The data description, as recorded."""
        return self.settings.get("source") or {}

    def to_dict(self) -> dict[str, Any]:
        """What summary.json holds."""
        folder, identity = RunFolder(self.folder), self.settings.get("identity") or {}
        values: dict[str, Any] = {"network": self.network, "data": self.data, "budget": self.budget}
        values["metric"] = self.metric
        if self.strategy is not None:
            values["accounting"] = self.accounting
        values |= {
            "budget_bytes": self.budget_bytes,
            "file_bytes": self.file_bytes,
            "planned_bytes": self.planned_bytes,
            "paper_bits": self.searched.paper_bits,
            "paper_bits_per_weight": self.paper_bits_per_weight,
            **self.searched.statistics(),
            "plan": str(folder.plan),
            "model": str(folder.model),
            "normalization": self.source.get("normalization"),
            "class_names": identity.get("class_names"),
        }
        if self.strategy is not None:
            values |= {"strategy": self.strategy, "found_by": self.found_by, "architectures": self.architectures}
            values |= {"unspent": self.unspent, "ended": self.ended}
            values["expected"] = self.expected and self.expected.to_dict()
        uniform = self.uniform and self.uniform.to_dict() | {"plan": str(folder.uniform_plan)}
        return values | {
            "baseline_uniform": uniform,
            "uncompressed": self.uncompressed.to_dict(),
            "confusion": self.confusion and [list(row) for row in self.confusion],
            "seconds": self.seconds,
            "made": self.made,
        }

    @classmethod
    def read(cls, folder: str | Path, module: nn.Module | None = None, allow_code: bool = False) -> SearchResult:
        """The result of a finished run; `module` is the network where that was one in memory, for the plots. What the
        run names of code of a user's own is imported with `allow_code` alone.

        Raises BankwiseError where the folder holds no finished run, or a damaged one.
        """
        run = RunFolder(folder)
        values, settings = run.read(run.summary), run.read(run.settings)
        try:
            stored = strict.read_known(_Summary, values, "summary")
            measured = Measured.from_dict(values | {"bytes": stored.file_bytes})
            uniform = stored.baseline_uniform and Measured.from_dict(stored.baseline_uniform)
            uncompressed = Measured.from_dict(stored.uncompressed)
        except BankwiseError as error:
            raise BankwiseError(
                f"{str(run.summary)!r} is damaged ({error}); delete it and run again to resume"
            ) from None
        plan = Plan.read(run.plan, allow_code)
        with code_in_files(allow_code):
            trials = tuple(trial for phase in PHASES for trial in read_trials(run, phase))
        return cls(
            folder=run.path,
            network=stored.network,
            data=stored.data,
            plan=plan,
            planned_bytes=stored.planned_bytes,
            paper_bits_per_weight=stored.paper_bits_per_weight,
            searched=measured,
            uniform=uniform or None,
            uncompressed=uncompressed,
            trials=trials,
            seconds=stored.seconds,
            settings=settings,
            budget=stored.budget,
            budget_bytes=stored.budget_bytes,
            accounting=stored.accounting,
            strategy=stored.strategy,
            found_by=stored.found_by,
            architectures=stored.architectures,
            unspent=stored.unspent,
            made=stored.made,
            metric=stored.metric,
            confusion=stored.confusion,
            ended=stored.ended,
            expected=stored.expected,
            module=module,
            allow_code=allow_code,
        )

    def to_frame(self) -> pandas.DataFrame:
        """The trials as a pandas data frame, a row a trial: phase, number, metrics, and the choice of every layer.

        Raises BankwiseError where pandas is missing.
        """
        try:
            import pandas
        except ImportError:
            raise BankwiseError("a data frame needs pandas: pip install pandas") from None
        rows = []
        for trial in self.trials:
            numbers = {key: value for key, value in trial.metrics.items() if isinstance(value, int | float)}
            layers = {name: str(choice) for name, choice in trial.plan.layers.items()}
            rows.append({"phase": trial.phase, "trial": trial.number, **numbers, **layers})
        return pandas.DataFrame(rows)

    def plot(self, name: str = "bytes") -> Shown:
        """One of PLOTS as a matplotlib figure, which a notebook shows, as the run's report draws it.

        Raises BankwiseError for a plot that this run has not: where a given plan was trained there was no search.
        """
        from bankwise.report.gather import read_run
        from bankwise.report.pages import run_plots
        from bankwise.report.view import run_view

        if name not in PLOTS:
            raise unknown("plot", name, PLOTS)
        if self.network == IN_MEMORY and self.module is None:
            raise BankwiseError("the network was a module in memory: give it to SearchResult.read(folder, module)")
        found = run_plots(run_view(read_run(self.folder, self.module, self.allow_code)))
        if name not in found:
            raise BankwiseError(f"this run has no plot {name!r}; it has {', '.join(found)}")
        figure: Shown = found[name]()
        return figure

    def _repr_html_(self) -> str:
        """A small table for notebooks, and the plots of the search."""
        name = metric_name(self.metric)
        head = f"{self.network} on {self.data}, {name} over {self.seeds} seed(s)"
        rows = [("this plan", self.searched)]
        rows += [("best uniform plan", self.uniform)] if self.uniform else []
        rows += [("uncompressed (float32)", self.uncompressed)]
        cells = "".join(
            f"<tr><td>{row}</td><td>{one.bytes:,}</td><td>{value_of(one.accuracy, metric=self.metric)}</td>"
            f"<td>{value_of(one.test_accuracy, metric=self.metric)}</td></tr>"
            for row, one in rows
        )
        return (
            f"<table><caption>{html.escape(head)}</caption><tr><th>network</th><th>file bytes</th>"
            f"<th>validation {html.escape(name)}</th><th>test {html.escape(name)}</th></tr>{cells}</table>"
            + self._pictures()
        )

    def _pictures(self) -> str:
        from bankwise.report.pages import data_uri

        shown = SHOWN if self.trials else SHOWN[1:]
        if self.network == IN_MEMORY and self.module is None:
            return ""
        pictures = {name: data_uri(self.plot(name)._repr_png_()) for name in shown}
        return "".join(f'<img alt="{name}" src="{address}">' for name, address in pictures.items())


@dataclass(frozen=True)
class _Summary:
    """What a result needs of summary.json, which has further keys."""

    network: str
    data: str
    planned_bytes: int
    file_bytes: int
    paper_bits_per_weight: float
    baseline_uniform: Mapping[str, Any] | None
    uncompressed: Mapping[str, Any]
    seconds: float
    budget: str | None
    budget_bytes: int | None
    accounting: str = "file"
    strategy: str | None = None
    found_by: str | None = None
    architectures: Mapping[str, float] | None = None
    unspent: str | None = None
    made: Mapping[str, str] | None = None
    metric: str = "accuracy"
    confusion: tuple[tuple[int, ...], ...] | None = None
    ended: str | None = None
    expected: Expected | None = None

    def __post_init__(self) -> None:
        rows = self.confusion or ()
        if any(len(row) != len(rows) or min(row) < 0 for row in rows):
            raise BankwiseError("confusion: not as many columns as rows of counts")


def read_trials(folder: RunFolder, phase: str) -> list[Trial]:
    """The finished trials of a phase in the order of their ends, from its ledger; none where there is no ledger.

    Raises BankwiseError where the ledger, or what names the finalists, is damaged.
    """
    ledger = folder.path / phase / LEDGER
    if not ledger.exists():
        return []
    if b"\n" not in ledger.read_bytes():
        raise BankwiseError(f"{str(ledger)!r} is damaged (it has no whole line); delete it and run again to resume")
    found = [(one.plan, one.metrics) for one in Trials.read(ledger).results if one.metrics is not None]
    trials = [Trial(phase, i, plan, float(metrics["accuracy"]), metrics) for i, (plan, metrics) in enumerate(found)]
    places = {tuple(trial.plan.codes.values()): i for i, trial in enumerate(trials)}
    for codes, rank in _ranks(folder, phase).items():
        files = sorted(folder.checkpoints.glob(f"{phase}-finalist-{rank}-seed*.json"))
        full = [float(folder.measured(file)["accuracy"]) for file in files]
        if full and codes in places:
            place = places[codes]
            trials[place] = dataclasses.replace(trials[place], full=statistics.fmean(full))
    return trials


def _ranks(folder: RunFolder, phase: str) -> dict[tuple[str, ...], int]:
    """The ranks of a phase's finalists, by their codes; empty before there are any."""
    file = folder.finalists(phase)
    if not file.exists():
        return {}
    plans = folder.read(file).get("plans")
    if not isinstance(plans, list) or not all(isinstance(plan, list) for plan in plans):
        raise BankwiseError(f"{str(file)!r} is damaged (no plans); delete it and run again to resume")
    return {tuple(map(str, plan)): rank for rank, plan in enumerate(plans)}
