"""What the pages show, as plain data: the templates only lay it out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bankwise.measuring import Measured, Sample
from bankwise.report import words
from bankwise.report.charts import against_bytes, learning_curves, predictions
from bankwise.report.closed_form import KIB, ClosedForm, LayerGain, closed_form
from bankwise.report.gather import Run
from bankwise.report.model import Model, model
from bankwise.report.parts import part_names, totals
from bankwise.report.plots import UNIFORM
from bankwise.report.repeat import command, surroundings
from bankwise.result import Trial
from bankwise.search_space.accounting import make_accounting
from bankwise.search_space.price import Price
from bankwise.shown import metric_name
from bankwise.trainers.metric import SHARES

FLOAT = "Uncompressed (float32)"
SPLITS = ("validation", "test")
MOST_TRIALS = 2000  # rows of a table, the first ones
MOST_CONFUSED = 10  # pairs of classes that are named


@dataclass(frozen=True)
class NetworkRow:
    """A measured network in a table; `ahead` is its lead over the uniform plan in points of validation accuracy."""

    name: str
    measured: Measured
    times_smaller: float
    budget_bytes: int | None = None
    ahead: float | None = None
    run: str = ""  # whose it is, where there are several


@dataclass(frozen=True)
class PlanView:
    """A plan with its price and the file's bytes by part."""

    name: str
    price: Price
    parts: Mapping[str, int]


@dataclass(frozen=True)
class TrialRow:
    """A trial in a table; `seconds` of its training, `exported` where its plan is the run's."""

    trial: Trial
    kind: str
    codes: str
    seconds: float | None
    exported: bool


@dataclass(frozen=True)
class SeedRow:
    """The values of one seed of a network."""

    name: str
    seed: str
    validation: float | None
    test: float | None
    diverged: str = ""


@dataclass(frozen=True)
class RunView:
    """One run. `uniform_won`: the best finalist of all is uniform, although others were searched. `form` is None where
    the run is no search in a space, `repeat` where no command says all its settings; `spread` is the larger of the two
    spreads behind `ahead`, in points; `used_bytes` is in the budget's accounting."""

    title: str
    run: Run
    form: ClosedForm | None
    used_bytes: int
    ahead: float | None
    spread: float | None
    networks: tuple[NetworkRow, ...]
    plans: tuple[PlanView, ...]
    parts: tuple[str, ...]
    changed: tuple[LayerGain, ...]  # layers whose choice changes with one more KiB
    repeat: str | None
    settings: Mapping[str, Mapping[str, object]]
    uniform_won: bool
    trials: tuple[TrialRow, ...]
    seeds: tuple[SeedRow, ...]
    first: str | None  # the metric against bytes
    curves: str | None
    model: Model | None
    predictions: str | None  # measured trials against what the others say of them
    confused: tuple[tuple[str, str, int, float], ...]  # classes that are taken for others most: share of the first
    kib: int = KIB


@dataclass(frozen=True)
class GroupView:
    """Runs of one network and data set; `suffix` ends the names of its figures. Both counts of seeds are equal where
    all runs have as many. `series`: points (bytes, accuracies) of each line by split, then name."""

    title: str
    suffix: str
    fewest_seeds: int
    most_seeds: int
    metric: str
    uncompressed: tuple[Measured, ...]
    charts: Mapping[str, str]
    rows: tuple[NetworkRow, ...]
    series: Mapping[str, Mapping[str, Sequence[tuple[int, Sample]]]]


@dataclass(frozen=True)
class ComparisonView:
    title: str
    groups: tuple[GroupView, ...]


