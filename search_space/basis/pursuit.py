"""Fit slots by a few bank filters each: greedy pursuit for the coefficients, least squares for the bank.

A slot x is approached by u sum_j v_j f_j, f_j of a bank of k filters, v_j of the few levels of a coefficient, u one
scale for all slots.
"""

from __future__ import annotations

import torch

from bankwise.search_space.basis.largest import largest
from bankwise.search_space.basis.levels import bank_values, coefficient_values, nearest_bank, nearest_coefficient

_CHUNK = 2**19  # products in memory at a time, elements: 2 MB stay in the cache
_ROUNDS = 8
_SAMPLE = 2**14  # slots that a bank is learned from
_CLIP = {2: 1.494, 4: 2.514}  # largest level over the standard deviation: the best uniform quantizer of a Gaussian
Terms = tuple[torch.Tensor, torch.Tensor]  # indices and coefficients, (slots, terms) each


def pursue(slots: torch.Tensor, filters: torch.Tensor, terms: int, bits: int, unit: float, sweeps: int = 1) -> Terms:
    """The terms of every slot, each the one that lowers the squared error most; `sweeps` choose each of them again.

    slots (N, d), filters (k, d). A coefficient has `bits` bits (0: it is 1). No filter is taken twice in a slot.
    """
    found = [
        _pursue(part, filters, terms, bits, unit, sweeps if terms > 1 else 0)
        for part in slots.split(max(1, _CHUNK // len(filters)))
    ]
    return torch.cat([indices for indices, _ in found]), torch.cat([values for _, values in found])


def _pursue(slots: torch.Tensor, filters: torch.Tensor, terms: int, bits: int, unit: float, sweeps: int) -> Terms:
    energies = filters.square().sum(1).clamp(min=1e-12)
    indices = torch.zeros(len(slots), terms, dtype=torch.long, device=slots.device)
    values = slots.new_zeros(len(slots), terms)
    left = slots.clone()
    for step in range(terms * (1 + sweeps)):
        term = step % terms
        others = [j for j in range(terms) if j != term and (j < step)]
        if step >= terms:
            left.add_(unit * values[:, term, None] * filters[indices[:, term]])
        products = left @ filters.t()
        gains = products if bits == 0 else products.abs()
        gains = 2 * gains - unit * energies if bits < 2 else gains * energies.rsqrt()
        if others:
            gains.scatter_(1, indices[:, others], -torch.inf)
        chosen = largest(gains)
        ideal = products.gather(1, chosen[:, None])[:, 0] / (unit * energies[chosen])
        indices[:, term] = chosen
        values[:, term] = 1.0 if bits == 0 else coefficient_values(nearest_coefficient(ideal, bits), bits).to(slots)
        left.sub_(unit * values[:, term, None] * filters[chosen])
    return indices, values


def combine(filters: torch.Tensor, indices: torch.Tensor, values: torch.Tensor | None) -> torch.Tensor:
    """sum_j v_j f_j for every slot: filters (k, d), indices and values (N, terms) -> (N, d). No values: all 1."""
    total = filters[indices[:, 0]] if values is None else filters[indices[:, 0]] * values[:, 0, None]
    for term in range(1, indices.shape[1]):
        one = filters[indices[:, term]]
        total = total + (one if values is None else one * values[:, term, None])
    return total


def dense(indices: torch.Tensor, values: torch.Tensor, k: int) -> torch.Tensor:
    """Coefficients of all k filters, (N, k), zero but for the terms."""
    return values.new_zeros(len(indices), k).scatter_(1, indices, values)


def scale(slots: torch.Tensor, fitted: torch.Tensor, importance: torch.Tensor | float = 1.0) -> float:
    """The least-squares u of slots ~ u fitted."""
    along, energy = (importance * slots * fitted).sum(), (importance * fitted.square()).sum()
    return float(along / energy.clamp(min=1e-12))


def first_unit(slots: torch.Tensor, filters: torch.Tensor, bits: int) -> float:
    """A start for u: the mean of the largest coefficient."""
    products = slots @ filters.t()
    ideal = (products if bits == 0 else products.abs()) / filters.square().sum(1).clamp(min=1e-12)
    return max(float(ideal.max(1).values.mean()), 1e-6) * (1.3 if bits > 1 else 1.0)


def fit_bank(
    slots: torch.Tensor, importance: torch.Tensor, k: int, terms: int, bits: tuple[int, int], noise: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """A bank for `slots` (N, d), weighted by `importance` (N, 1), and the scale u that goes with it.

    `bits` of a bank weight and of a coefficient. Rounds of pursuit with the quantized bank, then the bank of least
    squares for those coefficients; a filter that no slot takes starts again at a slot that is served worst. Rounding
    may lose what least squares won, so the best round counts. The bank (k, d) is real, in units of the largest level;
    `noise` (k, d) breaks ties.
    """
    step = -(-len(slots) // max(_SAMPLE, 16 * k))
    slots, importance = slots[::step], importance[::step]
    start = slots[torch.linspace(0, len(slots) - 1, k).long()]
    bank, unit = in_units(start + 1e-3 * noise, bits[0]), None
    best, least = (bank, 1.0), float("inf")
    for _ in range(_ROUNDS):
        filters = bank_values(nearest_bank(bank, bits[0]), bits[0]).to(slots)
        unit = unit or first_unit(slots, filters, bits[1])
        indices, values = pursue(slots, filters, terms, bits[1], unit)
        fitted = combine(filters, indices, values)
        unit = max(scale(slots, fitted, importance), 1e-12)
        errors = (importance * (slots - unit * fitted).square()).sum(1)
        if float(errors.sum()) < least:
            best, least = (bank, unit), float(errors.sum())
        chosen = dense(indices, values, k)
        normal = (chosen * importance).t() @ chosen
        ridge = 1e-3 * normal.diagonal().mean().clamp(min=1e-12)
        identity = torch.eye(k, dtype=slots.dtype, device=slots.device)
        bank = torch.linalg.solve(normal + ridge * identity, (chosen * importance).t() @ slots)
        idle = (chosen != 0).sum(0) == 0
        if idle.any():
            bank[idle] = slots[errors.topk(int(idle.sum())).indices]
        bank = in_units(bank, bits[0])
    return best


def in_units(bank: torch.Tensor, bits: int) -> torch.Tensor:
    """The bank so scaled that its quantizer suits it best, clipped to the largest level."""
    spread = bank.square().mean().sqrt().clamp(min=1e-12)
    if bits == 1:
        return bank / spread
    return (bank / (_CLIP[bits] * spread)).clamp(-1, 1)
