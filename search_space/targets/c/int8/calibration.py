"""Scales of int8 activations: of every value of a network, from what it is on images of the training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.normalization import DEVIATION, IMAGENET, MEAN
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.c.graph import Graph, traced
from bankwise.search_space.targets.c.int8.fused import ALIKE, Fused
from bankwise.search_space.targets.c.memory import IMAGE

TOP, WIDE_TOP = 127, 2**14  # of an activation, and of logits at the largest that the images gave
_BINS = 2048
_SHARES = torch.linspace(0.2, 1.0, 81)  # of the largest value, tried as what an activation can hold


@dataclass(frozen=True)
class Scales:
    """The real number that a step of one is, by value."""

    of: dict[int, float]
    logits: int  # the value that is wide

    def __getitem__(self, value: int) -> float:
        return self.of[value]


def input_scale(plan: Plan, images: torch.Tensor | None = None) -> float:
    """That of the image: 127 is the largest input that a pixel can be, or, where the normalization is not known, that
    was among `images`."""
    normalization = (plan.images or Images()).normalization
    if normalization is None:
        return float(images.abs().max()) / TOP if images is not None and images.numel() else 1.0
    if normalization != IMAGENET:
        return 1.0 / TOP
    return max(max(mean, 1 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)) / TOP


@torch.no_grad()
def calibrate(plan: Plan, graph: Graph, steps: Sequence[Fused], network: nn.Module, images: torch.Tensor) -> Scales:
    """The scales at which `network` (of `packing.assemble`) loses least, in squared error, on `images`: float32 (count,
    channels, height, width), as it takes them.

    Raises BankwiseError where there are no images, or values are not finite on them.
    """
    if images.ndim != 4 or not len(images) or tuple(images.shape[1:]) != plan.input_shape:
        raise BankwiseError(
            f"int8 activations need images of the training data of {'x'.join(map(str, plan.input_shape))}, not "
            f"{'x'.join(map(str, images.shape))}"
        )
    recorder = _Recorder(traced(plan, network), network)
    largest = recorder.run_all(images, {})
    counts = recorder.run_all(images, largest)
    scales = {IMAGE: input_scale(plan, images)}
    for step in steps:
        value = step.output
        if not math.isfinite(float(largest[value])):
            raise BankwiseError(f"network {plan.network!r}: {step.operation.path} gives values that are not finite")
        if value == graph.output:
            scales[value] = (float(largest[value]) if largest[value] >= 1e-6 else 1.0) / WIDE_TOP
        elif step.operation.kind in ALIKE:
            scales[value] = scales[step.operation.inputs[0]]
        else:
            scales[value] = _least_error(counts[value], float(largest[value]))
    return Scales(scales, graph.output)


def _least_error(counts: torch.Tensor, largest: float) -> float:
    """The scale of least squared error of values with these magnitudes, `_BINS` of them up to the largest: rounding by
    a step is off by a twelfth of its square, cutting by what is cut."""
    if largest < 1e-6:  # nothing to tell apart
        return 1.0 / TOP
    middles = (torch.arange(_BINS, dtype=torch.float64) + 0.5) * (largest / _BINS)
    tops = _SHARES.double() * largest
    over = (middles[None] - tops[:, None]).clamp(min=0).square() @ counts
    errors = over + (tops / TOP).square() / 12 * counts.sum()
    return float(tops[int(errors.argmin())]) / TOP


class _Recorder(fx.Interpreter):
    """Runs the exported program of a network, one image at a time, and counts the magnitudes of values as they are
    made: an operation in place may change them later."""

    def __init__(self, read: Any, network: nn.Module):
        super().__init__(read.program.graph_module)
        self.made = read.values
        state = {**dict(network.named_parameters()), **dict(network.named_buffers())}  # by their first names
        self.given = [state[name] for name in read.stored]
        self.seen: dict[int, torch.Tensor] = {}
        self.largest: dict[int, torch.Tensor] = {}

    def run_all(self, images: torch.Tensor, largest: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """By value: the largest magnitude, or where these are given the counts of `_BINS` magnitudes up to them."""
        self.seen, self.largest = {}, largest
        for image in images:
            self.run(*self.given, image[None].clone())
        return self.seen

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        value = self.made.get(n.name)
        if value is not None and isinstance(result, torch.Tensor):
            self._count(value, result.abs().double())
        return result

    def _count(self, value: int, sizes: torch.Tensor) -> None:
        if not self.largest:
            self.seen[value] = torch.maximum(self.seen.get(value, sizes.new_zeros(())), sizes.max())
            return
        top = float(self.largest[value])
        counts = torch.histc(sizes, _BINS, 0.0, top) if top > 0 and math.isfinite(top) else sizes.new_zeros(_BINS)
        self.seen[value] = self.seen.get(value, 0) + counts
