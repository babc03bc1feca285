"""How networks begin: whitened patches against their covariance, dirac filters against the identity."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from bankwise.search_space.networks import IN_MEMORY, build
from bankwise.search_space.trace import shape_of
from bankwise.trainers.data import ImageData, data_in_memory
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.start import whitening
from bankwise.trainers.task import make_task


def colours(channels: int = 3) -> ImageData:
    """Smooth images: neighbouring pixels and channels are correlated."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, channels, 4, 4, generator=generator) + torch.randn(400, 1, 4, 4, generator=generator)
    smooth = functional.interpolate(noise, 12, mode="bilinear")
    pixels = (smooth * 40 + 128).clamp(0, 255).to(torch.uint8)
    return data_in_memory((pixels.numpy(), (torch.arange(400) % 4).numpy()))


def second_moments(data: ImageData, filters: torch.Tensor) -> torch.Tensor:
    out = functional.conv2d(data.to_input(data.train_x), filters).transpose(0, 1).flatten(1).double()
    return out @ out.T / out.shape[1]


def test_whitened_patches_are_uncorrelated_and_of_one_size():
    data = colours()
    filters = whitening(data, (3, 3))
    assert filters.shape == (27, 3, 3, 3)
    raw = second_moments(data, torch.eye(27).reshape(27, 3, 3, 3))
    values = torch.linalg.eigvalsh(raw).flip(0)
    found, wanted = second_moments(data, filters), torch.diag(values / (values + 5e-4))
    assert torch.allclose(found, wanted, atol=1e-3)
    assert (raw - torch.diag(raw.diagonal())).abs().max() > 0.1 * raw.diagonal().max(), "they were correlated before"


@pytest.mark.parametrize(("name", "count"), [("small", 16), ("small@3", 27), ("tiny", 8)])
def test_the_first_layer_holds_filters_and_their_negatives(name, count):
    data = colours()
    plain = make_task(name, data, Recipe()).network
    made = make_task(name, data, Recipe(whiten=True)).network
    weight, filters = made[0][0].weight.detach(), whitening(data, (3, 3))[:count]
    assert torch.equal(weight[:count], filters) and torch.equal(weight[count : 2 * count], -filters)
    assert torch.equal(weight[2 * count :], plain[0][0].weight[2 * count :])
    others = [(one, other) for one, other in zip(made.parameters(), plain.parameters(), strict=True)][1:]
    assert all(torch.equal(one, other) for one, other in others)


def test_dirac_layers_pass_their_inputs_on():
    task = make_task("small", colours(), Recipe(start="dirac"))
    for layer in task.shape.layers[1:-1]:
        convolution = task.network.get_submodule(layer.name)
        x = torch.randn(2, layer.c, 8, 8)
        assert torch.allclose(convolution(x)[:, : layer.c], x[:, :, :: layer.stride[0], :: layer.stride[1]], atol=1e-6)
    plain = make_task("small", colours(), Recipe())
    assert torch.equal(task.network[0][0].weight, plain.network[0][0].weight)


def test_where_it_does_not_fit_a_network_begins_as_it_is():
    """1x1 of fewer filters than channels, grouped and linear layers; a network of the user's own, trained already."""
    data, recipe = colours(), Recipe(start="dirac", whiten=True)
    own = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    made = make_task(IN_MEMORY, data, recipe, network=own).network
    assert all(torch.equal(*pair) for pair in zip(made.parameters(), own.parameters(), strict=True))
    reference = "torchvision:shufflenet_v2_x0_5"
    shape = shape_of(reference, data.input_shape, data.classes)
    task = make_task(reference, data, recipe)
    torch.manual_seed(0)
    plain = build(reference, classes=data.classes, in_channels=3)
    for layer in shape.layers[1:]:
        if layer.groups > 1 or layer.n < layer.c or layer.kind == "linear":
            one, other = (net.get_submodule(layer.name).weight for net in (task.network, plain))
            assert torch.equal(one, other), layer.name
