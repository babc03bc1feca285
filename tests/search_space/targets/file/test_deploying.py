"""What `load` gives is an ordinary network to torch's own tools: torch.export and TorchScript."""

import io

import pytest
import torch

from bankwise.search_space.families import Binary, Composite, Integer, Sparse, Stacked
from bankwise.search_space.images import Images
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file.container import load, save
from bankwise.search_space.trace import trace

SIZES = {"tiny": (1, 8, 8), "resnet20@0.5": (3, 16, 16)}
CHOICES = (Binary(), Stacked(4, 4, (3, 3)), Sparse(4, 4, (3, 3), 2, 1, 1), Composite(2, (3,)), Integer(4))


@pytest.fixture(params=SIZES)
def saved(request, tmp_path):
    """A packed file of an untrained network, and images that it takes: normalized and as pixels."""
    name, size = request.param, SIZES[request.param]
    module = build(name, classes=10, in_channels=size[0])
    shape = trace(module, name, size, 10)
    layers = {}
    for i, layer in enumerate(shape.layers):
        middle = 0 < i < len(shape.layers) - 1
        layers[layer.name] = CHOICES[i % len(CHOICES)] if middle and layer.kernel == (3, 3) else Binary()
    plan = Plan(name, size, 10, layers, images=Images("symmetric"))
    save(tmp_path / "model.bankwise", shape, plan, pack(build_child(module, shape, plan, 0).eval(), shape, plan))
    pixels = torch.randint(0, 256, (5, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return tmp_path / "model.bankwise", pixels.float() / 127.5 - 1, pixels


def test_torch_export(saved):
    path, images, _ = saved
    network = load(path)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    stream = io.BytesIO()
    torch.export.save(torch.export.export(network, (images[:2],), dynamic_shapes=(batch,)), stream)
    stream.seek(0)
    again = torch.export.load(stream).module()
    for some in (images[:1], images):
        assert torch.equal(again(some), network(some))


@pytest.mark.parametrize("how", ["trace", "script"])
def test_torchscript(saved, how):
    path, images, _ = saved
    network = load(path)
    made = torch.jit.trace(network, images[:2]) if how == "trace" else torch.jit.script(network)
    stream = io.BytesIO()
    torch.jit.save(made, stream)
    stream.seek(0)
    again = torch.jit.load(stream)
    for some in (images[:1], images):
        assert torch.equal(again(some), network(some))


def test_a_network_that_takes_pixels_is_traced_with_their_normalization(saved):
    path, images, pixels = saved
    network = load(path, pixels=True)
    assert torch.equal(torch.jit.trace(network, pixels[:2])(pixels), network(images))
