"""Sub-bit layers against brute force, the stacked family and the published sizes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from bankwise.search_space.basis.signs import Sign
from bankwise.search_space.basis.slots import to_slots
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Stacked, Subbit
from bankwise.search_space.networks import build
from bankwise.search_space.price import layer_price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.trace import trace

SHAPE = LayerShape("conv", "conv2d", 6, 8, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))
kernels = st.builds(
    lambda n, c, normalized: LayerShape("conv", "conv2d", n, c, (3, 3), normalized=normalized),
    st.integers(1, 40), st.integers(1, 40), st.booleans(),
)  # fmt: skip


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(layer=kernels, tau=st.integers(1, 9))
def test_bits_and_price_are_those_of_the_stacked_corner(layer, tau):
    choice, stacked = Subbit(tau), Stacked(2**tau, 1, (3, 3))
    if 2**tau > layer.n * layer.c:
        with pytest.raises(BankwiseError, match=f"tau={tau} cannot pay"):
            choice.check(layer)
        return
    choice.check(layer)
    mine, theirs = layer_price(layer, choice, 8), layer_price(layer, stacked, 8)
    assert mine.parts == theirs.parts
    assert mine.paper_bits == theirs.paper_bits == 9 * 2**tau + layer.n * layer.c * tau
    assert (mine.materialized, mine.merge) == (theirs.materialized, theirs.merge)
    assert choice.rate(layer) == pytest.approx(stacked.rate(layer))
    codes = choice.basis(layer, seeded(0)).codes()
    assert torch.equal(choice.weight(layer, codes), stacked.weight(layer, codes))


# Published for ResNet-18: bits a weight and megabits, indices of the 3x3 convolutions alone.
@pytest.mark.parametrize(
    ("tau", "bits", "megabits"), [(4, "0.44", "4.882"), (5, "0.56", "6.103"), (6, "0.67", "7.324"), (7, "0.78", None)]
)
def test_published_sizes_leave_the_kernels_out(tau, bits, megabits):
    with torch.device("meta"):
        shape = trace(build("resnet18", classes=10, in_channels=3), "resnet18", (3, 32, 32), 10)
    layers = [layer for layer in shape.layers if layer.kernel == (3, 3)][1:]
    indices = sum(Subbit(tau).parts(layer)[1].total_bits for layer in layers)
    assert f"{indices / sum(layer.weights for layer in layers):.2f}" == bits == f"{Subbit(tau).rate(layers[0]):.2f}"
    assert megabits is None or f"{indices / 1e6:.3f}" == megabits


@pytest.mark.parametrize("tau", [1, 3, 5])
def test_every_kernel_is_the_nearest_of_the_binary_ones(tau):
    basis = Subbit(tau).basis(SHAPE, seeded(tau))
    signs = basis.bank.detach().sign()
    weight = basis().detach()
    for n in range(SHAPE.n):
        for c in range(SHAPE.c):
            latent, taken = basis.latent.detach()[n, c].flatten(), weight[n, c].flatten()
            distances = [(latent - candidate).square().sum().item() for candidate in signs]
            assert (taken - signs).abs().sum(1).min() == 0
            assert (latent - taken).square().sum().item() == pytest.approx(min(distances), rel=1e-6)


def test_the_binary_kernels_start_different():
    for tau in range(1, 10):
        bank = Subbit(tau).basis(SHAPE, seeded(tau)).bank.detach()
        assert len(torch.unique(bank.sign(), dim=0)) == 2**tau


def test_gradients_are_those_of_the_one_hot_form():
    """Straight through to the latent kernels within 1; to the bank as of one_hot(nearest) @ sign(bank)."""
    basis = Subbit(3).basis(SHAPE, seeded(0))
    with torch.no_grad():
        basis.latent.mul_(8)  # some beyond 1
        basis.bank.mul_(2)
    target = torch.randn(SHAPE.weight_shape, generator=seeded(1))
    (basis() * target).sum().backward()
    bank = basis.bank.detach().clone().requires_grad_()
    slots = to_slots(basis.latent.detach(), 1, (3, 3))
    distances = torch.cdist(slots, bank.detach().sign())
    hot = F.one_hot(distances.argmin(1), 8).float()
    ((hot @ Sign.apply(bank)) * to_slots(target, 1, (3, 3))).sum().backward()
    torch.testing.assert_close(basis.bank.grad, bank.grad)
    inside = basis.latent.detach().abs() <= 1
    assert 0 < inside.float().mean() < 1
    assert torch.equal(basis.latent.grad, target * inside)


@pytest.mark.skipif(not torch.amp.is_autocast_available("cpu"), reason="needs autocast")
def test_lower_precision_does_not_change_what_is_taken():
    basis = Subbit(6).basis(LayerShape("conv", "conv2d", 64, 64, (3, 3)), seeded(0))
    weight = basis()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(basis(), weight)


@given(layer=st.from_type(LayerShape), max_k=st.sampled_from([2, 5, 16, 256]))
def test_choices_are_the_taus_that_can_pay(layer, max_k):
    count = layer.n * layer.c
    paying = [tau for tau in range(1, 10) if 2**tau <= min(max_k, count) and 9 * 2**tau + count * tau < 9 * count]
    assert Subbit.offered(layer, "subbit", SpaceSettings(max_k=max_k)) == (
        [Subbit(tau) for tau in paying] if layer.kernel == (3, 3) else []
    )


def test_other_kernels_are_refused():
    with pytest.raises(BankwiseError, match="kernels of 3x3, the layer's are 1x1"):
        Subbit(3).check(LayerShape("fc", "linear", 10, 64))
    with pytest.raises(BankwiseError, match="tau=10 cannot pay: allowed are 1 to 5 for a layer of 48 kernels"):
        Subbit(10).check(SHAPE)
