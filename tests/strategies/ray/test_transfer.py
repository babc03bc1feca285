from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("ray")
from search_space.basis import Float
from search_space.errors import BankwiseError
from search_space.layer import build_child
from search_space.networks import build
from search_space.space import SearchSpace
from search_space.trace import trace
from strategies.ray.transfer import Progress, dense, take_over
from trainers.checkpoint import load_checkpoint
from trainers.recipe import Recipe
from trainers.trial import run_trial


@pytest.fixture(scope="module")
def donor(quick, tight, tmp_path_factory):
    """A trained child's plan and the state it left after 2 epochs."""
    plan = tight.plan(tight.sample(np.random.default_rng(2)))
    state = tmp_path_factory.mktemp("donor") / "training.pt"
    run_trial(quick, plan, Recipe(epochs=2, threads=1), checkpoint=state)
    return plan, state


def other_plan(tight, than):
    rng = np.random.default_rng(3)
    return next(plan for plan in iter(lambda: tight.plan(tight.sample(rng)), None) if plan != than)


@pytest.mark.parametrize("network", ["tiny", "resnet20@0.25"])
def test_the_dense_network_computes_what_the_child_does(network):
    plain = build(network, classes=10, in_channels=3)
    shape = trace(plain, network, (3, 16, 16), 10)
    space = SearchSpace(shape)
    plan = space.plan([len(row) // 2 for row in space.choices])
    child = build_child(plain, shape, plan, seed=0).eval()
    for norm in (module for module in child.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(dense(child, plain)(images), child(images), atol=1e-5)


def test_a_layer_of_the_same_choice_takes_over_its_weight_exactly(quick, tight, donor):
    """The donor's weight, fitted again by the choice that it came from, is that weight up to a scale, which a norm
    takes out."""
    plan, state = donor
    task, _ = take_over(quick, Progress(plan, 0, (0.1, 0.2)), state, plan, Recipe(epochs=4, threads=1))
    child = build_child(task.network, task.shape, plan, 0, task.teacher)
    before = build_child(quick.network, quick.shape, plan, 0)
    before.load_state_dict(load_checkpoint(state)["model"])
    for layer in quick.shape.layers:
        if isinstance(plan.layers[layer.name], Float):
            continue
        old, new = (network.get_submodule(layer.name).weight().flatten() for network in (before, child))
        assert torch.cosine_similarity(old, new, dim=0) > 0.999, layer.name
    norms = [module for module in before.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for old, new in zip(norms, [m for m in child.modules() if isinstance(m, torch.nn.BatchNorm2d)], strict=True):
        assert torch.equal(old.running_mean, new.running_mean) and torch.equal(old.weight, new.weight)


def test_the_epochs_that_are_left(quick, tight, donor):
    plan, state = donor
    other = other_plan(tight, plan)
    before = Progress(plan, 0, (0.1, 0.2), 5.0)
    for epochs, base in ((8, 2), (3, 2), (2, 1)):  # at least one is trained
        _, progress = take_over(quick, before, state, other, Recipe(epochs=epochs, threads=1))
        assert (progress.plan, progress.base, progress.reported) == (other, base, base)
        assert progress.accuracies == (0.1, 0.2)[:base]
    _, progress = take_over(quick, Progress(plan, 3, (0.0,) * 5), state, other, Recipe(epochs=8, threads=1))
    assert progress.base == 5


def test_what_is_taken_over_is_a_better_start(quick, tight, donor):
    plan, state = donor
    other = other_plan(tight, plan)
    task, _ = take_over(quick, Progress(plan, 0, (0.1, 0.2)), state, other, Recipe(epochs=3, threads=1))
    images = quick.data.train_x[:200].float() / 127.5 - 1
    losses = []
    for teacher in (None, task.teacher):
        child = build_child(quick.network, quick.shape, other, 0, teacher).train()
        with torch.no_grad():
            losses.append(float(torch.nn.functional.cross_entropy(child(images), quick.data.train_y[:200])))
    assert losses[1] < losses[0]


def test_a_teacher_that_is_distilled_from_stays(task, tight, donor):
    plan, state = donor
    taught = Recipe(epochs=4, distill=0.5, threads=1)
    taken, progress = take_over(task, Progress(plan, 0, (0.1, 0.2)), state, other_plan(tight, plan), taught)
    assert taken.teacher is task.teacher and progress.base == 2


def test_without_a_saved_state_the_child_starts_from_nothing(quick, tight, donor, tmp_path):
    other = other_plan(tight, donor[0])
    task, progress = take_over(quick, Progress(donor[0], 0, (0.1,)), tmp_path / "none", other, Recipe(threads=1))
    assert task is quick and progress == Progress(other)


def test_progress_through_its_file_and_back(tight, donor, tmp_path):
    progress = Progress(donor[0], 1, (0.25, 1 / 3), 1.5)
    progress.write(tmp_path / "progress.json")
    assert Progress.read(tmp_path / "progress.json") == progress
    assert dataclasses.replace(progress, accuracies=()).reported == 0
    (tmp_path / "progress.json").write_text('{"base": 0}')
    with pytest.raises(BankwiseError, match="is not the progress of a trial"):
        Progress.read(tmp_path / "progress.json")
