"""The trainable layer of a child network: a generated weight, then an ordinary convolution or linear map."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Choice
from bankwise.search_space.modules import layer_at
from bankwise.search_space.norms import round_norm, straight
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.strides import at_stride, overruns
from bankwise.search_space.vector import Vectors

SIZES = ("in_features", "out_features", "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
         "groups", "padding_mode")  # fmt: skip


class GeneratedLayer(nn.Module):
    """W = basis() (times a scale a filter where no batch norm follows), then the convolution of `shape`.

    `vectors` say how scale and bias are stored, where that is so coarse that a training must know of it.
    `run` is "materialized" (build the weight, one convolution) or "merge" (split-transform-merge; families without it
    stay materialized). Input (batch, groups c, height, width) for a convolution, (..., c) for a linear layer.
    """

    def __init__(
        self, shape: LayerShape, choice: Choice, padding_mode: str = "zeros", generator: torch.Generator | None = None
    ):
        super().__init__()
        self.shape, self.choice, self.padding_mode, self.run = shape, choice, padding_mode, "materialized"
        self.basis = choice.basis(shape, generator)
        vector = not shape.normalized
        start = (shape.weights / shape.n) ** -0.5
        self.scale = nn.Parameter(torch.full((shape.n,), start)) if vector and choice.scaled else None
        self.bias = nn.Parameter(torch.zeros(shape.n)) if vector and shape.bias else None
        self.vectors: Vectors | None = None

    def _vectors(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Scale and bias, as `vectors` leave them; gradients go straight through."""
        if self.vectors is None:
            return self.scale, self.bias
        return straight(self.scale, self.vectors.scale), straight(self.bias, self.vectors.shift)

    def generated(self) -> torch.Tensor:
        """The weight (n, c, d_h, d_w), scaled."""
        return self._generated(self._vectors()[0])

    def _generated(self, scale: torch.Tensor | None) -> torch.Tensor:
        weight = self.basis()
        return weight if scale is None else weight * scale[:, None, None, None]

    @property
    def weight(self) -> torch.Tensor:
        """The same, shaped as that of the layer which it stands for, as networks may read it."""
        return as_read(self.generated(), self.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        merge = getattr(self.basis, "merge", None)
        if self.run == "merge" and merge is not None:
            return self._merged(x, merge)
        scale, bias = self._vectors()
        weight = self._generated(scale)
        if self.shape.kind == "linear":
            return F.linear(x, weight[:, :, 0, 0], bias)
        return convolve(x, weight, bias, self.shape, self.padding_mode)

    def _merged(self, x: torch.Tensor, merge: Callable[[torch.Tensor, LayerShape], torch.Tensor]) -> torch.Tensor:
        if self.padding_mode != "zeros":
            raise BankwiseError(f"layer {self.shape.name!r}: split-transform-merge needs zero padding")
        maps = x.reshape(-1, x.shape[-1], 1, 1) if self.shape.kind == "linear" else x
        out = merge(maps, self.shape)
        for vector, operation in zip(self._vectors(), (torch.Tensor.mul, torch.Tensor.add), strict=True):
            out = out if vector is None else operation(out, vector[:, None, None])
        return out.reshape(*x.shape[:-1], self.shape.n) if self.shape.kind == "linear" else out

    @torch.no_grad()
    def start_from(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Start from a trained layer's weight and bias: fit the basis, then the least-squares scale of each filter."""
        weight = weight.reshape(self.shape.weight_shape)
        self.basis.start_from(weight)
        if self.scale is not None:
            fitted = self.basis()
            energy = fitted.square().sum((1, 2, 3))
            energy = energy.clamp(min=torch.finfo(energy.dtype).tiny)  # a filter of zeros stays one
            self.scale.copy_((weight * fitted).sum((1, 2, 3)) / energy)
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)


def convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, shape: LayerShape, padding_mode: str
) -> torch.Tensor:
    padding, extra = shape.padding, shape.extra_padding
    if padding_mode != "zeros" or any(extra):
        around = (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0])
        x, padding = F.pad(x, around, mode="constant" if padding_mode == "zeros" else padding_mode), (0, 0)
    stride = shape.stride
    if overruns(shape.kernel, stride, padding, shape.c):
        x, stride = at_stride(x, stride), (1, 1)
    return F.conv2d(x, weight, bias, stride, padding, shape.dilation, shape.groups)


def as_read(weight: torch.Tensor, shape: LayerShape) -> torch.Tensor:
    """A weight (n, c, d_h, d_w) as torch's layer has it: (n, c) of a linear one."""
    return weight[:, :, 0, 0] if shape.kind == "linear" else weight


def take_sizes(module: nn.Module, original: nn.Module) -> None:
    """Give `module`, which stands for `original`, the attributes by which a network may ask that one for its sizes."""
    for attribute in SIZES:
        if hasattr(original, attribute) and not hasattr(module, attribute):
            setattr(module, attribute, getattr(original, attribute))


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in place of the one at `name`, under every other name that one has in the network too."""
    original = network.get_submodule(name)
    take_sizes(module, original)
    for parent in list(network.modules()):
        for leaf in [leaf for leaf, child in parent._modules.items() if child is original]:
            setattr(parent, leaf, module)


def build_child(
    network: nn.Module,
    shape: NetworkShape,
    plan: Plan,
    seed: int,
    teacher: nn.Module | None = None,
    layers: Sequence[LayerShape] | None = None,
) -> nn.Module:
    """A trainable copy of `network` whose layers follow `plan`, started from `teacher`'s weights where one is given.

    With `layers` these alone follow it, the others stay as they are.
    """
    child = copy.deepcopy(network)
    if teacher is not None:
        child.load_state_dict(teacher.state_dict())
    generator = torch.Generator().manual_seed(seed)
    for layer in shape.layers if layers is None else layers:
        original = layer_at(child, layer.name)
        generated = GeneratedLayer(
            layer, plan.layers[layer.name], getattr(original, "padding_mode", "zeros"), generator
        )
        if teacher is not None:
            generated.start_from(original.weight.detach(), original.bias)
        replace_module(child, layer.name, generated)
        vectors = generated.choice.stored(plan.vector_bits)
        if vectors.coarse:
            generated.vectors = vectors
            if layer.norm:
                round_norm(child.get_submodule(layer.norm), vectors)
    return child
