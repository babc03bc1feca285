"""Prices of published networks against a count of their modules, layer by layer, by hand."""

import pytest
import torch
from torch import nn

from bankwise.search_space.networks import build
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of

# Each with what has to be kept, and the side of its images.
NETWORKS = {
    "alexnet": ((), 224), "vgg11": ((), 64), "vgg16_bn": ((), 64), "resnet18": ((), 64), "resnet50": ((), 64),
    "wide_resnet50_2": ((), 64), "resnext50_32x4d": ((), 64), "densenet121": ((), 64), "googlenet": ((), 64),
    "inception_v3": ((), 299), "mobilenet_v2": ((), 64), "mobilenet_v3_small": ((), 64), "mobilenet_v3_large": ((), 64),
    "mnasnet0_5": ((), 64), "mnasnet1_0": ((), 64), "shufflenet_v2_x0_5": ((), 64), "squeezenet1_1": ((), 64),
    "efficientnet_b0": ((), 64), "efficientnet_v2_s": ((), 64), "regnet_y_400mf": ((), 64), "regnet_x_800mf": ((), 64),
    "convnext_tiny": (("*.layer_scale",), 64),
}  # fmt: skip
MODULES = {nn.Conv2d, nn.Linear, nn.BatchNorm2d}


def vector(numbers: int) -> int:
    """Bytes of a vector at 8 bits, with its range in half precision."""
    return numbers + 4


def followed(network: nn.Module) -> set[nn.Module]:
    """Convolutions with a batch norm of the same width behind them, by the order in which modules are made; behind
    DenseNet's transitions there is a pooling first."""
    plain = [one for path, one in network.named_modules() if type(one) in MODULES and ".transition" not in path]
    return {
        one
        for one, other in zip(plain, plain[1:], strict=False)
        if type(one) is nn.Conv2d and type(other) is nn.BatchNorm2d and other.num_features == one.out_channels
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_a_binary_network_costs_a_bit_a_weight_and_its_vectors(name):
    keep, side = NETWORKS[name]
    with torch.device("meta"):
        network = build(f"torchvision:{name}", classes=10, in_channels=3)
    shape = shape_of(f"torchvision:{name}", (3, side, side), 10, keep)
    binary = ("binary",)
    space = SearchSpace(shape, SpaceSettings(hidden=binary, first=binary, last=binary, keep=keep))
    cost = price(shape, space.plan([0] * len(shape.layers)))
    found = {layer.name: sum(part.file_bytes for part in layer.parts) for layer in cost.layers}
    behind = followed(network)
    expected, norms, seen = {}, 0, set()
    own = {layer.norm: layer.name for layer in shape.layers if layer.norm}
    for path, module in network.named_modules():
        if type(module) is nn.BatchNorm2d:
            if path in own:
                expected[own[path]] += 2 * vector(module.num_features)
            else:
                norms += 2 * vector(module.num_features)
        elif type(module) in MODULES:
            n = module.weight.shape[0]
            alone = 0 if module in behind else vector(n) * (1 + (module.bias is not None))
            expected[path] = -(-module.weight.numel() // 8) + alone
        else:
            continue
        seen |= {id(parameter) for parameter in module.parameters()}
    kept = [parameter for parameter in network.parameters() if id(parameter) not in seen]
    assert found == expected
    assert cost.fixed.get("batch norm", 0) == norms
    assert cost.fixed.get("kept tensors", 0) == 2 * sum(parameter.numel() for parameter in kept)
    header = cost.fixed["header"] + len(cost.layers)  # the code of a binary layer is a letter
    assert cost.file_bytes == header + norms + sum(expected.values()) + 2 * sum(parameter.numel() for parameter in kept)
