"""Batch norms as files hold them: folded, and rounded.

A child's batch norm has, in training as in evaluation, the scale and shift that a coarse storage leaves.

In evaluation a norm is x scale + shift, scale = gamma / sigma and shift = beta - mean scale, with the running mean and
deviation sigma. The file holds both rounded, q and t. The norm that gives x q + t has gamma = q sigma and
beta = t + mean q: with these it also runs in training, while gradients go straight through to its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bankwise.search_space.modules import Norm
from bankwise.search_space.vector import Storage, Vectors

CONSTANT = 1e-6  # share of eps up to which a variance is rounding


def folded_norm(norm: Norm) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch norm in evaluation is x scale + shift: scale = gamma / sqrt(var + eps), shift = beta - mean scale.

    A channel that does not vary, as behind a pruned filter, has scale 0 and shift beta: 1 / sqrt(eps) for a scale would
    say nothing, and stretch the range in which all scales of the norm are stored.
    """
    constant = norm.running_var <= CONSTANT * norm.eps  # false of no number, which is to be seen
    scale = (norm.running_var + norm.eps).rsqrt().masked_fill(constant, 0.0)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def round_norm(norm: nn.Module, vectors: Vectors) -> None:
    """Let `norm` run with what `vectors` leave of its scale and shift. Its parameters and its class stay its own."""
    norm.register_forward_pre_hook(_Rounding(vectors))
    norm.register_forward_hook(_restored, always_call=True)


@dataclass(frozen=True)
class _Rounding:
    """A hook before the forward pass."""

    vectors: Vectors

    def __call__(self, norm: Any, inputs: tuple[Any, ...]) -> None:
        own = {"weight": norm.weight, "bias": norm.bias}
        norm.__dict__["own_parameters"] = own
        for (name, mine), rounded in zip(own.items(), self._rounded(norm), strict=True):
            norm._parameters[name] = rounded if mine is None else mine + (rounded - mine).detach()

    @torch.no_grad()
    def _rounded(self, norm: Norm) -> tuple[torch.Tensor, torch.Tensor]:
        """gamma and beta of the norm that the file will hold. Of one that diverges they are not finite, as its loss
        shows."""
        scale, shift = folded_norm(norm)
        scale, shift = self.vectors.scale.rounded(scale), self.vectors.shift.rounded(shift)
        return scale * (norm.running_var + norm.eps).sqrt(), shift + norm.running_mean * scale


def straight(vector: torch.Tensor | None, storage: Storage) -> torch.Tensor | None:
    """What the storage leaves of a vector; its gradient is the vector's."""
    return None if vector is None else vector + (storage.rounded(vector.detach()) - vector.detach())


def _restored(norm: Any, inputs: tuple[Any, ...], output: object) -> None:
    norm._parameters.update(norm.__dict__.pop("own_parameters"))
