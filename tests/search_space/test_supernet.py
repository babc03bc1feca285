"""The supernet's layer against a slow autograd form, its distribution against its budget."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.basis.combination import Quantize
from bankwise.search_space.basis.pursuit import dense, first_unit, in_units, pursue
from bankwise.search_space.basis.signs import Sign, sign
from bankwise.search_space.basis.slots import from_slots, to_slots
from bankwise.search_space.families import (
    FAMILIES,
    Binary,
    Choice,
    Composite,
    Integer,
    Sparse,
    Stacked,
    Subbit,
    Tiled,
)
from bankwise.search_space.layer import convolve
from bankwise.search_space.networks import build
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.supernet import MixedLayer, MixWeights, Supernet, balanced
from bankwise.search_space.trace import trace


def draw_choices(data, layer: LayerShape) -> list[Choice]:
    """A few of any families, and more of one of them, whose choices share work."""
    rows = [
        [choice for kind in family.kinds for choice in family.offered(layer, kind, SpaceSettings(max_k=16))]
        for family in FAMILIES
    ]
    rows = [row for row in rows if row]
    alike = data.draw(st.lists(st.sampled_from(data.draw(st.sampled_from(rows))), max_size=5, unique=True))
    mixed = data.draw(st.lists(st.sampled_from(rows).flatmap(st.sampled_from), min_size=not alike, max_size=5))
    return list(dict.fromkeys([*alike, *mixed]))


def candidate(latent: torch.Tensor, bank: torch.Tensor, choice: Choice) -> torch.Tensor:
    """a_c Q_c(latent), by one-hot products, differentiable in the bank; the scale is a constant."""
    fixed = latent.detach()
    if isinstance(choice, Tiled):
        return tiled_candidate(fixed, choice.p)
    if isinstance(choice, Stacked | Subbit):
        choice = choice.stacked if isinstance(choice, Subbit) else choice
        (t_h, t_w), k, s = choice.tile, choice.k, choice.s
        filters = Sign.apply(bank[:k, :s, :t_h, :t_w]).reshape(k, -1)
        slots = to_slots(fixed, s, choice.tile)
        hot = F.one_hot((slots @ filters.detach().t()).argmax(1), k).to(latent.dtype)
        weight = from_slots(hot @ filters, latent.shape, s, choice.tile)
    elif isinstance(choice, Sparse):
        return sparse_candidate(fixed, bank, choice)
    elif isinstance(choice, Binary):
        weight = sign(fixed)
    elif isinstance(choice, Integer):
        unit = fixed.abs().amax((1, 2, 3), keepdim=True) / choice.levels
        return (fixed / unit).round() * unit
    elif isinstance(choice, Composite) and not choice.ranks:
        largest = 2**choice.raw - 0.5  # levels 0 to 2^raw - 1, halves down
        unit = fixed.abs().amax((1, 2, 3), keepdim=True) * (1 + 2**-20) / largest
        return (fixed.abs() / unit - 0.5).ceil() * unit * sign(fixed)
    else:
        return choice.rounded(fixed)
    scale = (fixed * weight.detach()).sum() / weight.detach().square().sum()  # least squares
    return weight * scale


def tiled_candidate(fixed: torch.Tensor, p: int) -> torch.Tensor:
    """A repeat at a time; a scale is at least 1 % of the mean magnitude."""
    parts = fixed.flatten().chunk(p)
    tile = sign(sum(parts))
    least = 0.01 * fixed.abs().mean()
    return torch.cat([tile * torch.clamp((part * tile).mean(), min=least) for part in parts]).reshape(fixed.shape)


def sparse_candidate(fixed: torch.Tensor, bank: torch.Tensor, choice: Sparse) -> torch.Tensor:
    """The greedy terms, by a dense product; the bank's rounding passes its gradient as it is."""
    (t_h, t_w), k, s = choice.tile, choice.k, choice.s
    seen = bank[:k, :s, :t_h, :t_w].reshape(k, -1)
    rounded = Quantize.apply(in_units(seen.detach(), choice.bits), choice.bits)
    filters = rounded + (seen - seen.detach()) * (seen.detach().abs() <= 1)
    slots = to_slots(fixed, s, choice.tile)
    unit = first_unit(slots, rounded, choice.coefficient_bits)
    indices, values = pursue(slots, rounded, choice.nonzeros, choice.coefficient_bits, unit, sweeps=0)
    weight = from_slots(dense(indices, values, k) @ filters, fixed.shape, s, choice.tile)
    return weight * (fixed * weight.detach()).sum() / weight.detach().square().sum()


