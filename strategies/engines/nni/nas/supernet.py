"""The shared-bank supernet inside NNI's one-shot strategies: candidate weights are mixed, one convolution runs.

DARTS and GumbelDARTS hand a parameter of logits for each label; then the layer mixes all its choices. RandomOneShot
hands none; then it runs one choice at a time. What is exported and what is sampled is decided for all layers at once,
so that it is within the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from nni.mutable import Sample
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.inherit import inherit
from bankwise.search_space.layer import GeneratedLayer, take_sizes
from bankwise.search_space.supernet import MixedLayer
from bankwise.strategies.engines.nni.nas.decode import most_probable
from bankwise.strategies.engines.nni.nas.layer import BankLayer


class SharedBankLayer(BaseSuperNetModule):
    """A layer of the supernet: one latent weight and one bank for all choices
    (`bankwise.search_space.supernet.MixedLayer`)."""

    def __init__(self, layer: BankLayer, generator: torch.Generator):
        super().__init__()
        self.search, self.choice = layer.search, self.add_mutable(layer.choice)
        self.mixed = MixedLayer(layer.shape, layer.choices, layer.padding_mode, generator)
        take_sizes(self, layer.original)
        if self.search.taught:
            self.mixed.start_from(layer.weight, cast("torch.Tensor | None", layer.original.bias))

    @property
    def weight(self) -> torch.Tensor:
        """The mixed one."""
        return self.mixed.weight

    @property
    def label(self) -> str:
        return str(self.choice.label)

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[Any, Any], mutate_kwargs: Mapping[str, Any]
    ) -> SharedBankLayer | bool:
        """NNI's mutation hook; a layer at several places becomes one supernet layer at all of them."""
        if isinstance(module, SharedBankLayer):
            return True  # reached by another name
        if not isinstance(module, BankLayer):
            return False
        state: _Mutation = memo.setdefault(SharedBankLayer, _Mutation(module.search.seed))
        if module.label not in state.layers:
            if module.label in memo:
                layer = DifferentiableBankLayer(module, state.generator, memo, mutate_kwargs["softmax"])
            else:
                layer = SampledBankLayer(module, state.generator, state.draws)
            state.layers[module.label] = layer
        return state.layers[module.label]

    def freeze(self, sample: Sample) -> GeneratedLayer:
        """The child's layer with the shared weights."""
        chosen = self.choice.values.index(self.choice.freeze(sample))
        return inherit(self.mixed, chosen)


class _Mutation:
    """What the layers of one supernet are made with."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.draws = np.random.default_rng(seed)
        self.layers: dict[str, SharedBankLayer] = {}


class DifferentiableBankLayer(SharedBankLayer):
    """Mixes its choices by `softmax` of NNI's logits (Gumbel-softmax draws them anew in each forward pass)."""

    def __init__(self, layer: BankLayer, generator: torch.Generator, logits: Mapping[str, Any], softmax: nn.Module):
        super().__init__(layer, generator)
        self._arch_alpha: nn.Parameter = logits[layer.label]
        self._softmax = softmax
        names = self.search.space.space.names
        self._logits = {name: logits[name] for name in names}  # of all layers; a dict registers nothing
        with torch.no_grad():
            self._arch_alpha.add_(torch.as_tensor(self.search.start[layer.label], dtype=self._arch_alpha.dtype))

    def arch_parameters(self) -> Iterator[nn.Parameter]:
        """What NNI trains on the validation batches, and keeps from the optimizer of the weights."""
        yield self._arch_alpha

    def resample(self, memo: Sample) -> Sample:
        return {}

    def export(self, memo: Sample) -> Sample:
        """The choices of largest probability of all layers if they are within the budget, else the most probable plan
        that is."""
        if self.label in memo:
            return {}
        with torch.no_grad():
            found = most_probable(self.search.space, {name: _shares(row) for name, row in self._logits.items()})
        return {name: code for name, code in found.items() if name not in memo}

    def export_probs(self, memo: Sample) -> dict[str, dict[str, torch.Tensor]]:
        """Probability of each choice, softmax of the logits: with Gumbel noise too it is that of being drawn.

        They are tensors that carry gradients, so that a penalty on an expected price trains the logits.
        """
        if self.label in memo:
            return {}
        return {self.label: dict(zip(self.choice.values, _shares(self._arch_alpha), strict=True))}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mixed.p = self._softmax(self._arch_alpha)
        out: torch.Tensor = self.mixed(x)
        self.mixed.p = self.mixed.p.detach()  # a layer that holds a graph could not be copied
        return out


class SampledBankLayer(SharedBankLayer):
    """Runs the choice drawn last. Plans are drawn uniformly from those within the budget."""

    def __init__(self, layer: BankLayer, generator: torch.Generator, draws: np.random.Generator):
        super().__init__(layer, generator)
        self._draws, self._sampled = draws, None

    def resample(self, memo: Sample) -> Sample:
        """Draws for all layers at once, but for those in `memo`."""
        new = {} if self.label in memo else {name: code for name, code in self._draw().items() if name not in memo}
        self._sampled = {**memo, **new}[self.label]
        return new | {self.label: self._sampled}

    def export(self, memo: Sample) -> Sample:
        """A plan drawn at random: nothing was learned of the choices themselves (`decode.best_of` compares plans)."""
        return {} if self.label in memo else {name: code for name, code in self._draw().items() if name not in memo}

    def _draw(self) -> Sample:
        return self.search.space.plan(self.search.space.sample(self._draws)).codes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self._sampled is None:
            raise RuntimeError("a plan must be drawn (resample) before the supernet runs")
        chosen = torch.tensor(self.choice.values.index(self._sampled), device=x.device)
        self.mixed.p = F.one_hot(chosen, len(self.choice.values)).to(self.mixed.latent.dtype)
        return self.mixed(x)


def _shares(logits: torch.Tensor) -> torch.Tensor:
    return torch.softmax(logits, -1)
