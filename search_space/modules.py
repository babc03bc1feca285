"""Submodules of a traced network under their types: which kind a name leads to is what tracing found."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import nn


class Norm(Protocol):
    """A batch norm as far as its folding needs it."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    eps: float
    affine: bool
    weight: nn.Parameter | None
    bias: nn.Parameter | None


def layer_at(network: nn.Module, name: str) -> nn.Conv2d | nn.Linear:
    """The convolution or linear layer that `name` is in the network as its author built it."""
    return cast("nn.Conv2d | nn.Linear", network.get_submodule(name))


def norm_at(network: nn.Module, name: str) -> Norm:
    """The batch norm that `name` is."""
    return cast(Norm, network.get_submodule(name))