def run_view(run: Run) -> RunView:
    """What the page of one run shows."""
    form, fitted, name = closed_form(run), model(run), words.plan_name(run)
    same = run.plan == run.uniform_plan
    prices, networks = {name: run.price}, [_row(run, name, run.searched)]
    if same and form is not None:
        form = dataclasses.replace(form, uniform=None)
    if run.uniform is not None and not same:
        networks.append(_row(run, "Best uniform plan", run.uniform))
    if run.uniform_price is not None and not same:
        prices["Best uniform plan"] = run.uniform_price
    repeat = command(run)
    pairs = [] if run.uniform is None or same else [run.searched.validation, run.uniform.validation]
    looks = ["uniform" if same else "searched", "uniform"]
    drawn = [
        (row.name, look, row.measured.bytes, row.measured.validation)
        for row, look in zip(networks, looks, strict=False)
        if row.measured.validation is not None
    ]
    networks.append(_row(run, FLOAT, run.uncompressed))
    return RunView(
        title=run.title,
        run=run,
        form=form,
        used_bytes=make_accounting(run.accounting).plan_bytes(run.price),
        ahead=None if same else _ahead(run),
        spread=(100 if run.metric in SHARES else 1) * max(spreads)
        if (spreads := [one.spread for one in pairs if one.spread is not None])
        else None,
        networks=tuple(networks),
        plans=tuple(PlanView(name, price, totals(price)) for name, price in prices.items()),
        parts=tuple(part_names([*prices.values()])),
        changed=() if form is None else tuple(gain for gain in form.layers if gain.changes),
        repeat=None if repeat is None else words.shell_lines([*surroundings(run), *repeat]),
        settings=_settings(run),
        uniform_won=same and run.strategy not in (None, "uniform"),
        trials=_trials(run),
        seeds=tuple(row for network in networks for row in _seeds(network)),
        first=against_bytes(drawn, _levels([run.uncompressed], "validation"), run.metric, run.trials, exported=True),
        curves=learning_curves(run.trials, _trainings(run, name), run.metric),
        model=fitted,
        predictions=None if fitted is None else predictions(fitted.trials, run.metric),
        confused=_confused(run),
    )


def _trials(run: Run) -> tuple[TrialRow, ...]:
    rows = []
    for trial in run.trials:
        codes = " ".join(choice.code() for choice in trial.plan.layers.values())
        seconds = trial.metrics.get("seconds")
        kind = str(run.strategy) if trial.phase == "search" else "uniform"
        same = run.plan == run.uniform_plan and bool(run.uniform_trials)
        exported = trial.plan.layers == run.plan.layers and (trial.phase == "uniform" or not same)
        rows.append(TrialRow(trial, kind, codes, seconds if isinstance(seconds, float) else None, exported))
    return tuple(rows[:MOST_TRIALS])


def _levels(uncompressed: Sequence[Measured], split: str) -> list[tuple[str, Sample]]:
    found = [getattr(measured, split) for measured in uncompressed]
    return [(FLOAT, sample) for sample in found if sample is not None]


def _trainings(run: Run, name: str) -> list[tuple[str, str, Sequence[float]]]:
    """The full trainings, named as the page names what they are of."""
    own = "uniform" if run.plan == run.uniform_plan else "searched"
    known = {
        "searched-": (f"{name}, seed ", own),
        "uniform-finalist-": ("uniform finalist ", "uniform"),
        "uniform-": ("Best uniform plan, seed ", "uniform"),
        "search-finalist-": ("finalist ", "searched"),
    }
    found = []
    for training, values in run.trainings.items():
        start = next(start for start in known if training.startswith(start))
        rank, seed, number = training.removeprefix(start).partition("-seed")
        told, look = known[start]
        found.append((told + (f"{int(rank) + 1}, seed {number}" if seed else rank), look, values))
    return found


def _seeds(row: NetworkRow) -> list[SeedRow]:
    """The trainings that ended, in their order, then those that diverged."""
    measured = row.measured
    validation, test = (() if sample is None else sample.values for sample in (measured.validation, measured.test))
    pairs = zip_longest(validation, test)
    found = [SeedRow(row.name, str(seed), *pair) for seed, pair in enumerate(pairs)]
    return found + [SeedRow(row.name, seed, None, None, why) for seed, why in measured.diverged.items()]


def _confused(run: Run) -> tuple[tuple[str, str, int, float], ...]:
    """Class, the class that it was taken for, how often, and the share of the first one's images."""
    names = run.class_names
    found = [
        (names[i], names[j], count, count / sum(row))
        for i, row in enumerate(run.confusion or ())
        for j, count in enumerate(row)
        if i != j and count
    ]
    return tuple(sorted(found, key=lambda one: -one[3])[:MOST_CONFUSED])


