"""The supernet: one network that holds every choice of every layer, for the training time of about one.

Each layer keeps one latent weight and one real-valued bank for all its choices: a choice sees the first k filters, the
first s channels and the first t_h x t_w taps of the bank, and fills each slot with the bank filter nearest to the
latent weight (a sparse choice: with its few terms, of the bank rounded to its bits). A convolution is linear in its
weight, so candidate *weights* are mixed and one convolution runs: W = sum_c p_c a_c Q_c(latent), a_c the least-squares
scale. (Mixing feature maps would cost one convolution a choice.)

The distribution p is kept on the budget while it trains: p = softmax((logits - m bytes) / temperature), with the
multiplier m >= 0 found by bisection so that the expected bytes do not exceed the budget.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from search_space.basis import Binary, Choice, Composite, Float, Integer, Sparse, Stacked, Subbit, Tiled
from search_space.basis.bank import BankChoice
from search_space.basis.composite import rounded
from search_space.basis.stacked import from_slots, sign, to_slots
from search_space.basis.tiled import tiled
from search_space.layer import convolve, replace_module
from search_space.shape import LayerShape, NetworkShape
from search_space.sparse_candidate import SparseCandidate

_CHUNK = 2**19  # products held at a time, elements: 2 MB stay in the cache


class MixedLayer(nn.Module):
    """A layer whose weight is a mixture over `choices`; `p` (choices,) is set by the supernet before each forward."""

    def __init__(self, shape: LayerShape, choices: Sequence[Choice], padding_mode: str, generator: torch.Generator):
        super().__init__()
        self.shape, self.choices, self.padding_mode = shape, tuple(choices), padding_mode
        fan_in = shape.weights // shape.n
        self.latent = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)
        banks = [choice for choice in map(_mixed, choices) if isinstance(choice, BankChoice)]
        k = max((choice.k for choice in banks), default=1)
        s = max((choice.s for choice in banks), default=1)
        self.bank = nn.Parameter(torch.randn(k, s, *shape.kernel, generator=generator) * 0.1)
        self.bank.no_decay = True
        self.bias = nn.Parameter(torch.zeros(shape.n)) if shape.bias and not shape.normalized else None
        self.p = torch.full((len(choices),), 1 / len(choices))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = MixWeights.apply(self.latent, self.bank, self.p, self.choices)
        if self.shape.kind == "linear":
            return F.linear(x, weight[:, :, 0, 0], self.bias)
        return convolve(x, weight, self.bias, self.shape, self.padding_mode)


class MixWeights(torch.autograd.Function):
    """(latent, bank, p) -> sum over choices of p_c a_c Q_c. Choices with p = 0 are not computed.

    Gradients: straight-through to the latent weight, scattered to the chosen bank filters, <gradient, a_c Q_c> to p_c.
    Stacked choices of one (s, tile) differ in k alone: they share their slots and one product with the bank.
    """

    @staticmethod
    def forward(ctx, latent, bank, p, choices):
        choices, shares = tuple(map(_mixed, choices)), p.tolist()
        used = [i for i, share in enumerate(shares) if share > 0]
        groups: dict[tuple, list[int]] = {}
        for i in used:
            if isinstance(choices[i], Stacked):
                groups.setdefault((choices[i].s, choices[i].tile), []).append(i)
        mixed = torch.zeros_like(latent)
        scales, indices = {}, {}
        for (s, tile), group in groups.items():
            filters = _filters(bank, choices, group)
            found = _nearest(to_slots(latent, s, tile), filters, [choices[i].k for i in group])
            filled = latent.new_zeros(len(found[0][0]), filters.shape[1])
            for i, (index, scale) in zip(group, found, strict=True):
                indices[i], scales[i] = index, scale
                filled.add_(filters[index], alpha=shares[i] * scale)
            mixed.add_(from_slots(filled, latent.shape, s, tile))
        sparse = {i: SparseCandidate.of(choices[i], latent, bank) for i in used if isinstance(choices[i], Sparse)}
        for i, found in sparse.items():
            mixed.add_(found.weight(bank, latent.shape), alpha=shares[i] * found.scale)
        for i in used:
            if i not in indices and i not in sparse:
                mixed.add_(_rounded(latent, choices[i]), alpha=shares[i])
        ctx.save_for_backward(latent, bank, p, *indices.values())
        ctx.choices, ctx.used, ctx.groups, ctx.scales, ctx.stacked = choices, used, groups, scales, list(indices)
        ctx.sparse = sparse
        return mixed

    @staticmethod
    def backward(ctx, gradient):
        latent, bank, p, *saved = ctx.saved_tensors
        choices, shares, indices = ctx.choices, p.tolist(), dict(zip(ctx.stacked, saved, strict=True))
        to_bank, to_p = torch.zeros_like(bank), torch.zeros_like(p)
        for (s, tile), group in ctx.groups.items():
            filters, slots = _filters(bank, choices, group), to_slots(gradient, s, tile)
            for i in group:
                k, scale = choices[i].k, ctx.scales[i]
                sums = _sums(slots, indices[i], k)
                seen = to_bank[:k, :s, : tile[0], : tile[1]]
                seen.add_(sums.reshape(seen.shape), alpha=shares[i] * scale)
                to_p[i] = scale * (sums * filters[:k]).sum()
        for i, found in ctx.sparse.items():
            to_p[i] = found.backward(gradient, shares[i], bank, to_bank)
        if ctx.needs_input_grad[2]:
            for i in ctx.used:
                if i not in indices and i not in ctx.sparse:
                    to_p[i] = (gradient * _rounded(latent, choices[i])).sum()
        return gradient, to_bank * (bank.abs() <= 1), to_p, None


def _mixed(choice: Choice) -> Choice:
    """What takes the choice's place: every bank takes the nearest filter here, as a sub-bit layer always does."""
    return choice.stacked if isinstance(choice, Subbit) else choice


