"""The study of layers compressed alone: paths are fair, and shares that were put in are found."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import expit

from bankwise.search_space.modules import layer_at
from bankwise.strategies.alone import spread
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from results.bench.alone import SEEDS, shares
from results.bench.paths import Paths, all_at_once, nearest, one_at_a_time
from results.bench.setting import SETTINGS

SPACE = SETTINGS["digits-500"].space


@pytest.fixture(scope="module")
def task():
    task = make_task("tiny", load_data("digits", limit=300), Recipe(epochs=1, recalibrate=1))
    return dataclasses.replace(task, teacher=make_task("tiny", task.data, task.recipe).network.eval())


@pytest.mark.parametrize("alone", [True, False])
def test_every_choice_of_a_layer_comes_equally_often(task, alone):
    kept = spread(SPACE)
    supernet = Paths(task, SPACE, kept, alone, seed=0)
    steps = sum(supernet.sizes) if alone else max(supernet.sizes)
    paths = []
    for _ in range(3 * steps):
        supernet.begin_step(0.0)
        paths.append(list(supernet.path))
    compressed = np.array(paths) < np.array(supernet.sizes)
    assert (compressed.sum(1) == 1).all() if alone else compressed.all()
    for layer, size in enumerate(supernet.sizes):
        counts = np.bincount([path[layer] for path in paths], minlength=size + 1)[:size]
        assert counts.min() == counts.max() == 3 or (not alone and size < max(supernet.sizes))


def test_the_path_of_no_choice_is_the_trained_network(task):
    supernet = Paths(task, SPACE, spread(SPACE), alone=True, seed=0).eval()
    images = task.data.to_input(task.data.val_x[:20])
    assert torch.equal(supernet(images), task.teacher(images))
    supernet.path[1] = 0
    assert not torch.equal(supernet(images), task.teacher(images))
    assert layer_at(task.teacher, task.shape.layers[0].name).weight.grad is None


def test_kept_choices_are_their_own_nearest():
    kept = spread(SPACE)
    for places, indices in zip(nearest(SPACE, kept), kept, strict=True):
        assert places[indices].tolist() == list(range(len(indices)))


def test_supernets_give_an_accuracy_for_everything_that_is_asked(task):
    kept = spread(SPACE, 2)
    assert [len(row) for row in one_at_a_time(SPACE, task, kept)] == [len(indices) for indices in kept]
    found = all_at_once(SPACE, task, kept, np.array([SPACE.solve([row * 0.0 for row in SPACE.costs])] * 2))
    assert len(found) == 2 and found[0] == found[1] and 0 <= found[0] <= 1


def test_shares_that_were_put_in_are_found():
    """In a world whose logits are 0.1 times the closed form and 0.2 times the measured score, uncorrelated."""
    rng, benches = np.random.default_rng(0), []
    for data in ("one", "two"):
        origins = np.arange(400) % 2
        closed, measured = rng.normal(size=(2, 400))
        closed, measured = (x - np.array([x[origins == o].mean() for o in (0, 1)])[origins] for x in (closed, measured))
        for o in (0, 1):
            of = origins == o
            measured[of] -= closed[of] * (closed[of] @ measured[of]) / (closed[of] @ closed[of])
        scores = {"closed": closed, **{seed: measured for seed in SEEDS}}
        benches.append(SimpleNamespace(
            setting=SimpleNamespace(data=data), origins=origins, closed="closed", alone=lambda seed: seed,
            totals=scores.__getitem__, truth=expit(0.1 * closed + 0.2 * measured + origins),
        ))  # fmt: skip
    assert shares(benches) == pytest.approx([1.0, 2.0], abs=1e-6)
