"""A child's layer with the shared weights of the supernet's layer."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from search_space.basis import Sparse, Stacked, Subbit
from search_space.basis.pursuit import dense
from search_space.basis.sparse import SparseBasis
from search_space.basis.stacked import BANK_SPREAD, PROXY_SPREAD, StackedBasis, sign, to_slots
from search_space.basis.subbit import SPREAD, SubbitBasis
from search_space.layer import GeneratedLayer
from search_space.sparse_candidate import SparseCandidate
from search_space.supernet import MixedLayer, MixWeights

LEAST = 1e-12  # against division by 0


@torch.no_grad()
def inherit(mixed: MixedLayer, chosen: int) -> GeneratedLayer:
    """The trainable layer of choice number `chosen`, with its slice of the shared bank and the filters its slots take.

    Its weight is that of the supernet's layer run with this choice alone, but for the scale of each filter where a
    batch norm follows: that norm takes any scale away. A composite choice with planes of capped rank is fitted anew:
    the supernet estimates its step without the ranks over GF(2).
    """
    choice, latent = mixed.choices[chosen], mixed.latent
    layer = GeneratedLayer(mixed.shape, choice, mixed.padding_mode).to(latent)
    alone = F.one_hot(torch.tensor(chosen, device=latent.device), len(mixed.choices)).to(latent.dtype)
    weight = MixWeights.apply(latent, mixed.bank, alone, mixed.choices)
    if isinstance(choice, Stacked):
        _fill(layer.basis, choice, mixed, weight)
    elif isinstance(choice, Sparse):
        _fill_terms(layer.basis, choice, mixed)
    elif isinstance(choice, Subbit):
        _fill_kernels(layer.basis, choice.stacked, mixed)
    else:
        layer.basis.start_from(latent)
    if layer.scale is not None:
        largest = layer.basis().abs().amax((1, 2, 3)).clamp(min=LEAST)
        layer.scale.copy_(weight.abs().amax((1, 2, 3)) / largest)
    if layer.bias is not None and mixed.bias is not None:
        layer.bias.copy_(mixed.bias)
    return layer


def _fill(basis: StackedBasis, choice: Stacked, mixed: MixedLayer, weight: torch.Tensor) -> None:
    """Bank and proxies such that `basis()` has the signs of `weight`; both at the spread of a fresh layer."""
    (height, width), k = choice.tile, choice.k
    bank = mixed.bank[:k, : choice.s, :height, :width].reshape(k, -1)
    filters = sign(bank)
    matches = to_slots(sign(weight), choice.s, choice.tile) @ filters.t()
    # Where the least-squares scale is negative the slots are the negated filters, and the child's bank is negated.
    direction = 1 if bool((matches.amax(1) == choice.dimension).all()) else -1
    taken = (direction * matches).argmax(1, keepdim=True)
    basis.bank.copy_(direction * _spread(bank, BANK_SPREAD))
    products = to_slots(mixed.latent, choice.s, choice.tile) @ filters.t()
    proxies = products / products.std().clamp(min=LEAST) * PROXY_SPREAD
    above = torch.nextafter(proxies.amax(1, keepdim=True), torch.full_like(proxies[:, :1], torch.inf))
    basis.proxies.copy_(proxies.scatter(1, taken, above))


def _fill_terms(basis: SparseBasis, choice: Sparse, mixed: MixedLayer) -> None:
    """Bank and coefficients such that `basis()` adds up the terms that the supernet does; the bank is negated where the
    least-squares scale is negative."""
    found = SparseCandidate.of(choice, mixed.latent, mixed.bank)
    levels = SparseCandidate.filters(choice, mixed.bank)
    unit = BANK_SPREAD if choice.bits == 1 else basis.bank_unit
    basis.bank.copy_((-unit if found.scale < 0 else unit) * levels)
    basis.coefficients.copy_(dense(found.indices, found.values, choice.k) * basis.unit)


def _fill_kernels(basis: SubbitBasis, choice: Stacked, mixed: MixedLayer) -> None:
    """Bank and latent weight such that `basis()` has the signs of the weight; both negated where the least-squares
    scale is negative: a negated filter is nearest to a negated kernel."""
    bank = mixed.bank[: choice.k, :1].reshape(choice.k, -1)
    best = (to_slots(mixed.latent, 1, choice.tile) @ sign(bank).t()).amax(1)
    direction = -1 if float(best.sum()) < 0 else 1
    basis.bank.copy_((direction * _spread(bank, SPREAD)).clamp(-1, 1))
    basis.latent.copy_(direction * mixed.latent)


def _spread(bank: torch.Tensor, spread: float) -> torch.Tensor:
    """The bank at the mean size of a fresh layer's, zeros positive."""
    size = bank.abs().clamp(min=LEAST)
    return sign(bank) * size / size.mean() * spread
