"""Which float network each training of a run starts from."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from bankwise.cli.output import results_table
from bankwise.exporting import export
from bankwise.inputs import take
from bankwise.measuring import Measured, Sample, check_some, measure_files, measure_networks
from bankwise.progress import Meter
from bankwise.run_folder import RunFolder
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Integer
from bankwise.search_space.layer import build_child
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.shown import value_of
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.trainers.loop import Diverged, train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task, TaskSource
from bankwise.trainers.trial import run_trial
from bankwise.trainings import Trainings
from bankwise.weights import run_of


@pytest.fixture
def made(tmp_path: Path):
    """Trainings, the tasks of every full one so far, and a plan to train."""
    recipe, tasks = Recipe(epochs=1, threads=1), []

    def recorded(task: Task, *arguments, **options):
        tasks.append(task)
        return run_trial(task, *arguments, **options)

    inputs = take(None, TaskSource("tiny", "digits", limit=200))
    task = inputs.task(recipe)
    plan: Plan = make_strategy("rate", BudgetedSpace(SearchSpace(task.shape), Budget(1200))).ask()
    meter = Meter({"uncompressed": 2, "final searched": 2, "finalists": 3})
    with RunFolder(tmp_path / "run").claimed({}) as folder:
        yield Trainings(inputs, task, folder, recipe, 0, meter, recorded), tasks, plan


def test_every_final_training_starts_from_a_float_network_of_its_own(made):
    trainings, tasks, plan = made
    trainings.uncompressed(2)
    first, second = trainings.teachers
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert trainings.task.teacher is first
    trainings.final("searched", plan, 2)
    assert [task.teacher for task in tasks] == [first, second]
    for number in range(3):
        trainings.full(trainings.of_plan("finalists", f"finalist-{number}", plan, number, number, number))
    assert [task.teacher for task in tasks[2:]] == [first, second, first]


def test_without_float_networks_there_is_no_teacher(made):
    trainings, tasks, plan = made
    trainings.final("searched", plan, 1)
    assert [task.teacher for task in tasks] == [None]


def test_a_file_of_another_plan_is_not_taken_for_the_one_to_be_trained(made):
    """LABEL.bankwise and LABEL.json of an earlier process, or of somebody else, lie in the folder."""
    trainings, tasks, plan = made
    (asked,) = trainings.finals("searched", plan, 1)
    first = trainings.full(asked)
    assert trainings.full(asked) == first and len(tasks) == 1
    last = list(plan.layers)[-1]
    other = dataclasses.replace(plan, layers={**plan.layers, last: Integer(2)})
    with pytest.raises(BankwiseError, match=r"searched-0.bankwise' holds another plan .*; delete it to train that"):
        trainings.full(dataclasses.replace(asked, plan=other))
    assert len(tasks) == 1
    Path(first["model"]).unlink()
    (trainings.folder.checkpoints / "searched-0.pt").unlink()
    assert trainings.full(dataclasses.replace(asked, plan=other))["file_bytes"] != first["file_bytes"]
    assert len(tasks) == 2


class Activated(torch.nn.Sequential):
    """Its gain belongs to no layer."""

    def __init__(self, num_classes: int):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))
        self.gain = torch.nn.Parameter(torch.randn(64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.gain * x.flatten(1))


def test_float_networks_of_further_seeds_keep_what_is_kept(tmp_path, monkeypatch):
    """Without its pattern the second network would be refused."""
    monkeypatch.setitem(sys.modules, "own_activated", sys.modules[__name__])
    inputs = take("own_activated:Activated", "digits", keep=("gain",))
    recipe = Recipe(epochs=1, threads=1)
    task = inputs.task(recipe)
    with RunFolder(tmp_path / "run").claimed({}) as folder:
        second = Trainings(inputs, task, folder, recipe, 0, Meter({}), run_trial).untrained(1)
    assert task.shape.keep == ("gain",) and not torch.equal(second.gain, task.network.gain)


def diverge_at(*seeds: int):
    """Trains as `train` and `run_trial` do; by a recipe of one of these seeds it diverges."""

    def wrapped(train):
        def run(*arguments, **options):
            recipe = next(one for one in arguments if isinstance(one, Recipe))
            tried.append(recipe.seed)
            if recipe.seed in seeds:
                raise Diverged(f"the training diverged: the loss is nan in epoch 1 at seed {recipe.seed}")
            return train(*arguments, **options)

        return run

    tried: list[int] = []
    return wrapped, tried


def test_a_final_seed_that_diverges_is_recorded_and_the_mean_is_over_the_others(made):
    trainings, _, plan = made
    wrapped, tried = diverge_at(2)
    trainings.train_in_full = wrapped(run_trial)
    for _ in range(2):  # the second time nothing is trained: what diverged would diverge again
        results = trainings.final("searched", plan, 3)
    assert tried == [1, 2, 3]
    assert [sorted(result) == ["diverged"] for result in results] == [False, True, False]
    measured = measure_files(trainings.task, price(trainings.task.shape, plan), results)
    assert measured.diverged == {"1": "the training diverged: the loss is nan in epoch 1 at seed 2"}
    accuracies = [results[0]["accuracy"], results[2]["accuracy"]]
    assert measured.accuracy == pytest.approx(sum(accuracies) / 2) and len(measured.test.values) == 2
    assert Measured.from_dict(measured.to_dict()) == measured
    summary = measured.to_dict() | {"file_bytes": measured.bytes, "network": "tiny", "data": "digits"}
    summary |= {"strategy": None, "baseline_uniform": None, "uncompressed": measured.to_dict()}
    table = results_table(summary)
    assert str(table.title) == "tiny on digits, accuracy over 2 of 3 seeds, 1 diverged"
    assert str(list(table.columns[0].cells)[1]) == "uncompressed (float32) (over 2 of 3 seeds, 1 diverged)"
    trainings.publish(results)
    best = 0 if accuracies[0] >= accuracies[1] else 2
    assert (
        trainings.folder.model.read_bytes() == (trainings.folder.checkpoints / f"searched-{best}.bankwise").read_bytes()
    )
    trainings.folder.write(trainings.folder.summary, measured.to_dict())
    trainings.folder.write(trainings.folder.settings, {})
    plan.save(trainings.folder.plan)
    run = trainings.folder.path
    assert export(run, run / "other", seed=2).read_bytes() == (run / "checkpoints" / "searched-2.bankwise").read_bytes()
    with pytest.raises(BankwiseError, match="holds the seeds 0, 2, not seed 1"):
        export(run, run / "none", seed=1)


def test_all_final_seeds_that_diverge_are_one_line(made):
    trainings, _, plan = made
    trainings.train_in_full = diverge_at(1, 2)[0](run_trial)
    line = "all 2 trainings of the plan diverged, the first: the training diverged: .* at seed 1, in another folder$"
    with pytest.raises(Diverged, match=line):
        check_some("the plan", trainings.final("searched", plan, 2))


def test_an_uncompressed_network_that_diverges_is_no_teacher(made, monkeypatch):
    trainings, _, _ = made
    wrapped, tried = diverge_at(0)
    monkeypatch.setattr("bankwise.trainings.train", wrapped(train))
    results = trainings.uncompressed(2)
    assert [sorted(result) for result in results] == [["diverged"], ["accuracy", "network"]]
    assert trainings.teachers == [results[1]["network"]] and trainings.task.teacher is trainings.teachers[0]
    measured = measure_networks(trainings.task, results)
    assert measured.validation.values == (results[1]["accuracy"],) and list(measured.diverged) == ["0"]
    assert measured.to_dict()["accuracy_spread"] is None
    rate = make_strategy("rate", BudgetedSpace(SearchSpace(trainings.task.shape), Budget(1200))).ask()
    rate.save(trainings.folder.plan)
    assert run_of(trainings.folder.path)[1].name == "uncompressed-1.pt"
    assert tried == [0, 1]
    with pytest.raises(Diverged, match="all 1 trainings of the uncompressed network diverged"):
        trainings.uncompressed(1)
    assert tried == [0, 1], "it is not trained again"


def test_a_training_whose_weights_no_file_holds_has_diverged(made, monkeypatch):
    """Finite in float32, not in half precision."""
    trainings, _, plan = made

    def huge(task, plan, recipe, *rest):
        child = build_child(task.network, task.shape, plan, recipe.seed)
        for norm in child.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                torch.nn.init.constant_(norm.weight, 1e9)
        return child, []

    monkeypatch.setattr("bankwise.trainers.trial.train_child", huge)
    assert "cannot be packed: a stored value is not finite" in trainings.final("searched", plan, 1)[0]["diverged"]


def test_one_seed_has_no_spread():
    assert Sample((0.5,)).spread is None and Sample((0.5, 0.7)).spread == pytest.approx(0.02**0.5)
    assert value_of(0.5, Sample((0.5,)).spread) == "50.00 %"
