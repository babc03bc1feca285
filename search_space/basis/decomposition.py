"""Composite binary decomposition (Qiaoben et al., AAAI 2019, arXiv 1811.06668): a step and the ranks of its planes.

Of a weight only the magnitudes r matter here, a matrix of n d_h rows and c d_w columns. A step 2D rounds them to
levels, level = ceil(r / 2D - 1/2), so that r - 2D level lies in (-D, D]. The binary planes of the levels are the
paper's: taking them greedily from the highest, with thresholds 2^i (a + D) - D, gives the same bits, where the
threshold a = (2^raw - 1/2) 2D belongs to the lowest of the planes that are factorized, number `raw` from the bottom.

A plane of rank c over GF(2) is the product of two binary matrices of c (h + w) bits together. The planes from `raw`
up have their ones where r > a, so few large weights make them of low rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from bankwise.search_space.basis.gf2 import entries_rank

MOST_PLANES = 12
_TOP_PLANES = 6  # at most so many factorized: the threshold is not below the largest magnitude / 2^6
_ROUNDS = 12  # of the bisection for a step: within 2^-12 of its range
_HAIR = 1 + 2.0**-20  # keeps a step computed from an entry above that entry's rounding boundary


def levels(magnitudes: torch.Tensor, step: float, planes: int) -> torch.Tensor:
    """The nearest multiple of `step` (halves go down), as whole numbers of the same type, at most 2^planes - 1."""
    return (magnitudes / step - 0.5).ceil_().clamp_(0, 2**planes - 1)


class Magnitudes:
    """The magnitudes (h, w), at least 0, of one layer; its largest entries are sorted once for all that is asked."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix = matrix.detach().cpu()
        self.largest = float(self.matrix.max())
        self._values = self._places = self.matrix.new_zeros(0)
        self._thresholds: dict[int, float] = {}
        self._counted = (0, 0)  # so many of the largest entries were found to have such a rank

    def top(self, count: int) -> torch.Tensor:
        """At least `count` of the largest magnitudes, or all, falling, and with each one all its equals."""
        total = self.matrix.numel()
        if count > len(self._values) and len(self._values) < total:
            least = self.matrix.flatten().topk(min(2 * count, total)).values[-1]
            places = (self.matrix.flatten() >= least).nonzero()[:, 0]
            values, order = self.matrix.flatten()[places].sort(descending=True, stable=True)
            self._values, self._places = values, places[order]
        return self._values

    def rank(self, chosen: torch.Tensor | slice, limit: int | None = None) -> int:
        """The rank of the matrix with ones at the `chosen` of the top entries."""
        places = self._places[chosen].numpy()
        return entries_rank(places // self.matrix.shape[1], places % self.matrix.shape[1], limit)

    def threshold(self, most: int) -> float:
        """The smallest a such that [r > t] has rank `most` or less for every t >= a, and at least largest / 2^6.

        The rank is not monotone in the threshold: at 0 all entries are ones, of rank 1. So the first crossing from
        above is meant, and it is found exactly, for an entry more changes the rank by at most one: from m entries of
        rank p no crossing comes before m + most - p entries.
        """
        if most not in self._thresholds:
            self._thresholds[most] = self._first_crossing(most)
        return self._thresholds[most]

    def _first_crossing(self, most: int) -> float:
        count, rank = self._counted if self._counted[1] <= most else (0, 0)
        floor: float = self.largest / 2**_TOP_PLANES
        while True:
            values = self.top(count + most - rank + 2)
            if count >= len(values) or values[count] <= floor:
                return floor
            end = self._boundary(count, count + max(1, most - rank))
            found = self.rank(slice(0, end), most)
            if found > most:
                self._counted = (count, rank)
                return float(values[count])
            count, rank = end, found

    def _boundary(self, begin: int, wanted: int) -> int:
        """The last end of a run of equal values up to `wanted` entries; else the first one after `begin`."""
        values = self._values
        if wanted >= len(values):
            return len(values)
        ends = (values[begin:wanted] != values[begin + 1 : wanted + 1]).nonzero()[:, 0]
        if len(ends):
            return begin + int(ends[-1]) + 1
        return int((values >= values[begin]).sum())

    def plane_ranks(self, step: float, raw: int, limits: Sequence[int] | None = None) -> tuple[int, ...] | None:
        """The ranks of the planes from `raw` up to the highest with a one; with `limits`, None if any is above its own.

        More planes than limits are above them.
        """
        while True:
            values = self.top(len(self._values) or 64)
            high = levels(values, step, 62).long() >> raw
            if high[-1] == 0 or len(values) == self.matrix.numel():
                break
            self.top(2 * len(values))
        if limits is not None and int(high[0]) >> len(limits):
            return None
        ranks = []
        for i in range(int(high[0]).bit_length()):
            chosen = ((high >> i) & 1).bool()
            ranks.append(self.rank(chosen, None if limits is None else limits[i]))
            if limits is not None and ranks[-1] > limits[i]:
                return None
        return tuple(ranks)

    def uniform_step(self, planes: int) -> float:
        """The smallest step whose largest level is at least the largest magnitude."""
        return self.largest / (2**planes - 0.5) * _HAIR or 1.0

    def counted_step(self, raw: int, ranks: Sequence[int]) -> float:
        """A step, without elimination, at which every plane has its rank or less: no more ones than that."""
        steps = [self.uniform_step(raw + len(ranks))]
        for i, rank in enumerate(ranks):
            values = self.top(rank + 1)
            if rank < len(values):
                steps.append(float(values[rank]) / (2 ** (raw + i) - 0.5) * _HAIR)
        return max(steps)

    def fitted_step(self, raw: int, ranks: Sequence[int]) -> float:
        """The smallest step, by bisection, at which every plane has its rank or less."""
        low, high = self.uniform_step(raw + len(ranks)), self.counted_step(raw, ranks)
        for _ in range(_ROUNDS if high > low else 0):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.plane_ranks(middle, raw, ranks) is None else (low, middle)
        return high

    def decomposed(self, planes: int, bottleneck: float) -> tuple[float, int, tuple[int, ...]]:
        """(step, planes stored raw, ranks of the others): the paper's setting of J = `planes` and its bottleneck.

        As many of the factorized planes are stored raw instead as is cheapest; where that is all of them, the step is
        the uniform one. Where the threshold lies more than 2^planes below the largest magnitude, planes are added:
        the paper's a_i is at most 0.
        """
        height, width = self.matrix.shape
        if self.largest == 0:
            return 1.0, planes, ()
        threshold = self.threshold(math.floor(min(height, width) * bottleneck))
        raw = max(0, planes - 1 - math.floor(math.log2(self.largest / threshold)))
        step = threshold / (2**raw - 0.5) * _HAIR
        ranks = self.plane_ranks(step, raw) or ()
        costs = [cut * height * width + sum(ranks[cut:]) * (height + width) for cut in range(len(ranks) + 1)]
        cut = len(costs) - 1 - costs[::-1].index(min(costs))
        if cut == len(ranks):
            return self.uniform_step(planes), planes, ()
        return step, raw + cut, ranks[cut:]
