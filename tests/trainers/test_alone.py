"""One layer compressed alone: the training is the usual one, of a network that is float but for that layer."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.trainers.alone import adapted_alone, shortened
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task


@pytest.fixture(scope="module")
def task():
    task = make_task("tiny", load_data("digits", limit=400), Recipe(epochs=1, batch=50, recalibrate=1))
    teacher = make_task("tiny", task.data, task.recipe).network
    train(teacher, task.data, task.recipe)
    return dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))


def plan_of(task, kind):
    space = SearchSpace(task.shape, SpaceSettings((kind,), (kind,), (kind,)))
    return space.plan([0] * len(task.shape.layers))


def test_a_layer_that_stays_float_adapts_as_the_trained_network_does(task):
    plan, data = plan_of(task, "float32"), shortened(task.data, 200, task.recipe.seed)
    network = copy.deepcopy(task.teacher).requires_grad_(True)
    expected = train(network, data, task.recipe)[-1].accuracy
    for layer in range(len(task.shape.layers)):
        assert adapted_alone(task, plan, layer, steps=4) == expected


def test_binary_layers_lose_and_adapting_wins_some_of_it_back(task):
    plan, layers = plan_of(task, "binary"), range(len(task.shape.layers))
    few, more = (sum(adapted_alone(task, plan, layer, steps) for layer in layers) for steps in (1, 12))
    assert few < more


def test_a_training_that_diverges_has_no_accuracy(task):
    wild = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, lr=1e30))
    assert math.isnan(adapted_alone(wild, plan_of(task, "binary"), 0, steps=4))


def test_without_a_trained_network_there_is_nothing_to_adapt(task):
    with pytest.raises(BankwiseError, match="needs a trained uncompressed network"):
        adapted_alone(dataclasses.replace(task, teacher=None), plan_of(task, "binary"), 0, steps=1)


def test_the_images_are_some_of_the_training_images_and_the_same_each_time(task):
    data, again = (shortened(task.data, 30, seed=1) for _ in range(2))
    assert len(data.train_x) == len(data.train_y) == 30 and torch.equal(data.train_x, again.train_x)
    there = {bytes(image.numpy()) for image in task.data.train_x}
    assert all(bytes(image.numpy()) in there for image in data.train_x)
    assert not torch.equal(data.train_x, shortened(task.data, 30, seed=2).train_x)