def slow_mixture(latent: torch.Tensor, bank: torch.Tensor, p: torch.Tensor, choices: list[Choice]) -> torch.Tensor:
    straight_through = latent - latent.detach()
    return straight_through + sum(p[i] * candidate(latent, bank, choice) for i, choice in enumerate(choices))


def draw_mixture(data, layer: LayerShape, seed: int = 0):
    choices = draw_choices(data, layer)
    mixed = MixedLayer(layer, choices, "zeros", torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        mixed.bank.mul_(15)  # some beyond 1, where the straight-through gradient ends
    p = torch.softmax(torch.randn(len(choices), generator=torch.Generator().manual_seed(seed), dtype=torch.double), 0)
    return mixed, choices, p.requires_grad_()


@given(layer=st.from_type(LayerShape), data=st.data())
def test_weights_and_gradients_are_those_of_the_slow_mixture(layer, data):
    mixed, choices, p = draw_mixture(data, layer)
    inputs = (mixed.latent, mixed.bank, p)
    wanted, weights = slow_mixture(*inputs, choices), torch.randn(layer.weight_shape, dtype=torch.double)
    given_ = MixWeights.apply(*inputs, tuple(choices))
    torch.testing.assert_close(given_, wanted)
    expected = torch.autograd.grad((wanted * weights).sum(), inputs, allow_unused=True, materialize_grads=True)
    for name, mine, other in zip(
        ("latent", "bank", "p"), torch.autograd.grad((given_ * weights).sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(mine, other, msg=lambda text, name=name: f"{name}: {text}")


@given(layer=st.from_type(LayerShape), data=st.data())
def test_mixing_weights_is_mixing_feature_maps(layer, data):
    assume(layer.kind == "conv2d")
    mixed, choices, p = draw_mixture(data, layer)
    mixed.p = p
    x = torch.randn(2, layer.groups * layer.c, *layer.in_size, dtype=torch.double)
    maps = [convolve(x, candidate(mixed.latent, mixed.bank, choice), None, layer, "zeros") for choice in choices]
    wanted = sum(weight * one for weight, one in zip(p, maps, strict=True))
    assert mixed.bias is None or not mixed.bias.any()
    torch.testing.assert_close(mixed(x), wanted)


@given(layer=st.from_type(LayerShape), data=st.data())
def test_all_weight_on_one_choice_is_that_choice(layer, data):
    mixed, choices, _ = draw_mixture(data, layer)
    for i, choice in enumerate(choices):
        p = F.one_hot(torch.tensor(i), len(choices)).double()
        weight = MixWeights.apply(mixed.latent, mixed.bank, p, tuple(choices))
        torch.testing.assert_close(weight, candidate(mixed.latent, mixed.bank, choice))


@given(layer=st.from_type(LayerShape), data=st.data())
def test_no_bank_filter_is_nearer_than_the_one_taken(layer, data):
    mixed, choices, _ = draw_mixture(data, layer)
    for i, choice in enumerate(choices):
        if not isinstance(choice, Stacked):
            continue
        p = F.one_hot(torch.tensor(i), len(choices)).double()
        weight = MixWeights.apply(mixed.latent, mixed.bank, p, tuple(choices)).detach()
        slots, taken = (to_slots(w, choice.s, choice.tile) for w in (mixed.latent.detach(), weight.sign()))
        (t_h, t_w), k, s = choice.tile, choice.k, choice.s
        filters = sign(mixed.bank.detach()[:k, :s, :t_h, :t_w]).reshape(k, -1)
        best = (slots @ filters.t()).max(1).values
        scale = best.mean().sign()  # the least-squares scale is negative where every filter points away
        torch.testing.assert_close((slots * taken).sum(1) * scale, best)


@st.composite
def balances(draw):
    layers, width = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9999)))
    sizes = torch.randint(1, 10 ** draw(st.integers(1, 5)), (layers, width), generator=generator).float()
    logits = torch.randn(layers, width, generator=generator) * draw(st.sampled_from([0.1, 1.0, 10.0]))
    for row in range(layers):
        absent = draw(st.integers(0, width - 1))
        if absent:
            logits[row, -absent:], sizes[row, -absent:] = -torch.inf, 0
    cheapest = sum(row[logits[i] > -torch.inf].min().item() for i, row in enumerate(sizes))
    dearest = sizes.max(1).values.sum().item()
    budget = cheapest + draw(st.floats(0.001, 1.2)) * (dearest - cheapest) + 1e-3 * cheapest
    return logits, sizes, budget, draw(st.sampled_from([1.0, 0.3, 0.1]))


