"""What a finished run's folder says, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from bankwise.run_folder import RunFolder
from search_space.errors import BankwiseError
from search_space.networks import build
from search_space.plan import Plan
from search_space.price import Price, price
from search_space.shape import NetworkShape
from search_space.trace import trace

T = TypeVar("T")
SEARCHED = (
    "space", "recipe", "trial_epochs", "finalists", "finalist_seeds", "max_ram", "max_ops", "training_images",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Accuracies (0 to 1) over the seeds; `spread` is their sample standard deviation, 0 for one seed."""

    mean: float
    spread: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """A network as measured: its size and, where it was trained, its accuracies."""

    bytes: int
    paper_bits: int | None = None
    validation: Sample | None = None
    test: Sample | None = None


@dataclass(frozen=True)
class Trial:
    """A short training of one plan; `full` is the mean validation accuracy after full ones, for a finalist."""

    plan: Plan
    accuracy: float
    file_bytes: int
    full: float | None = None


@dataclass(frozen=True)
class Run:
    """A finished run. `budget_bytes` is None where one given plan was trained, `uniform` None without a baseline;
    `widths` is the validation accuracy of each network that was tried, empty where widths were not searched."""

    path: Path
    network: str
    data: str
    strategy: str | None
    budget: str | None
    budget_bytes: int | None
    accounting: str
    planned_bytes: int
    paper_bits_per_weight: float
    seconds: float
    searched: Measured
    uniform: Measured | None
    uncompressed: Measured
    shape: NetworkShape
    plan: Plan
    price: Price
    uniform_plan: Plan | None
    uniform_price: Price | None
    trials: tuple[Trial, ...]
    uniform_trials: tuple[Trial, ...]
    widths: Mapping[str, float]
    settings: Mapping

    @property
    def seeds(self) -> int:
        return len(self.searched.validation.values)

    @property
    def title(self) -> str:
        size = self.searched.bytes if self.budget_bytes is None else self.budget_bytes
        return f"{self.network} on {self.data} in {size:,} bytes"


def read_run(path: str | Path) -> Run:
    """Read the folder. BankwiseError, one line, for a run that is not finished or whose files are damaged."""
    folder = RunFolder(path)
    if not folder.path.is_dir():
        raise BankwiseError(f"{str(path)!r} is not a folder; a report needs the folder of a finished run")
    if not folder.summary.exists():
        hint = "repeat its command to resume it" if folder.settings.exists() else "it has neither summary nor settings"
        raise BankwiseError(f"{str(path)!r} is not a finished run: {hint}")
    summary, settings = folder.read(folder.summary), folder.read(folder.settings)
    if "strategy" in summary:
        checked(folder.settings, lambda: [settings[key] for key in SEARCHED])
    plan = Plan.read(folder.plan)
    with torch.device("meta"):  # shapes alone are asked for
        network = build(plan.network, classes=plan.classes, in_channels=plan.input_shape[0])
    shape = trace(network, plan.network, plan.input_shape, plan.classes, plan.keep)
    baseline = checked(folder.summary, lambda: summary["baseline_uniform"])
    uniform_plan = Plan.read(folder.uniform_plan) if baseline is not None else None
    return checked(
        folder.summary,
        lambda: Run(
            path=folder.path,
            network=summary["network"],
            data=summary["data"],
            strategy=summary.get("strategy"),
            budget=summary["budget"],
            budget_bytes=summary["budget_bytes"],
            accounting=summary.get("accounting", "file"),
            planned_bytes=summary["planned_bytes"],
            paper_bits_per_weight=summary["paper_bits_per_weight"],
            seconds=float(summary["seconds"]),
            searched=_measured(summary | {"bytes": summary["file_bytes"]}),
            uniform=None if baseline is None else _measured(baseline),
            uncompressed=_measured(summary["uncompressed"]),
            shape=shape,
            plan=plan,
            price=price(shape, plan),
            uniform_plan=uniform_plan,
            uniform_price=None if uniform_plan is None else price(shape, uniform_plan),
            trials=_trials(folder, "search", settings),
            uniform_trials=_trials(folder, "uniform", settings),
            widths={name: float(value) for name, value in (summary.get("widths") or {}).items()},
            settings=settings,
        ),
    )


def checked(path: Path, read: Callable[[], T]) -> T:
    """What `read` gives; a file that lacks something or holds something else is one clear line."""
    try:
        return read()
    except BankwiseError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BankwiseError(f"{str(path)!r} is damaged ({what}); delete it and run again to resume") from None


def _measured(values: Mapping) -> Measured:
    return Measured(
        int(values["bytes"]), values.get("paper_bits"), _sample(values, "accuracy"), _sample(values, "test_accuracy")
    )


def _sample(values: Mapping, name: str) -> Sample | None:
    if values[name] is None:
        return None
    plural = name.replace("accuracy", "accuracies")
    return Sample(float(values[name]), float(values[f"{name}_spread"]), tuple(map(float, values[plural])))


def _trials(folder: RunFolder, phase: str, settings: Mapping) -> tuple[Trial, ...]:
    """The journal's trials in their order; finalists are the best of them, the first of equals first."""
    journal = folder.path / f"{phase}.json"
    if not journal.exists():
        return ()
    return checked(journal, lambda: _read_trials(folder, phase, folder.read(journal)["trials"], settings))


def _read_trials(folder: RunFolder, phase: str, records: list, settings: Mapping) -> tuple[Trial, ...]:
    best = sorted(range(len(records)), key=lambda i: -records[i]["metrics"]["accuracy"])
    full = {}
    for rank, i in enumerate(best[: settings["finalists"]]):
        accuracies = [
            checked(path, lambda path=path: float(folder.read(path)["accuracy"]))
            for path in sorted(folder.checkpoints.glob(f"{phase}-finalist-{rank}-seed*.json"))
        ]
        if accuracies:
            full[i] = statistics.fmean(accuracies)
    return tuple(
        Trial(
            Plan.from_dict(record["plan"]),
            float(record["metrics"]["accuracy"]),
            int(record["metrics"]["file_bytes"]),
            full.get(i),
        )
        for i, record in enumerate(records)
    )
