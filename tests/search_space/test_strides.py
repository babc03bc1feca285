"""A slice and a stride of 1 are the strided convolution, forward and backward; and it is where it must be."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from bankwise.search_space.strides import VECTOR, at_stride, overruns, sliced_strides


def convolution(channels: int = 5, **options) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(channels, 7, 1, **{"stride": 2, **options})


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2)])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
def test_forward_and_backward_are_those_of_the_strided_convolution(size, stride):
    module = convolution(stride=stride)
    x = torch.randn(3, 5, *size, dtype=torch.float64, requires_grad=True)
    module.double()
    expected = module(x)  # in float64 torch computes it by itself
    wanted = torch.autograd.grad(expected.square().sum(), [x, *module.parameters()])
    with sliced_strides(module):
        found = module(x)
        got = torch.autograd.grad(found.square().sum(), [x, *module.parameters()])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(got, wanted)


def test_the_model_is_as_before_even_after_an_error():
    model = nn.Sequential(convolution(), nn.BatchNorm2d(7))
    x = torch.randn(2, 5, 6, 6)
    before = model.eval()(x)
    with pytest.raises(ValueError, match="stop"), sliced_strides(model):
        assert model[0].stride == (1, 1)
        assert torch.allclose(copy.deepcopy(model)(x), before, atol=1e-6)
        raise ValueError("stop")
    assert model[0].stride == (2, 2) and not model[0]._forward_pre_hooks
    assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (convolution(), True),
        (convolution(VECTOR - 1), True),
        (convolution(VECTOR), False),
        (nn.Conv2d(2 * VECTOR, 8, 1, 2, groups=4), True),
        (convolution(stride=1), False),
        (convolution(stride=(1, 2)), True),
        (convolution(padding=1), False),
        (nn.Conv2d(4, 8, 3, 2), False),
    ],
)
def test_only_narrow_strided_1x1_convolutions_are_sliced(module, expected):
    assert overruns(module.kernel_size, module.stride, module.padding, module.in_channels // module.groups) == expected
    with sliced_strides(module):
        assert bool(module._forward_pre_hooks) == expected


def test_pixels():
    maps = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert torch.equal(at_stride(maps, (2, 3)), maps[..., [0, 2], :][..., [0, 3]])


TRAIN = """
import torch
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.trainers.task import train_uncompressed
from bankwise.trainers.trial import run_trial
recipe = Recipe(epochs=2, batch=16, threads=1)
task = make_task("resnet20@0.25", load_data("digits", limit=300), recipe)
train_uncompressed(task, recipe)
run_trial(task, make_strategy("rate", BudgetedSpace(SearchSpace(task.shape), Budget(3000))).ask(), recipe)
print("through")
"""


def test_a_narrow_residual_network_trains_through():
    """In a process of its own: where it overran, the process died."""
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "through\n", done.stderr