def expected(p: torch.Tensor, sizes: torch.Tensor) -> float:
    return (p.double() * sizes.double()).sum().item()


@given(balance=balances())
def test_the_distribution_is_on_the_budget_and_never_over_it(balance):
    logits, sizes, budget, temperature = balance
    p = balanced(logits, sizes, budget, temperature)
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)))
    assert (p[logits == -torch.inf] == 0).all() and torch.isfinite(p).all()
    assert expected(p, sizes) <= budget * (1 + 1e-5)
    free = torch.softmax(logits / temperature, 1)
    if expected(free, sizes) <= budget * (1 - 1e-6):
        assert torch.equal(p, free)  # the multiplier is zero where the budget is slack
    elif expected(free, sizes) > budget * (1 + 1e-6):
        assert expected(p, sizes) >= budget * (1 - 1e-2)  # and the least one that fits, otherwise


def test_the_cheapest_choices_alone_are_still_feasible():
    sizes = torch.tensor([[10.0, 11.0, 500.0], [7.0, 900.0, 8.0]])
    logits = torch.tensor([[0.0, 5.0, 9.0], [0.0, 9.0, 5.0]])
    p = balanced(logits, sizes, 17.0, 0.1)
    assert expected(p, sizes) <= 17 * (1 + 1e-6)


def test_the_multiplier_is_a_constant_of_the_gradient():
    sizes = torch.tensor([[10.0, 20.0, 30.0]])
    logits = torch.tensor([[0.0, 1.0, 2.0]], requires_grad=True)
    p = balanced(logits, sizes, 18.0, 0.5)
    (p * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
    q = p.detach()
    g = torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(logits.grad, q * (g - (q * g).sum()) / 0.5)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build("tiny@0.25", classes=4, in_channels=1)


def make(network: nn.Module, budget_share: float = 0.3, **options) -> tuple[Supernet, SearchSpace]:
    space = SearchSpace(trace(network, "tiny@0.25", (1, 8, 8), 4), SpaceSettings(max_k=16))
    sizes = space.prices.file_bytes
    low, high = sum(row.min() for row in sizes), sum(row.max() for row in sizes)
    budget = int(low + budget_share * (high - low))
    return Supernet(network, space.shape, space.choices, sizes, budget, **options), space


def test_training_keeps_the_expected_bytes_on_the_budget(network):
    supernet, space = make(network, 0.1)
    assert supernet.distribution().shape == (5, max(space.sizes))
    optimizer = torch.optim.Adam(supernet.parameters(), 0.1)
    x, y = torch.randn(8, 1, 8, 8), torch.randint(4, (8,))
    first = None
    for step in range(8):
        supernet.begin_step(step / 8)
        loss = F.cross_entropy(supernet(x), y)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in supernet.parameters())
        optimizer.step()
        with torch.no_grad():
            assert expected(supernet.distribution(), supernet.sizes) <= supernet.budget * (1 + 1e-5)
    assert loss.item() < first
    assert supernet.logits.grad.abs().sum() > 0


