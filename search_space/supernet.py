"""The supernet: one network that holds every choice of every layer, for the training time of about one.

Each layer keeps one latent weight and one real-valued bank for all its choices: a choice sees the first k filters, the
first s channels and the first t_h x t_w taps of the bank; its family's mixer says what weight it makes of them. A
convolution is linear in its weight, so candidate *weights* are mixed and one convolution runs:
W = sum_c p_c a_c Q_c(latent), a_c the least-squares scale. (Mixing feature maps would cost one convolution a choice.)

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

from bankwise.search_space.families import Choice
from bankwise.search_space.families.mixer import Mixer, Rounding
from bankwise.search_space.layer import as_read, convolve, replace_module
from bankwise.search_space.shape import LayerShape, NetworkShape


class MixedLayer(nn.Module):
    """A layer whose weight is a mixture over `choices`; `p` (choices,) is set by the supernet before each forward."""

    def __init__(self, shape: LayerShape, choices: Sequence[Choice], padding_mode: str, generator: torch.Generator):
        super().__init__()
        self.shape, self.choices, self.padding_mode = shape, tuple(choices), padding_mode
        fan_in = shape.weights // shape.n
        self.latent = nn.Parameter(torch.randn(shape.weight_shape, generator=generator) * fan_in**-0.5)
        k, s = (max(sizes) for sizes in zip(*(choice.bank_size for choice in choices), strict=True))
        self.bank = nn.Parameter(torch.randn(k, s, *shape.kernel, generator=generator) * 0.1)
        self.bias = nn.Parameter(torch.zeros(shape.n)) if shape.bias and not shape.normalized else None
        self.p = torch.full((len(choices),), 1 / len(choices))
        # What choices say of vectors changes no weight.
        self.distinct = tuple(dict.fromkeys(choice.bare for choice in choices))
        self.place = torch.tensor([self.distinct.index(choice.bare) for choice in choices])

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"bank"}

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Take the weight and the bias of a trained layer of the same shape."""
        self.latent.copy_(weight.reshape(self.latent.shape))
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)

    def generated(self) -> torch.Tensor:
        """The mixed weight (n, c, d_h, d_w)."""
        p = self.p
        if len(self.distinct) < len(self.choices):
            p = p.new_zeros(len(self.distinct)).index_add(0, self.place.to(p.device), p)
        return MixWeights.apply(self.latent, self.bank, p, self.distinct)

    @property
    def weight(self) -> torch.Tensor:
        """The same, shaped as that of the layer which it stands for, as networks may read it."""
        return as_read(self.generated(), self.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.generated()
        if self.shape.kind == "linear":
            return F.linear(x, weight[:, :, 0, 0], self.bias)
        return convolve(x, weight, self.bias, self.shape, self.padding_mode)


class MixWeights(torch.autograd.Function):
    """(latent, bank, p) -> sum over choices of p_c a_c Q_c, each by its mixer. Choices with p = 0 are not computed.

    Gradients: straight-through to the latent weight, scattered to the chosen bank filters, <gradient, a_c Q_c> to p_c.
    """

    @staticmethod
    def forward(ctx, latent, bank, p, choices):
        shares = {i: share for i, share in enumerate(p.tolist()) if share > 0}
        groups: dict[type[Mixer], dict[int, Choice]] = {}
        for i in shares:
            groups.setdefault(choices[i].mixer, {})[i] = choices[i]
        mixed = torch.zeros_like(latent)
        order = sorted(groups, key=lambda mixer: mixer is Rounding)  # those with a bank first: sums keep their order
        ctx.mixers = [mixer(groups[mixer], shares) for mixer in order]
        for mixer in ctx.mixers:
            mixer.add(mixed, latent, bank)
        ctx.save_for_backward(latent, bank, p)
        return mixed

    @staticmethod
    def backward(ctx, gradient):
        latent, bank, p = ctx.saved_tensors
        gradient = gradient.contiguous()  # as slots are read; a convolution may leave it channels last
        to_bank, to_p = torch.zeros_like(bank), torch.zeros_like(p) if ctx.needs_input_grad[2] else None
        for mixer in ctx.mixers:
            mixer.backward(gradient, latent, bank, to_bank, to_p)
        return gradient, to_bank * (bank.abs() <= 1), to_p, None


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
        self.register_buffer("sizes", table)
        self.register_buffer("history", torch.zeros(0, *table.shape))
        self.budget, self.hot, self.cold, self.temperature = float(budget), hot, cold, hot
        self.chosen: np.ndarray | None = None

    def no_weight_decay(self) -> set[str]:
        """The parameters that have none, as networks of timm say it."""
        return {"logits"}

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
            layer.start_from(state.pop(f"{name}.weight"), state.pop(f"{name}.bias", None))
        self.network.load_state_dict(state, strict=False)
