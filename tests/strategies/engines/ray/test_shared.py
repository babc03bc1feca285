from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("ray")
from bankwise.strategies.engines.ray.shared import SharedImages, SharedTrial
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.trial import run_trial

TENSORS = ("train_x", "train_y", "val_x", "val_y")


def through_pickle(value):
    """As Ray's object store does: arrays beside the stream, read-only on the other side."""
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(stream, buffers=[memoryview(bytes(buffer.raw())) for buffer in buffers]), stream, buffers


def test_a_trial_on_what_was_shared_is_the_same_to_the_bit(quick, tight):
    recipe = Recipe(epochs=2, threads=1)
    plan = tight.plan(tight.sample(np.random.default_rng(1)))
    shared, _, buffers = through_pickle(SharedTrial.of(quick, recipe, tight))
    before = [tensor.clone() for tensor in (shared.task.data.train_x, shared.task.data.val_x)]
    here, there = (run_trial(task, plan, recipe).metrics() for task in (quick, shared.task))
    assert {**here, "seconds": 0} == {**there, "seconds": 0}
    for old, name in zip(before, ("train_x", "val_x"), strict=True):
        assert torch.equal(old, getattr(shared.task.data, name)), "what is shared is not written to"


def test_images_are_not_copied_and_the_test_set_stays_behind(quick):
    shared, stream, buffers = through_pickle(SharedImages(quick.data))
    size = sum(getattr(quick.data, name).nbytes for name in TENSORS)
    assert sum(buffer.raw().nbytes for buffer in buffers) == size
    assert len(stream) < 4000
    test_x, test_y = shared.data.test()
    assert len(test_x) == len(test_y) == 0
    assert shared.data.input_shape == quick.data.input_shape


@pytest.mark.parametrize("name", TENSORS)
def test_values_and_strides_are_kept(quick, name):
    """The digits' one channel has a stride of 1, by which torch takes them for channels-last images."""
    shared, _, _ = through_pickle(SharedImages(quick.data))
    before, after = getattr(quick.data, name), getattr(shared.data, name)
    assert torch.equal(before, after)
    assert (before.stride(), before.dtype) == (after.stride(), after.dtype)


@pytest.mark.parametrize("change", ["channels_last", "every other", "offset"])
def test_any_layout(change):
    data = load_data("digits", limit=200)
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8)
    images = {
        "channels_last": images.contiguous(memory_format=torch.channels_last),
        "every other": images[::2],
        "offset": images[7:],
    }[change]
    shared, _, _ = through_pickle(SharedImages(dataclasses.replace(data, train_x=images)))
    assert torch.equal(shared.data.train_x, images)
    if change != "every other":  # that one has gaps, which are closed
        assert shared.data.train_x.stride() == images.stride()
