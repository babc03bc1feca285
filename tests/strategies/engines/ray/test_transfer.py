from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("ray")
from bankwise.search_space.families import Float
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace
from bankwise.strategies.engines.ray.transfer import dense, take_over
from bankwise.trainers.checkpoint import load_checkpoint
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.trial import run_trial


@pytest.fixture(scope="module")
def donor(quick, tight, tmp_path_factory):
    """A trained child's plan and the state it left after 2 epochs."""
    plan = tight.plan(tight.sample(np.random.default_rng(2)))
    state = tmp_path_factory.mktemp("donor") / "training.pt"
    run_trial(quick, plan, Recipe(epochs=2, threads=1), checkpoint=state)
    return plan, state


def other_plans(tight, than):
    rng = np.random.default_rng(3)
    drawn = [tight.plan(tight.sample(rng)) for _ in range(8)]
    return [plan for plan in drawn if plan != than]


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
    task, _ = take_over(quick, plan, 0, state, Recipe(epochs=4, threads=1))
    child = build_child(task.network, task.shape, plan, 0, task.teacher)
    before = build_child(quick.network, quick.shape, plan, 0)
    before.load_state_dict(load_checkpoint(state)["model"])
    for layer in quick.shape.layers:
        if isinstance(plan.layers[layer.name], Float):
            continue
        old, new = (network.get_submodule(layer.name).generated().flatten() for network in (before, child))
        assert torch.cosine_similarity(old, new, dim=0) > 0.999, layer.name
    norms = [module for module in before.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for old, new in zip(norms, [m for m in child.modules() if isinstance(m, torch.nn.BatchNorm2d)], strict=True):
        assert torch.equal(old.running_mean, new.running_mean) and torch.equal(old.weight, new.weight)


def test_the_epochs_that_are_left(quick, donor):
    plan, state = donor
    for epochs, base, behind in ((8, 0, 2), (3, 0, 2), (2, 0, 1), (8, 3, 5), (5, 3, 4)):  # at least one is trained
        assert take_over(quick, plan, base, state, Recipe(epochs=epochs, threads=1))[1] == behind


def test_what_is_taken_over_is_a_better_start(quick, tight, donor):
    plan, state = donor
    task, _ = take_over(quick, plan, 0, state, Recipe(epochs=3, threads=1))
    images = quick.data.train_x[:200].float() / 127.5 - 1

    def loss(other, teacher):
        child = build_child(quick.network, quick.shape, other, 0, teacher).train()
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(child(images), quick.data.train_y[:200]))

    others = other_plans(tight, plan)
    assert sum(loss(other, task.teacher) for other in others) < sum(loss(other, None) for other in others)


def test_a_teacher_that_is_distilled_from_stays(task, donor):
    plan, state = donor
    taken, behind = take_over(task, plan, 0, state, Recipe(epochs=4, distill=0.5, threads=1))
    assert taken.teacher is task.teacher and behind == 2


def test_without_a_saved_state_the_child_starts_from_nothing(quick, donor, tmp_path):
    task, behind = take_over(quick, donor[0], 3, tmp_path / "none", Recipe(threads=1))
    assert task is quick and behind == 0
