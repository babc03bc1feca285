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

from bankwise.run_folder import RunFolder
from search_space.errors import BankwiseError, InfeasibleBudget
from search_space.networks import at_widths, network_names, stages
from strategies import BudgetedSpace
from strategies.scores import weighted_capture
from trainers.data import ImageData
from trainers.loop import EpochReport
from trainers.recipe import Recipe
from trainers.task import Task, make_task, train_uncompressed
from trainers.trial import run_trial

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
    for stage in range(count if best is not None and count > 1 else 0):
        middle = steps.index(best[stage])
        for step in steps[max(0, middle - 1) : middle] + steps[middle + 1 : middle + 2]:
            if better(one := (*best[:stage], step, *best[stage + 1 :]), best):
                best = one
    return best, scores


@dataclass(frozen=True)
class WidthTrials:
    """Tries widths of `network` within the budget of `budgeted`: the float network for the recipe's epochs, then the
    child of the budget's closed-form plan for as many. What is through lies in the folder's checkpoints."""

    network: str
    data: ImageData
    recipe: Recipe
    budgeted: Callable[[Task], BudgetedSpace]
    keep: tuple[str, ...]
    folder: RunFolder
    report: Callable[[str, EpochReport], None] = lambda name, epoch: None

    def __call__(self, widths: Widths) -> float | None:
        """Validation accuracy; None where no plan is within the budget."""
        name = at_widths(self.network, widths)
        label = "width-" + re.sub(r"[^\w.]+", "-", name)
        kept = self.folder.checkpoints / f"{label}.json"
        if kept.exists():
            return self.folder.read(kept)["accuracy"]
        task = make_task(name, self.data, self.recipe, self.keep)
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
        self.folder.log({"phase": "widths", **event})
        self.folder.write(kept, event)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        return result.accuracy


def best_network(trials: WidthTrials, multipliers: Sequence[float]) -> tuple[str, dict[str, float]]:
    """The network of the best widths found, and the accuracy of each that was tried. The narrowest must fit."""
    best, scores = climb(stages(trials.network), multipliers, trials)
    return at_widths(trials.network, best), {at_widths(trials.network, w): a for w, a in scores.items()}
