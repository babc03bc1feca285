"""The width of every stage, searched before the plan.

A network of half the channels has a quarter of the weights, and so about four times the bits for each of them in the
same budget. Which trade is best depends on budget and data: each width is tried by a short training of its closed-form
plan.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bankwise.inputs import Inputs
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.networks import at_widths, network_names, stages
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.task import Task, train_uncompressed
from bankwise.trainers.trial import run_trial

Widths = tuple[float, ...]  # a multiplier of channels for each stage


def narrowest(network: str, multipliers: Sequence[float]) -> str:
    return at_widths(network, (min(multipliers),))


def check_network(network: str) -> None:
    if network not in network_names():
        raise BankwiseError(
            f"widths are searched for the networks {', '.join(network_names())}, without a width of their own, "
            f"not for {network!r}"
        )


def most_trials(count: int, multipliers: Sequence[float]) -> int:
    """Scores that `climb` takes at most."""
    return len(set(multipliers)) + (2 * count if count > 1 and len(set(multipliers)) > 1 else 0)


def climb(
    count: int, multipliers: Sequence[float], score: Callable[[Widths], float | None]
) -> tuple[Widths | None, dict[Widths, float]]:
    """The best widths found for `count` stages, and every score taken. `score` is None where nothing fits the budget.

    First every multiplier for all stages alike, then, from the best of these, one stage after another: its two
    neighbours among the multipliers, each kept where it is better.
    """
    steps, scores = sorted(set(multipliers)), {}

    def better(widths: Widths, than: Widths | None) -> bool:
        if (found := score(widths)) is not None:
            scores[widths] = found
        return found is not None and (than is None or found > scores[than])

    best: Widths | None = None
    for step in steps:
        if better(alike := (step,) * count, best):
            best = alike
    if best is None or count == 1:
        return best, scores
    for stage in range(count):
        middle = steps.index(best[stage])
        for step in steps[max(0, middle - 1) : middle] + steps[middle + 1 : middle + 2]:
            if better(one := (*best[:stage], step, *best[stage + 1 :]), best):
                best = one
    return best, scores


def rehearse_widths(
    inputs: Inputs, recipe: Recipe, space: SpaceSettings, budgeted: Callable[[Task], BudgetedSpace],
    multipliers: Sequence[float],
) -> Recipe:  # fmt: skip
    """The recipe as the networks of all multipliers that fit can be trained by it (`trainers.rehearsal.rehearse`): one
    after another, before the first is trained. Raises BankwiseError where one of them cannot be trained."""
    for multiplier in sorted(set(multipliers)):
        task = inputs.of(at_widths(inputs.source.network, (multiplier,))).task(recipe)
        try:
            budgeted(task)
        except InfeasibleBudget:
            continue
        recipe = rehearse(task, SearchSpace(task.shape, space).smallest)
    return recipe


@dataclass(frozen=True)
class WidthTrials:
    """Tries widths of the inputs' network in the budget of `budgeted`: the float network for the recipe's epochs, then
    the child of the budget's closed-form plan for as many. Finished ones lie in the folder's checkpoints."""

    inputs: Inputs
    recipe: Recipe
    budgeted: Callable[[Task], BudgetedSpace]
    folder: RunFolder
    report: Callable[[str, EpochReport], None] = lambda name, epoch: None

    def __call__(self, widths: Widths) -> float | None:
        """Validation accuracy; None where no plan fits the budget."""
        name = at_widths(self.network, widths)
        label = "width-" + re.sub(r"[^\w.]+", "-", name)
        kept = self.folder.checkpoints / f"{label}.json"
        if kept.exists():
            return self._logged(self.folder.read(kept))
        task = self.inputs.of(name).task(self.recipe)
        try:
            space = self.budgeted(task)
        except InfeasibleBudget:
            self.folder.write(kept, {"network": name, "accuracy": None})
            return None
        teacher = dataclasses.replace(task, network=copy.deepcopy(task.network))
        checkpoints = [self.folder.checkpoints / f"{label}{end}.pt" for end in ("-float", "")]

        def report(epoch: EpochReport) -> None:
            self.report(name, epoch)

        train_uncompressed(teacher, dataclasses.replace(self.recipe, distill=0.0), checkpoints[0], report)
        task = dataclasses.replace(task, teacher=teacher.network.eval().requires_grad_(False))
        plan = space.plan(space.solve(weighted_capture(space)))
        result = run_trial(task, plan, self.recipe, checkpoint=checkpoints[1], report=report)
        event = {"network": name, "accuracy": result.accuracy, "file_bytes": result.file_bytes}
        self.folder.write(kept, event)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        return self._logged(event)

    @property
    def network(self) -> str:
        return self.inputs.source.network

    def _logged(self, event: dict[str, Any]) -> float | None:
        accuracy: float | None = event["accuracy"]
        if accuracy is not None:
            self.folder.log(f"widths {event['network']}", {"phase": "widths", **event})
        return accuracy


def best_network(trials: WidthTrials, multipliers: Sequence[float]) -> tuple[str, dict[str, float]]:
    """The network of the best widths found, and the accuracy of each that was tried. The narrowest must fit."""
    best, scores = climb(stages(trials.network), multipliers, trials)
    if best is None:
        raise BankwiseError(f"no width of {trials.network!r} fits the budget")
    return at_widths(trials.network, best), {at_widths(trials.network, w): a for w, a in scores.items()}
