"""The architecture, width and depth of every stage, searched before the plan.

A network of half the channels has a quarter of the weights, and so about four times the bits for each of them in the
same budget; one of fewer blocks has more for each of those that are left. Which trade is best depends on budget and
data: each architecture is tried by a short training of its closed-form plan.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bankwise.inputs import Inputs
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.networks import (
    at_depths,
    at_widths,
    deep_names,
    network_names,
    one_depth,
    stages,
    usual_depths,
)
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.scores import weighted_capture
from bankwise.trainers.loop import EpochReport
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.task import Task, train_uncompressed
from bankwise.trainers.trial import run_trial


@dataclass(frozen=True)
class Architecture:
    """For each stage a multiplier of channels, and its blocks (None: as many as the network has)."""

    widths: tuple[float, ...]
    depths: tuple[int, ...] | None = None

    def of(self, network: str) -> str:
        """The reference of `network` in this architecture."""
        usual = usual_depths(network)
        return at_depths(at_widths(network, self.widths), None if self.depths == usual else self.depths)


@dataclass(frozen=True)
class Offered:
    """What is searched for a network: multipliers of channels and numbers of blocks that every stage may have, each
    rising and without repeats. Raises BankwiseError where a network has no such choice."""

    network: str
    widths: tuple[float, ...] = ()
    depths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self and self.network not in network_names():
            what, names = ("depths", deep_names()) if self.depths else ("widths", network_names())
            raise BankwiseError(
                f"{what} are searched for the networks {', '.join(names)}, without a size of their own, not for "
                f"{self.network!r}"
            )
        if self.depths and self.usual is None:
            raise one_depth(self.network)
        object.__setattr__(self, "widths", tuple(sorted(set(self.widths))))
        object.__setattr__(self, "depths", tuple(sorted(set(self.depths))))

    def __bool__(self) -> bool:
        return bool(self.widths or self.depths)

    @property
    def stages(self) -> int:
        return stages(self.network)

    @property
    def usual(self) -> tuple[int, ...] | None:
        """The network's own depths."""
        return usual_depths(self.network)

    def alike(self, width: float, depth: int | None = None) -> Architecture:
        """All stages of one width, and of one depth (None: the usual ones)."""
        return Architecture((width,) * self.stages, self.usual if depth is None else (depth,) * self.stages)

    def all_alike(self) -> list[Architecture]:
        """Every width with the usual depths and with every depth."""
        every = itertools.product(self.widths or (1.0,), (None, *self.depths))
        return list(dict.fromkeys(self.alike(width, depth) for width, depth in every))

    def narrowest(self) -> list[Architecture]:
        """Those of `all_alike` of the first width. One of them must fit."""
        alike = self.all_alike()
        return [one for one in alike if one.widths == alike[0].widths]

    @property
    def most_trials(self) -> int:
        """Scores that `climb` takes at most."""
        widths, depths = max(1, len(self.widths)), len(self.depths)
        further = (len(self.widths) > 1) + (depths > 0)
        return widths + depths + (2 * self.stages * further if self.stages > 1 or further > 1 else 0)


def climb(
    offered: Offered, score: Callable[[Architecture], float | None]
) -> tuple[Architecture | None, dict[Architecture, float]]:
    """The best architecture found, and every score taken. `score` is None where nothing fits the budget.

    First every width for all stages alike, with the usual depths; then, at the best of these (the narrowest where none
    fits), every depth for all stages alike; then, from the best so far, one stage after another: the next smaller and
    larger width, the next smaller and larger depth, each kept where it is better.
    """
    scores: dict[Architecture, float | None] = {}

    def better(at: Architecture, best: Architecture | None) -> Architecture | None:
        if at in scores:
            return best
        found = scores[at] = score(at)
        before = None if best is None else scores[best]
        return at if found is not None and (before is None or found > before) else best

    best: Architecture | None = None
    for width in offered.widths or (1.0,):
        best = better(offered.alike(width), best)
    width = offered.narrowest()[0].widths[0] if best is None else best.widths[0]
    for depth in offered.depths:
        best = better(offered.alike(width, depth), best)
    for stage, kind in itertools.product(range(offered.stages), ("widths", "depths")):
        for at in () if best is None else _beside(best, stage, kind, getattr(offered, kind)):
            best = better(at, best)
    return best, {at: found for at, found in scores.items() if found is not None}


def _beside(at: Architecture, stage: int, kind: str, offered: Sequence[float]) -> list[Architecture]:
    """`at` with the next smaller and with the next larger width or depth of one stage."""
    values = getattr(at, kind)
    below, above = [one for one in offered if one < values[stage]], [one for one in offered if one > values[stage]]
    steps = below[-1:] + above[:1]
    return [dataclasses.replace(at, **{kind: (*values[:stage], step, *values[stage + 1 :])}) for step in steps]


def check_fits(inputs: Inputs, recipe: Recipe, offered: Offered, budgeted: Callable[[Task], BudgetedSpace]) -> None:
    """Raises InfeasibleBudget unless one of the narrowest architectures has a plan in the budget."""
    errors = {}
    for architecture in offered.narrowest():
        task = inputs.of(architecture.of(offered.network)).task(recipe)
        try:
            budgeted(task)
            return
        except InfeasibleBudget as error:
            errors[task.shape.weights] = error
    raise errors[min(errors)]


def rehearse_all(
    inputs: Inputs, recipe: Recipe, space: SpaceSettings, budgeted: Callable[[Task], BudgetedSpace], offered: Offered
) -> Recipe:
    """The recipe as all networks of one width and one depth that fit can be trained by it
    (`trainers.rehearsal.rehearse`), one after another, before the first is trained. Raises BankwiseError where one of
    them cannot be trained."""
    for architecture in offered.all_alike():
        task = inputs.of(architecture.of(offered.network)).task(recipe)
        try:
            budgeted(task)
        except InfeasibleBudget:
            continue
        recipe = rehearse(task, SearchSpace(task.shape, space).smallest)
    return recipe


@dataclass(frozen=True)
class ArchitectureTrials:
    """Tries architectures of the inputs' network in the budget of `budgeted`: the float network for the recipe's
    epochs, then the child of the budget's closed-form plan for as many. Finished ones lie in the folder's checkpoints.
    """

    inputs: Inputs
    recipe: Recipe
    budgeted: Callable[[Task], BudgetedSpace]
    folder: RunFolder
    report: Callable[[str, EpochReport], None] = lambda name, epoch: None

    def __call__(self, architecture: Architecture) -> float | None:
        """Validation accuracy; None where no plan fits the budget."""
        name = architecture.of(self.inputs.source.network)
        label = "architecture-" + re.sub(r"[^\w.]+", "-", name)
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

    def _logged(self, event: dict[str, Any]) -> float | None:
        accuracy: float | None = event["accuracy"]
        if accuracy is not None:
            self.folder.log(f"architectures {event['network']}", {"phase": "architectures", **event})
        return accuracy


def best_network(trials: ArchitectureTrials, offered: Offered) -> tuple[str, dict[str, float]]:
    """The network of the best architecture found, and the accuracy of each that was tried. One of the narrowest must
    fit (`check_fits`)."""
    best, scores = climb(offered, trials)
    if best is None:
        raise BankwiseError(f"no architecture of {offered.network!r} fits the budget")
    return best.of(offered.network), {at.of(offered.network): found for at, found in scores.items()}
