"""How much of a Gaussian weight's energy sparse combinations of random few-bit filters capture, in closed form.

A slot of d Gaussian weights has with K random filters of d weights K inner products, standard normal once scaled by the
filters' length. The m largest, of mean z_1 > ... > z_m, give the slot, while K is far below the filters there are,

    x = (z_1 + ... + z_m)^2 / (m d)     where the m coefficients are equal up to their sign,
    x = (E z_1^2 + ... + E z_m^2) / d   where they are free; a coefficient of a bits wins 1 - 2^(1-a) of the way.

A sign makes K = 2k filters of k. With all filters there are, m terms capture S = 1 - (1 - S_b)^m, S_b what the best
uniform quantizer of b bits captures of a Gaussian number (2/pi at one bit; Max 1960). Between them S (1 - exp(-x/S)).

Banks are fitted, not random, so what is captured in fact is more: 1.0 to 1.3 times this on Gaussian weights whose bank
takes less than a fifth of the bits, alike for all settings and for the stacked family, the case m = 1, b = 1, a = 0. So
settings can be compared by it. A bank that takes most of the bits holds the weights themselves and captures far more.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

_QUANTIZED = {1: 2 / math.pi, 2: 0.8812, 4: 0.9885}
_GRID = torch.linspace(-9, 9, 4001, dtype=torch.double)


def captured_share(k: int, dimension: int, bits: int, terms: int, coefficient_bits: int) -> float:
    """Share of the energy, in (0, 1), for k filters of `dimension` weights of `bits` bits and `terms` terms a slot."""
    filters = 2 * k if coefficient_bits else k
    means, squares = zip(*(largest(filters, rank) for rank in range(1, terms + 1)), strict=True)
    free = 1 - 2.0 ** (1 - coefficient_bits) if coefficient_bits else 0.0
    x = ((1 - free) * sum(means) ** 2 / terms + free * sum(squares)) / dimension
    most = 1 - (1 - _QUANTIZED[bits]) ** terms
    return most * (1 - math.exp(-x / most))


@lru_cache(maxsize=512)
def largest(count: int, rank: int) -> tuple[float, float]:
    """Mean and mean square of the rank-th largest of `count` independent standard normal numbers."""
    below = torch.special.ndtr(_GRID)
    density = torch.exp(-_GRID.square() / 2) / math.sqrt(2 * math.pi)
    ways = count * math.comb(count - 1, rank - 1)
    density = ways * density * below ** (count - rank) * (1 - below) ** (rank - 1)
    return float(torch.trapezoid(_GRID * density, _GRID)), float(torch.trapezoid(_GRID.square() * density, _GRID))