def comparison_view(runs: Sequence[Run]) -> ComparisonView:
    """What the page of several runs shows: a group for each network and data set, smaller files first."""
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.searched.bytes):
        measured = "" if run.metric == "accuracy" else f", {metric_name(run.metric)}"
        found.setdefault(f"{run.network} on {run.data}{measured}", []).append(run)
    if len(found) == 1:
        title, names = f"{next(iter(found))}: {len(runs)} runs", ["Accuracy against bytes"]
    else:
        title, names = f"{len(runs)} runs of {len(found)} networks or data sets", [*found]
    groups = zip(names, found.values(), strict=True)
    return ComparisonView(title, tuple(_group(name, group, i) for i, (name, group) in enumerate(groups, 1)))


def _group(title: str, runs: Sequence[Run], number: int) -> GroupView:
    uncompressed = tuple(dict.fromkeys(run.uncompressed for run in runs))
    rows = [row for run in runs for row in _compared(run)]
    return GroupView(
        title=title,
        metric=runs[0].metric,
        charts={
            split: against_bytes(_points(rows, split), _levels(uncompressed, split), runs[0].metric, split=split)
            for split in SPLITS
        },
        suffix="" if number == 1 else f"-{number}",
        fewest_seeds=min(run.seeds for run in runs),
        most_seeds=max(run.seeds for run in runs),
        uncompressed=uncompressed,
        rows=(*rows, *(_row(runs[0], "uncompressed (float32)", measured) for measured in uncompressed)),
        series={split: _series(rows, split) for split in SPLITS},
    )


def _compared(run: Run) -> list[NetworkRow]:
    """The run's plan and, where it is another one, the best uniform one."""
    same = run.plan == run.uniform_plan
    kind = "given plan" if run.strategy is None else UNIFORM if same else f"searched ({run.strategy})"
    rows = [_row(run, kind, run.searched, run.budget_bytes, None if same else _ahead(run))]
    if run.uniform is not None and not same:
        rows.append(_row(run, UNIFORM, run.uniform, run.budget_bytes))
    return [dataclasses.replace(row, run=_named(run)) for row in rows]


def _named(run: Run) -> str:
    """Folder, seed, engine and epochs of a full training."""
    settings = run.settings
    recipe = settings.get("recipe") or {}
    told = [run.folder.name, f"seed {settings.get('seed')}"]
    told += [str(settings["engine"])] if "engine" in settings else []
    return ", ".join([*told, words.count(int(recipe.get("epochs", 0)), "epoch")])


def _points(rows: Sequence[NetworkRow], split: str) -> list[tuple[str, str, int, Sample]]:
    found = [(row, getattr(row.measured, split)) for row in rows]
    return [
        (f"{row.run}: {row.name}", "uniform" if row.name == UNIFORM else "searched", row.measured.bytes, sample)
        for row, sample in found
        if sample is not None
    ]


def _series(rows: Iterable[NetworkRow], split: str) -> dict[str, list[tuple[int, Sample]]]:
    series: dict[str, list[tuple[int, Sample]]] = {}
    for row in rows:
        series.setdefault(row.name, []).append((row.measured.bytes, getattr(row.measured, split)))
    return series


def _row(
    run: Run, name: str, measured: Measured, budget_bytes: int | None = None, ahead: float | None = None
) -> NetworkRow:
    return NetworkRow(name, measured, run.uncompressed.bytes / measured.bytes, budget_bytes, ahead)


def _ahead(run: Run) -> float | None:
    if run.uniform is None:
        return None
    scale = 100 if run.metric in SHARES else 1
    return scale * (run.searched.validation.mean - run.uniform.validation.mean)


def _settings(run: Run) -> dict[str, dict[str, object]]:
    """The run's settings by group; what is a mapping of its own (recipe, space) is a group of its own."""
    settings = run.settings
    own = {key: settings[key] for key in ("recipe", "space") if key in settings}
    general = {key: settings[key] for key in settings if key not in own and key not in ("plan", "time", "deadline")}
    if isinstance(limit := settings.get("time"), int | float):
        general["time limit"] = words.duration(limit)
    made = {"made by": dict(run.made)} if run.made else {}
    return {"run": general | {"time since the last start": words.duration(run.seconds)}} | own | made
