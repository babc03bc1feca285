"""From short trials to the plan that is exported: the search, its finalists, and the best of these."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from bankwise.deadline import Deadline, clock
from bankwise.patience import Patience
from bankwise.run_folder import RunFolder
from bankwise.search_settings import SearchSettings
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.side_by_side import FullTraining
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Engine, Job
from bankwise.strategies.engines.job import LEDGER
from bankwise.strategies.trials import Trials as Ledgered
from bankwise.trainers.loop import Diverged, EpochReport
from bankwise.trainings import Trainings

DIVERGED = -math.inf  # the accuracy of a finalist that cannot be trained in full


@dataclass(frozen=True)
class Trials:
    """Plans of a strategy, tried by short trainings; `phase` is "search" or "uniform", the latter the baseline."""

    phase: str
    strategy: str
    count: int

    def run(
        self, settings: SearchSettings, trainings: Trainings, space: BudgetedSpace, engine: Engine, deadline: Deadline
    ) -> list[tuple[Plan, dict[str, Any]]]:
        """The finished trials' plans and metrics; what is done already is not done again."""
        folder, meter, phase = trainings.folder, trainings.meter, self.phase
        strategy = make_strategy(self.strategy, space, settings.seed)
        place = folder.path / phase
        if not Ledgered.begun(place / LEDGER):
            if phase == "search":
                meter("prepare", 0, f"strategy {self.strategy}")
            task = dataclasses.replace(trainings.task, recipe=trainings.seeded(0))
            strategy.prepare(task, folder.checkpoints, meter.epochs("prepare", 0, task.recipe.epochs))
        recipe = trainings.seeded(0, settings.trial_epochs)
        patience = self.patience(settings, folder)

        def on_result(number: int, metrics: dict[str, Any]) -> None:
            patience.results[number] = metrics["accuracy"]
            trainings.logs.result(phase, number, metrics)
            meter(phase, (number + 1) * recipe.epochs, meter.told(metrics["accuracy"]))

        def on_epoch(number: int, epoch: EpochReport) -> None:
            meter.epochs(phase, number, recipe.epochs)(epoch)

        def on_failure(number: int, reason: str) -> None:
            meter(phase, (number + 1) * recipe.epochs, f"trial {number} failed: {reason}")

        if phase == "search" and not patience.results and (late := deadline.late(recipe.epochs)) > 0:
            meter(phase, 0, f"the time limit will be passed by about {clock(late)}: the full trainings alone need that")

        names = space.space.names
        choices = {name: [choice.code() for choice in space.choices(i)] for i, name in enumerate(names)}
        logs = trainings.logs

        def on_begin(number: int, plan: Plan) -> None:
            logs.begin(phase, number, plan, choices)

        def may_begin() -> bool:
            leaves_time = not patience.results or deadline.leaves_time(phase, recipe.epochs)
            return leaves_time and not patience.over

        source = trainings.inputs.portable
        job = Job(
            strategy, trainings.task, recipe, self.count, place, source, on_epoch, on_result, on_failure, may_begin,
            on_begin, meter.note,
        )  # fmt: skip
        ended = engine.run(job)
        logs.trials(phase, ended, choices)
        finished = [(one.plan, one.metrics) for one in ended if one.metrics is not None]
        for number, (_, metrics) in enumerate(finished):
            folder.log(f"{phase} {number}", {"phase": phase, "trial": number, **metrics})
        return finished

    def patience(self, settings: SearchSettings, folder: RunFolder) -> Patience:
        """With the results that there are: of the search, uniform plans are few."""
        place = folder.path / self.phase / LEDGER
        records = Ledgered.read(place).results if Ledgered.begun(place) else []
        results = {
            one.number: one.metrics["accuracy"] for one in records if one.number is not None and one.metrics is not None
        }
        return Patience(settings.patience if self.phase == "search" else None, results)

    def ended(self, settings: SearchSettings, folder: RunFolder) -> str:
        """Why no further trial was begun."""
        limit, patience = settings.time, self.patience(settings, folder)
        trials = Ledgered.read(folder.path / self.phase / LEDGER)
        begun = len(trials.plans)
        if begun >= self.count:
            return f"all {begun} trials were made"
        if patience.over:
            return f"{begun} of {self.count} trials were begun: the last {patience.waited} were no better than the best"
        if trials.exhausted or limit is None:
            return f"the strategy had no further plan after {begun} of {self.count} trials"
        return (
            f"{begun} of {self.count} trials were begun: others would have ended after the time limit of {clock(limit)}"
        )


