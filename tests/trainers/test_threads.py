"""How many CPU threads a training keeps busy."""

from __future__ import annotations

import pytest
import torch

from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.threads import PER_THREAD, multiply_adds, threads_for, torch_threads

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", limit=200)


@pytest.fixture(scope="module")
def shape():
    return shape_of("tiny", (1, 8, 8), 10)


@pytest.fixture
def network():
    return build("tiny", classes=10, in_channels=1)


def closed_form(shape) -> int:
    """Multiply-adds of an image."""
    return sum(layer.weights * layer.positions for layer in shape.layers)


@pytest.mark.parametrize("images", [2, 4, 7])
def test_multiply_adds_are_those_of_the_shape(network, digits, shape, images):
    assert multiply_adds(network, digits, images) == images * closed_form(shape)


def test_a_child_has_those_of_its_weights_once_a_batch(network, digits, shape):
    child = build_child(network, shape, SearchSpace(shape).smallest, 0)
    two, four, six = (multiply_adds(child, digits, images) for images in (2, 4, 6))
    assert four - two == six - four == 2 * closed_form(shape)


@pytest.mark.parametrize("batch", [1, 2, 100, 1000, 5000])
def test_every_thread_has_its_work(network, digits, shape, batch):
    wanted = batch * closed_form(shape) // PER_THREAD
    for most in (1, 2, 3, 16):
        with torch_threads(most):
            found = threads_for(network, digits, Recipe(), batch, CPU)
            assert found == min(most, max(1, wanted))
            assert threads_for(network, digits, Recipe(threads=5), batch, CPU) == 5
            assert threads_for(network, digits, Recipe(), batch, torch.device("cuda")) == most


def test_a_training_of_a_small_network_has_one_thread_and_gives_the_others_back(network, digits):
    seen = []
    hook = network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    with torch_threads(2):
        train(network, digits, Recipe(epochs=1))
        assert torch.get_num_threads() == 2
    hook.remove()
    assert set(seen[2:]) == {1} and len(seen) > 4  # the first two count


def test_counting_changes_nothing(network, digits):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes, state = [module.training for module in network.modules()], torch.get_rng_state()
    multiply_adds(network, digits, 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert modes == [module.training for module in network.modules()] and torch.equal(state, torch.get_rng_state())