def _filters(bank: torch.Tensor, choices: Sequence[Choice], group: list[int]) -> torch.Tensor:
    """Signs of the slice of the shared bank that the group's largest choice sees, (k, s t_h t_w)."""
    widest = max((choices[i] for i in group), key=lambda choice: choice.k)
    height, width = widest.tile
    return sign(bank[: widest.k, : widest.s, :height, :width]).reshape(widest.k, -1)


def _nearest(slots: torch.Tensor, filters: torch.Tensor, ks: list[int]) -> list[tuple[torch.Tensor, float]]:
    """For each k: the filter of largest inner product among the first k, (slots,), and the least-squares scale."""
    steps = sorted(set(ks))
    found = {k: torch.empty(len(slots), dtype=torch.long, device=slots.device) for k in steps}
    totals = dict.fromkeys(steps, 0.0)
    rows = max(1, _CHUNK // len(filters))
    for start in range(0, len(slots), rows):
        products = slots[start : start + rows] @ filters.t()
        value = index = None
        for before, k in zip([0, *steps], steps, strict=False):
            new_value, new_index = products[:, before:k].max(1)
            if value is None:
                value, index = new_value, new_index
            else:
                index = torch.where(new_value > value, new_index + before, index)
                value = torch.maximum(value, new_value)
            found[k][start : start + rows] = index
            totals[k] += float(value.sum())
    return [(found[k], totals[k] / slots.numel()) for k in ks]


def _sums(slots: torch.Tensor, indices: torch.Tensor, k: int) -> torch.Tensor:
    """The sum of the slots that each of k filters fills, (k, d): one_hot(indices)^T slots, a chunk at a time."""
    total, rows = slots.new_zeros(k, slots.shape[1]), max(1, _CHUNK // k)
    for start in range(0, len(slots), rows):
        part = indices[start : start + rows, None]
        one_hot = slots.new_zeros(len(part), k).scatter_(1, part, 1.0)
        total.addmm_(one_hot.t(), slots[start : start + rows])
    return total


def _rounded(latent: torch.Tensor, choice: Choice) -> torch.Tensor:
    """The latent weight as a choice without a bank rounds it, scaled."""
    if isinstance(choice, Binary):
        return sign(latent) * latent.abs().mean()
    if isinstance(choice, Integer):
        largest = latent.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        return (latent / largest * choice.levels).round() * (largest / choice.levels)
    if isinstance(choice, Composite):
        return rounded(latent, choice)
    if isinstance(choice, Tiled):
        return tiled(latent, choice.p)
    if isinstance(choice, Float):
        return latent
    raise NotImplementedError(f"the supernet does not know how family {choice.family!r} rounds a weight")


def balanced(
    logits: torch.Tensor, sizes: torch.Tensor, budget: float, temperature: float, steps: int = 40
) -> torch.Tensor:
    """p = softmax((logits - m sizes) / temperature), m >= 0 the least multiplier with expected sizes <= budget.

    logits, sizes (layers, choices): absent choices have logit -inf and size 0; `sizes` and `budget` in one unit. The
    multiplier is found by bisection and held constant in the gradient. Feasible at the cheapest choices, it always is.
    """

    def expected(multiplier: float) -> float:
        with torch.no_grad():
            return float((torch.softmax((logits - multiplier * scaled) / temperature, 1) * sizes).sum())

    scaled = sizes / budget
    low, high = 0.0, 1.0
    if expected(0.0) > budget:
        while expected(high) > budget and high < 1e9:
            low, high = high, 4 * high
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if expected(middle) > budget else (low, middle)
    else:
        high = 0.0
    return torch.softmax((logits - high * scaled) / temperature, 1)


class Supernet(nn.Module):
    """`network` with every layer mixed over `choices[i]`.

    `sizes[i]` are the file bytes of those choices and `budget` what they may add up to in expectation. `start` are
    initial logits. `temperature` falls from `hot` to `cold` as `begin_step(progress)` is called.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: NetworkShape,
        choices: Sequence[Sequence[Choice]],
        sizes: Sequence[np.ndarray],
        budget: int,
        seed: int = 0,
        start: Sequence[np.ndarray] | None = None,
        hot: float = 1.0,
        cold: float = 0.1,
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.network = copy.deepcopy(network)
        self.names = [layer.name for layer in shape.layers]
        for layer, row in zip(shape.layers, choices, strict=True):
            padding_mode = getattr(self.network.get_submodule(layer.name), "padding_mode", "zeros")
            replace_module(self.network, layer.name, MixedLayer(layer, row, padding_mode, generator))
        width = max(len(row) for row in choices)
        logits, table = torch.full((len(choices), width), float("-inf")), torch.zeros(len(choices), width)
        for i, row in enumerate(sizes):
            logits[i, : len(row)] = 0.0 if start is None else torch.as_tensor(start[i], dtype=torch.float32)
            table[i, : len(row)] = torch.as_tensor(row, dtype=torch.float32)
        self.logits = nn.Parameter(logits)
        self.logits.no_decay = True
        self.register_buffer("sizes", table)
        self.register_buffer("history", torch.zeros(0, *table.shape))
        self.budget, self.hot, self.cold, self.temperature = float(budget), hot, cold, hot
        self.chosen: np.ndarray | None = None

    @property
    def layers(self) -> list[MixedLayer]:
        return [self.network.get_submodule(name) for name in self.names]

    def begin_step(self, progress: float) -> None:
        """Anneal the temperature geometrically; `progress` from 0 to 1."""
        self.temperature = self.hot * (self.cold / self.hot) ** progress

    def distribution(self) -> torch.Tensor:
        """(layers, choices), on the budget."""
        return balanced(self.logits, self.sizes, self.budget, self.temperature)

    def reserve(self, epochs: int) -> None:
        """Make room for the logits after each of `epochs` in `history` (epochs, layers, choices)."""
        self.history = self.logits.detach().new_zeros(epochs, *self.logits.shape)

    @torch.no_grad()
    def record(self, epoch: int) -> None:
        """Keep the logits as they are after `epoch`, counted from 1."""
        self.history[epoch - 1] = self.logits

    def choose(self, indices: np.ndarray | None) -> None:
        """Run one plan alone (None: the mixture again)."""
        self.chosen = None if indices is None else np.asarray(indices)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.chosen is None:
            rows = self.distribution()
        else:
            rows = F.one_hot(torch.as_tensor(self.chosen), self.logits.shape[1]).float().to(self.logits.device)
        for layer, row in zip(self.layers, rows, strict=True):
            layer.p = row[: len(layer.choices)]
        out = self.network(x)
        for layer in self.layers:
            layer.p = layer.p.detach()  # a layer that holds a graph could not be copied
        return out

    @torch.no_grad()
    def start_from(self, teacher: nn.Module) -> None:
        """Take the latent weights, biases and norms of a trained network of the same architecture."""
        state = teacher.state_dict()
        for name, layer in zip(self.names, self.layers, strict=True):
            layer.latent.copy_(state.pop(f"{name}.weight").reshape(layer.latent.shape))
            bias = state.pop(f"{name}.bias", None)
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
        self.network.load_state_dict(state, strict=False)