@dataclass(frozen=True)
class Chosen:
    """The best finalist of all, and the best uniform one (None where no uniform plan is within the budget); why the
    search ended."""

    plan: Plan
    uniform: Plan | None
    ended: str


@dataclass(frozen=True)
class Choosing:
    """Which plan is exported: by full trainings of the best plans of the search and of the uniform ones."""

    settings: SearchSettings
    trainings: Trainings
    space: BudgetedSpace
    engine: Engine
    deadline: Deadline

    def run(self) -> Chosen:
        settings = self.settings
        search = Trials("search", settings.strategy, settings.trials)
        plans = self.finalists(search)
        ended = self.ended(search)
        if not plans:
            raise BankwiseError(
                f"strategy {settings.strategy!r} finds no plan within the budget of {self.space.budget}; "
                "a per-layer strategy does"
            )
        alone = plans[0] if len(plans) == 1 else None
        if settings.strategy == "uniform":
            plan = alone or _plan([self.best("search", plans)])
            return Chosen(plan, plan, ended)
        uniform = self.finalists(Trials("uniform", "uniform", settings.uniform_trials))
        if not uniform:
            return Chosen(alone or _plan([self.best("search", plans)]), None, ended)
        both = self.in_full("search", plans) + self.in_full("uniform", uniform)
        self.trainings.ahead([one for row in both for one in row])
        best, best_uniform = self.best("search", plans), self.best("uniform", uniform)
        return Chosen(_plan([best, best_uniform]), None if best_uniform[1] == DIVERGED else best_uniform[0], ended)

    def ended(self, trials: Trials) -> str:
        return trials.ended(self.settings, self.trainings.folder)

    def finalists(self, trials: Trials) -> list[Plan]:
        """The plans that did best on the validation split, as far as the strategy trusts their trials."""
        finished = trials.run(self.settings, self.trainings, self.space, self.engine, self.deadline)
        judge = make_strategy(trials.strategy, self.space, self.settings.seed)  # an engine's may live elsewhere
        for plan, metrics in finished:
            judge.tell(plan, metrics)
        order = np.argsort(-judge.estimates(), kind="stable")[: self.settings.finalists]
        found = [finished[int(i)][0] for i in order]
        folder = self.trainings.folder
        folder.write(folder.finalists(trials.phase), {"plans": [list(plan.codes.values()) for plan in found]})
        return found

    def best(self, phase: str, plans: list[Plan]) -> tuple[Plan, float]:
        """The finalist of the best mean validation accuracy over its seeds, and that accuracy."""
        trainings = self.in_full(phase, plans)
        self.trainings.ahead([one for row in trainings for one in row])
        means = [self.mean_over(rank, row) for rank, row in enumerate(trainings)]
        return max(zip(plans, means, strict=True), key=lambda pair: pair[1])

    def in_full(self, phase: str, plans: list[Plan]) -> list[list[FullTraining]]:
        """The full trainings of each finalist. No seed is a final one; each training has another teacher, as far as
        there are any: plans differ in how much they hang on it."""
        settings = self.settings
        seeds = [0, *range(1 + settings.seeds, settings.seeds + settings.finalist_seeds)]
        return [
            [
                self.trainings.of_plan(
                    f"{phase} finalists", f"{phase}-finalist-{rank}-seed{seed}", plan, seed,
                    rank * len(seeds) + number, number,
                )
                for number, seed in enumerate(seeds)
            ]
            for rank, plan in enumerate(plans)
        ]  # fmt: skip

    def mean_over(self, rank: int, trainings: list[FullTraining]) -> float:
        """A plan's mean validation accuracy; DIVERGED where one of its trainings diverged, as it would again."""
        try:
            trained = [self.trainings.full(one) for one in trainings]
        except Diverged as error:
            last = trainings[-1]
            done = (last.unit + 1) * self.settings.recipe.epochs
            self.trainings.meter(last.phase, done, f"finalist {rank} failed: {error}")
            return DIVERGED
        return statistics.fmean(result["accuracy"] for result in trained)


def _plan(found: list[tuple[Plan, float]]) -> Plan:
    """The best of finalists and their accuracies."""
    plan, accuracy = max(found, key=lambda pair: pair[1])
    if accuracy == DIVERGED:
        raise BankwiseError("the full trainings of all finalists diverged; try a smaller lr in another folder")
    return plan
