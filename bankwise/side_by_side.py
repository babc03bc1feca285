"""Full trainings side by side, each in a process of its own on this machine.

They are made ahead: what asks for them one after another finds their files. Each has as many CPU threads as it would
have alone, and so gives the same bits.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bankwise.progress import Meter
from bankwise.search_space.files import scratch, write_bytes
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.crew import ENDED, EPOCH, Crew, NotSent, Report, TaskFiles
from bankwise.trainers.data_sets.pixels import IN_MEMORY_BYTES
from bankwise.trainers.device import chosen_device
from bankwise.trainers.loop import Diverged, EpochReport, optimizer_steps, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task
from bankwise.trainers.threads import threads_for
from bankwise.trainers.trial import run_trial

WORTH = 1000  # optimizer steps in all: processes take some seconds to start


@dataclass(frozen=True)
class FullTraining:
    """The training number `unit` of a phase: of a plan from its teacher, or, without a plan, of the float network
    `network` itself. Its label names it within a run."""

    phase: str
    unit: int
    label: str
    recipe: Recipe
    checkpoint: Path
    network: nn.Module | None = None
    plan: Plan | None = None
    file: Path | None = None


Made = Callable[[FullTraining, "dict[str, Any] | Diverged | None"], None]  # metrics of a plan's; None: a float network


def cores() -> int:
    """The processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual(recipe: Recipe) -> int:
    """How many at a time where nobody says it: one a core, one alone on another device."""
    return cores() if chosen_device(recipe.device).type == "cpu" else 1


def at_once(most: int, task: Task, recipe: Recipe) -> int:
    """How many full trainings run at a time, up to `most`: on the CPU no more than its cores have threads for, and one
    where the images are too many to be written once more for other processes."""
    device = chosen_device(recipe.device)
    if task.data.train_x.nbytes > IN_MEMORY_BYTES:
        return 1
    if most == 1 or device.type != "cpu":
        return most
    threads = threads_for(task.network, task.data, recipe, recipe.batch, device)
    return max(1, min(most, cores() // threads))


class SideBySide:
    """Trains up to `most` at a time; a context manager that ends the processes. They start with the first training."""

    def __init__(self, task: Task, most: int, meter: Meter):
        self.task, self.most, self.meter = task, most, meter
        self._folder = scratch()
        self._networks: dict[nn.Module, Path] = {}

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(self, *error: object) -> None:
        crew = self.__dict__.get("_crew")  # none where nothing was trained
        if crew is not None:
            crew.__exit__(*error)
        self._folder.cleanup()

    @property
    def possible(self) -> bool:
        """Whether several may run at a time, and the network can be sent to another process."""
        return self.most > 1 and self._crew is not None

    @cached_property
    def _crew(self) -> Crew | None:
        """None where the network cannot be sent to another process."""
        try:
            files = TaskFiles.write(replace(self.task, teacher=None), Path(self._folder.name))
        except NotSent:
            return None
        return Crew(files, _trained, torch.get_num_threads())

    def run(self, trainings: Sequence[FullTraining], made: Made) -> bool:
        """Make the trainings; each is given to `made` when it is through. What is lost with a process that dies is left
        to be made one after another, and all where there is nothing to gain: then it returns False."""
        steps = sum(optimizer_steps(self.task.data, one.recipe) for one in trainings)
        if len(trainings) < 2 or steps < WORTH or not self.possible:
            return False
        assert self._crew is not None
        told = _Told(self.meter, trainings)
        waiting, running = list(trainings), dict[str, FullTraining]()
        while waiting or running:
            while waiting and len(running) < self.most:
                one = waiting.pop(0)
                running[one.label] = one
                self._crew.give(one.label, self._message(one))
            for key, what, value in self._crew.heard():
                one = running[str(key)]
                if what == EPOCH:
                    told.epoch(one, value)
                    continue
                del running[one.label]
                if what == ENDED:
                    result = Diverged(value) if isinstance(value, str) else value
                    made(one, result)
                    told.ended(one, result)
        return True

    def _message(self, one: FullTraining) -> tuple[object, ...]:
        plan = None if one.plan is None else one.plan.to_dict()
        return self._written(one.network), plan, one.recipe, one.checkpoint, one.file

    def _written(self, network: nn.Module | None) -> Path | None:
        if network is None:
            return None
        if network not in self._networks:
            self._networks[network] = path = Path(self._folder.name) / f"network-{len(self._networks)}"
            write_bytes(path, pickle.dumps(network))
        return self._networks[network]


def _trained(task: Task, message: tuple[Any, ...], report: Report) -> dict[str, Any] | str | None:
    """In a process of its own: the training; why, where it diverges."""
    written, plan, recipe, checkpoint, file = message
    network: Any = None if written is None else pickle.loads(written.read_bytes())
    try:
        if plan is None:
            train(network, task.data, recipe, checkpoint=checkpoint, report=report)
            return None
        task, plan = replace(task, teacher=network), Plan.from_dict(plan, allow_code=True)
        return run_trial(task, plan, recipe, file=file, checkpoint=checkpoint, report=report).metrics()
    except Diverged as error:
        return f"{error}"


class _Told:
    """Tells the epochs of trainings of several phases as one phase after another."""

    def __init__(self, meter: Meter, trainings: Sequence[FullTraining]):
        self.meter, self.trainings = meter, trainings
        self.done = {one.label: 0 for one in trainings}

    def epoch(self, one: FullTraining, epoch: EpochReport) -> None:
        self.done[one.label] = epoch.epoch
        if self.meter.on_epoch is not None:
            self.meter.on_epoch(one.phase, one.unit, epoch)
        self._tell(f"{one.label} epoch {epoch.epoch}/{one.recipe.epochs} {self.meter.told(epoch.accuracy)}")

    def ended(self, one: FullTraining, result: dict[str, Any] | Diverged | None) -> None:
        self.done[one.label] = one.recipe.epochs
        if isinstance(result, Diverged):
            self._tell(f"{one.label} failed: {result}")
        elif result is not None:
            self._tell(f"{one.label} {self.meter.told(result['accuracy'])}")

    def _tell(self, text: str) -> None:
        phases = self._phases()
        phase = next((phase for phase in phases if self._left(phase)), phases[-1])
        self.meter(phase, max(0, self.meter.work[phase] - self._left(phase)), text)

    def _phases(self) -> list[str]:
        return list(dict.fromkeys(one.phase for one in self.trainings))

    def _left(self, phase: str) -> int:
        return sum(one.recipe.epochs - self.done[one.label] for one in self.trainings if one.phase == phase)
