"""The trainable layer of a child network: a generated weight, then an ordinary convolution or linear map."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from search_space.basis import Choice
from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.shape import LayerShape, NetworkShape
from search_space.strides import at_stride, overruns


class GeneratedLayer(nn.Module):
    """W = basis() (times a scale a filter where no batch norm follows), then the convolution of `shape`.

    `run` is "materialized" (build the weight, one convolution) or "merge" (split-transform-merge; families without it
    stay materialized). Input (batch, groups c, height, width) for a convolution, (..., c) for a linear layer.
    """

    def __init__(self, shape: LayerShape, choice: Choice, padding_mode: str = "zeros", generator=None):
        super().__init__()
        self.shape, self.choice, self.padding_mode, self.run = shape, choice, padding_mode, "materialized"
        self.basis = choice.basis(shape, generator)
        vector = not shape.normalized
        start = (shape.weights / shape.n) ** -0.5
        self.scale = nn.Parameter(torch.full((shape.n,), start)) if vector and choice.scaled else None
        self.bias = nn.Parameter(torch.zeros(shape.n)) if vector and shape.bias else None

    def weight(self) -> torch.Tensor:
        """(n, c, d_h, d_w), scaled."""
        weight = self.basis()
        return weight if self.scale is None else weight * self.scale[:, None, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.run == "merge" and hasattr(self.basis, "merge"):
            return self._merged(x)
        weight = self.weight()
        if self.shape.kind == "linear":
            return F.linear(x, weight[:, :, 0, 0], self.bias)
        return convolve(x, weight, self.bias, self.shape, self.padding_mode)

    def _merged(self, x: torch.Tensor) -> torch.Tensor:
        if self.padding_mode != "zeros":
            raise BankwiseError(f"layer {self.shape.name!r}: split-transform-merge needs zero padding")
        maps = x.reshape(-1, x.shape[-1], 1, 1) if self.shape.kind == "linear" else x
        out = self.basis.merge(maps, self.shape)
        for vector, operation in ((self.scale, torch.mul), (self.bias, torch.add)):
            out = out if vector is None else operation(out, vector[:, None, None])
        return out.reshape(*x.shape[:-1], self.shape.n) if self.shape.kind == "linear" else out

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Start from a trained layer's weight and bias: fit the basis, then the least-squares scale of each filter."""
        weight = weight.reshape(self.shape.weight_shape)
        self.basis.start_from(weight)
        if self.scale is not None:
            fitted = self.basis()
            energy = fitted.square().sum((1, 2, 3)).clamp(min=1e-12)  # a filter of zeros stays one
            self.scale.copy_((weight * fitted).sum((1, 2, 3)) / energy)
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)


def convolve(x: torch.Tensor, weight: torch.Tensor, bias, shape: LayerShape, padding_mode: str) -> torch.Tensor:
    padding, extra = shape.padding, shape.extra_padding
    if padding_mode != "zeros" or any(extra):
        around = (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0])
        x, padding = F.pad(x, around, mode="constant" if padding_mode == "zeros" else padding_mode), (0, 0)
    stride = shape.stride
    if overruns(shape.kernel, stride, padding, shape.c):
        x, stride = at_stride(x, stride), (1, 1)
    return F.conv2d(x, weight, bias, stride, padding, shape.dilation, shape.groups)


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in place of the one at `name`, under every other name that one has in the network too."""
    original = network.get_submodule(name)
    for parent in list(network.modules()):
        for leaf in [leaf for leaf, child in parent._modules.items() if child is original]:
            setattr(parent, leaf, module)


def build_child(network: nn.Module, shape: NetworkShape, plan: Plan, seed: int, teacher: nn.Module | None = None):
    """A trainable copy of `network` whose layers follow `plan`, started from `teacher`'s weights where one is given."""
    child = copy.deepcopy(network)
    if teacher is not None:
        child.load_state_dict(teacher.state_dict())
    generator = torch.Generator().manual_seed(seed)
    for layer in shape.layers:
        original = child.get_submodule(layer.name)
        generated = GeneratedLayer(
            layer, plan.layers[layer.name], getattr(original, "padding_mode", "zeros"), generator
        )
        if teacher is not None:
            generated.start_from(original.weight.detach(), original.bias)
        replace_module(child, layer.name, generated)
    return child