def test_a_chosen_plan_is_its_weights_alone(network):
    supernet, space = make(network)
    supernet.eval()
    indices = np.array([size // 2 for size in space.sizes])
    alone = copy.deepcopy(network).eval()
    with torch.no_grad():
        for name, layer, row, i in zip(space.names, supernet.layers, space.choices, indices, strict=True):
            weight = candidate(layer.latent, layer.bank, row[i])
            module = alone.get_submodule(name)
            module.weight.copy_(weight.reshape(module.weight.shape))
            if module.bias is not None:
                module.bias.copy_(layer.bias)
        x = torch.randn(3, 1, 8, 8)
        mixture = supernet(x)
        supernet.choose(indices)
        torch.testing.assert_close(supernet(x), alone(x))
        supernet.choose(None)
        assert torch.equal(supernet(x), mixture)


def test_a_supernet_can_be_copied_and_stored_after_a_step(network):
    supernet, _ = make(network)
    x = torch.randn(4, 1, 8, 8)
    supernet(x).sum().backward()
    supernet.reserve(3)
    supernet.record(1)
    twin = copy.deepcopy(supernet)
    other, _ = make(network, seed=1)
    other.reserve(3)
    other.load_state_dict(supernet.state_dict())
    supernet.eval()
    for copied in (twin.eval(), other.eval()):
        assert torch.equal(copied(x), supernet(x))
        assert torch.equal(copied.history, supernet.history)
    assert torch.equal(supernet.history[0], supernet.logits) and not supernet.history[1:].any()


def test_seed_start_and_temperature(network):
    first, space = make(network)
    second, _ = make(network)
    other, _ = make(network, seed=1)
    states = [supernet.state_dict() for supernet in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
    start = [np.arange(size) / 10 for size in space.sizes]
    started, _ = make(network, start=start, hot=2.0, cold=0.5)
    for row, wanted in zip(started.logits, start, strict=True):
        assert torch.equal(row[: len(wanted)], torch.as_tensor(wanted, dtype=torch.float32))
        assert (row[len(wanted) :] == -torch.inf).all()
    temperatures = []
    for progress in (0.0, 0.5, 1.0):
        started.begin_step(progress)
        temperatures.append(started.temperature)
    assert temperatures == pytest.approx([2.0, 1.0, 0.5])


def test_start_from_takes_weights_biases_and_norms_of_the_teacher(network):
    teacher = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in [*teacher.parameters(), *(b for b in teacher.buffers() if b.is_floating_point())]:
            tensor.copy_(torch.rand_like(tensor) + 0.1)
    space = SearchSpace(trace(network, "tiny@0.25", (1, 8, 8), 4), SpaceSettings(*[("float32",)] * 3))
    supernet = Supernet(network, space.shape, space.choices, space.prices.file_bytes, 10**6)
    supernet.start_from(teacher)
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(supernet.eval()(x), teacher.eval()(x))


def test_the_network_given_stays_as_it_was(network):
    before = copy.deepcopy(network.state_dict())
    supernet, _ = make(network)
    supernet(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_choices_say_of_vectors_changes_no_weight_and_adds_no_work():
    """The mixture of Q in two ways is that of Q with both shares, and each way has the gradient of Q."""
    shape = LayerShape("layer", "conv2d", 4, 4, (3, 3), normalized=True, norm="norm")
    bare = (Stacked(4, 2, (3, 3)), Binary())
    said = (bare[0], dataclasses.replace(bare[0], vectors="s4"), bare[1])
    layers = [MixedLayer(shape, row, "zeros", torch.Generator().manual_seed(0)) for row in (bare, said)]
    assert layers[1].distinct == bare
    layers[0].p = torch.tensor([0.7, 0.3], requires_grad=True)
    layers[1].p = torch.tensor([0.5, 0.2, 0.3], requires_grad=True)
    weights = [layer.generated() for layer in layers]
    torch.testing.assert_close(weights[0], weights[1])
    for weight in weights:
        (weight * torch.arange(weight.numel()).reshape(weight.shape)).sum().backward()
    torch.testing.assert_close(layers[1].p.grad, layers[0].p.grad[[0, 0, 1]])
