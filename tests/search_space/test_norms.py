"""A child with coarse vectors runs, in training as in evaluation, with what its file will hold."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.families import Binary, Integer
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.norms import folded_norm, round_norm, straight
from bankwise.search_space.packing import assemble, pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import VECTORS

COARSE = [name for name, one in VECTORS.items() if one.coarse]


def child_of(name: str | None, vector_bits: int = 8):
    torch.manual_seed(0)
    network = build("tiny@0.25", classes=10, in_channels=1)
    shape = trace(network, "tiny@0.25", (1, 8, 8), 10)
    layers = {layer.name: replace(Binary(), vectors=name) for layer in shape.layers}
    layers[shape.layers[-1].name] = replace(Integer(4), vectors=name)
    plan = Plan("tiny@0.25", (1, 8, 8), 10, layers, vector_bits=vector_bits)
    return network, shape, plan, build_child(network, shape, plan, 0, teacher=network)


def train(child: nn.Module) -> None:
    optimizer = torch.optim.SGD(child.parameters(), 0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        x, y = torch.randn(32, 1, 8, 8, generator=generator), torch.randint(10, (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(child.train()(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "bits"), [*((name, 8) for name in COARSE), (None, 4)])
def test_the_file_gives_the_childs_logits(name, bits):
    network, shape, plan, child = child_of(name, bits)
    train(child)
    packed = assemble(copy.deepcopy(network), shape, plan, pack(child.eval(), shape, plan))
    x = torch.randn(16, 1, 8, 8)
    torch.testing.assert_close(packed(x), child(x), rtol=1e-3, atol=1e-3)
    exact = child_of("v32")[-1]
    exact.load_state_dict(child.state_dict())  # of the same tensors: nothing coarse is in the state
    assert (exact.eval()(x) - child(x)).abs().max() > 0.01


def test_in_training_the_norm_has_the_rounded_scale_and_shift_of_its_running_statistics():
    torch.manual_seed(0)
    norm, plain = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
    for one in (norm.weight.data, norm.bias.data, norm.running_mean):
        one.normal_()
    norm.running_var.uniform_(0.5, 2)
    scale, shift = folded_norm(norm)
    vectors = VECTORS["s4"]
    q, t = vectors.scale.rounded(scale), vectors.shift.rounded(shift)
    sigma = (norm.running_var + norm.eps).sqrt()
    plain.weight.data, plain.bias.data = q * sigma, t + norm.running_mean * q
    wanted = plain(x := torch.randn(4, 6, 3, 3))
    own = norm.weight, norm.bias
    round_norm(norm, vectors)
    torch.testing.assert_close(norm(x), wanted)
    assert (norm.weight, norm.bias) == own and set(norm.state_dict()) == set(plain.state_dict())
    norm(x).sum().backward()
    assert norm.weight.grad is not None and norm.bias.grad.tolist() == pytest.approx([36.0] * 6)


def test_a_norm_whose_forward_fails_keeps_its_parameters():
    norm = nn.BatchNorm2d(6)
    own = norm.weight
    round_norm(norm, VECTORS["v4"])
    with pytest.raises(RuntimeError):
        norm(torch.randn(2, 5, 3, 3))
    assert norm.weight is own


def test_a_norm_without_parameters_gets_those_of_the_file():
    norm = nn.BatchNorm2d(3, affine=False)
    norm.running_var.copy_(torch.tensor([1.0, 4.0, 16.0]))
    round_norm(norm.eval(), VECTORS["p4"])
    x = torch.ones(1, 3, 1, 1)
    assert norm(x).flatten().tolist() == pytest.approx([1, 0.5, 0.25], rel=1e-3)
    assert norm.weight is None and norm.bias is None


@pytest.mark.parametrize("name", VECTORS)
def test_a_diverged_vector_stays_one(name):
    """So that the loss shows it: no error of storing comes first."""
    for value in (math.nan, math.inf, 1e30 if name != "v32" else math.inf):
        for storage in (VECTORS[name].scale, VECTORS[name].shift):
            found = straight(torch.tensor([1.0, value, -2.0], requires_grad=True), storage)
            assert not torch.isfinite(found).all()
    assert straight(None, VECTORS[name].scale) is None


def test_a_copied_child_is_rounded_on_its_own():
    child = child_of("v4")[-1]
    other = copy.deepcopy(child)
    train(other)
    x = torch.randn(4, 1, 8, 8)
    assert not torch.equal(child.eval()(x), other.eval()(x))


@pytest.mark.parametrize("bits", [8, 4])
def test_a_channel_that_does_not_vary_has_no_scale_and_stretches_no_range(bits):
    """As behind a pruned filter: with 1 / sqrt(eps) among them the scales would be stored in steps of 1.6."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8).eval()
    for one in (norm.weight.data, norm.running_var):
        one.uniform_(0.5, 1.5)
    norm.bias.data.normal_()
    norm.running_mean[3], norm.running_var[3] = 0.25, 0.0
    x = torch.randn(2, 8, 3, 3)
    x[:, 3] = 0.25
    scale, shift = folded_norm(norm)
    assert scale[3] == 0 and shift[3] == norm.bias[3]
    torch.testing.assert_close(x * scale[:, None, None] + shift[:, None, None], norm(x))
    step = float(scale.detach().max()) / (2**bits - 1)
    assert (VECTORS[f"v{bits}"].scale.rounded(scale) - scale).abs().max() <= 0.51 * step
    round_norm(norm, VECTORS["v4"])
    assert torch.isfinite(norm(x)).all()
