from __future__ import annotations

import pytest
import torch
from torch import nn

from bankwise.trainers import precision
from bankwise.trainers.data import load_data
from bankwise.trainers.loop import train
from bankwise.trainers.precision import _depthwise_with_idle_taps, in_bfloat16
from bankwise.trainers.recipe import Recipe


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_f": True}, False),
        ({}, False),
    ],
)
def test_auto_is_bfloat16_on_cuda_and_where_the_cpu_multiplies_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    precision._on_this_cpu.cache_clear()
    try:
        assert in_bfloat16("auto", "cpu") is expected
        assert in_bfloat16("auto", torch.device("cuda", 1))
        assert in_bfloat16("on", "cpu") and not in_bfloat16("off", "cuda")
    finally:
        precision._on_this_cpu.cache_clear()


def test_a_torch_that_does_not_say_is_taken_for_one_without(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    precision._on_this_cpu.cache_clear()
    try:
        assert not in_bfloat16("auto", "cpu")
    finally:
        precision._on_this_cpu.cache_clear()


def idle_taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """By brute force: whether the gradient of some tap is 0, of an image and an output gradient that are not."""
    image = torch.arange(1.0, size * size + 1).reshape(1, 1, size, size).expand(1, 2, size, size)
    weight = torch.zeros(2, 1, kernel, kernel, requires_grad=True)
    torch.conv2d(image, weight, None, stride, padding, dilation, 2).sum().backward()
    return bool((weight.grad == 0).any())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_of_which_a_tap_never_meets_the_image_are_found(size, kernel, stride, dilation):
    padding = dilation * (kernel - 1) // 2
    images, weight = torch.ones(1, 2, size, size), torch.ones(2, 1, kernel, kernel)
    expected = idle_taps(size, kernel, stride, padding, dilation)
    assert _depthwise_with_idle_taps(images, weight, None, stride, padding, dilation, 2) == expected
    if stride == 1:
        assert _depthwise_with_idle_taps(images, weight, padding="same", dilation=dilation, groups=2) == expected
    assert not _depthwise_with_idle_taps(images, torch.ones(2, 2, kernel, kernel), None, stride, padding, dilation)


class Narrow(nn.Module):
    """Notes the type that its depthwise convolution gives."""

    def __init__(self, stride: int):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, stride, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Linear(8, 10)
        self.given: set[torch.dtype] = set()

    def forward(self, images):
        maps, layer = self.first(images).relu(), self.depthwise
        maps = torch.conv2d(input=maps, weight=layer.weight, bias=layer.bias, padding=1, groups=8)
        if self.training:
            self.given.add(maps.dtype)
        return self.last(maps.mean((2, 3)))


@pytest.mark.parametrize(("stride", "expected"), [(8, torch.float32), (1, torch.bfloat16)])
def test_a_training_in_bfloat16_computes_them_in_float32(stride, expected):
    network, data = Narrow(stride), load_data("digits", limit=100)
    train(network, data, Recipe(epochs=1, threads=1, amp="on"))
    assert network.given == {expected}
    with torch.autocast("cpu", torch.bfloat16):
        network.train()(torch.ones(1, 1, 8, 8))
    assert torch.bfloat16 in network.given  # the training's care is for it alone
