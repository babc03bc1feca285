"""What C computes with int8 activations, in whole numbers, to the last bit; and the numbers by which it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.graph import Graph, Operation
from bankwise.search_space.targets.c.int8.calibration import Scales, calibrate
from bankwise.search_space.targets.c.int8.emit import Int8Builder
from bankwise.search_space.targets.c.int8.fixed import Whole, fixed, logistic, rounded
from bankwise.search_space.targets.c.int8.fused import LAYERS, Fused, fused
from bankwise.search_space.targets.c.int8.numbers import UNIT, Numbers, Quantizer
from bankwise.search_space.targets.c.int8.pixels import of_pixels
from bankwise.search_space.targets.c.memory import IMAGE

_IMAGES = 100  # at a time


@dataclass(frozen=True)
class _Step:
    fused: Fused
    numbers: Numbers
    weight: Whole | None = None
    affine: tuple[np.ndarray, np.ndarray] | None = None


class Reference:
    """The network of a plan's codes with int8 activations, at scales from images of the training data."""

    def __init__(
        self, shape: NetworkShape, plan: Plan, codes: PlanCodes, graph: Graph, network: nn.Module, images: torch.Tensor
    ):
        """`network` is that of `packing.assemble`, `images` as it takes them."""
        self.graph, steps = graph, fused(graph, shape)
        self.scales: Scales = calibrate(plan, graph, steps, network, images)
        self.plan = plan
        builder = Int8Builder(shape, plan, graph, {})
        for step in steps:
            builder.take(step)
        quantizer = Quantizer(shape, plan, codes, self.scales)
        self.steps = [_prepared(step, quantizer, builder) for step in steps]

    @property
    def numbers(self) -> dict[int, Numbers]:
        """Of the steps, by their outputs."""
        return {step.fused.output: step.numbers for step in self.steps}

    def quantized(self, images: torch.Tensor) -> torch.Tensor:
        """float32 inputs (count, channels, height, width) as the int8 that the C sources take."""
        return (images / self.scales[IMAGE]).round().clamp(-127, 127).to(torch.int8)

    def of_pixels(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """uint8 pixels as the int8 that the macro NAME_QUANTIZE makes of them; None where it has none, for the
        normalization is not known."""
        return of_pixels(self.plan, self.scales[IMAGE], pixels)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """int16 (count, classes), of int8 images."""
        return torch.cat([self._logits(some) for some in images.split(_IMAGES)])

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        values: dict[int, Whole] = {IMAGE: images.numpy().astype(np.int64)}
        for step in self.steps:
            operation, numbers = step.fused.operation, step.numbers
            inputs, shape = [values[value] for value in operation.inputs], operation.in_shape
            first = inputs[0].reshape(len(images), *(shape[1:] if shape[0] == 1 else shape))
            if operation.kind in LAYERS or operation.kind == "batch_norm":
                out = _summed(step, first)
            else:
                out = RULES[operation.kind]([first, *inputs[1:]], operation.settings, numbers, operation.out_shape)
            out = np.clip(out, numbers.low, numbers.high)
            values[step.fused.output] = out.reshape(len(images), -1)
        return torch.from_numpy(values[self.graph.output].astype(np.int16))


def _prepared(step: Fused, quantizer: Quantizer, builder: Int8Builder) -> _Step:
    operation, scales = step.operation, quantizer.scales
    inputs = [scales[value] for value in operation.inputs]
    if operation.kind in LAYERS:
        plane = builder.planes[step.output]
        count = int(operation.settings["weight_shape"][0])
        weight, cut, unit = quantizer.weight(step, plane)
        affine = quantizer.affine(step.affine, count)
        return _Step(step, quantizer.channels(step, unit, affine, cut), weight, affine)
    if operation.kind == "batch_norm":
        affine = quantizer.affine(step.affine, operation.out_shape[1])
        return _Step(step, quantizer.channels(step, 1.0, affine), None, affine)
    return _Step(step, _NUMBERS[operation.kind](quantizer, step, inputs))


def _summed(step: _Step, x: Whole) -> Whole:
    """Exact sums, by floating point of 53 bits, and what scale and shift of each channel make of them."""
    operation, given = step.fused.operation, step.fused.operation.settings
    wide, axis = torch.from_numpy(x.astype(np.float64)), 1
    sums = wide
    if operation.kind == "conv2d":
        assert step.weight is not None
        weight = torch.from_numpy(step.weight.astype(np.float64))
        (ph, pw), (bottom, right) = given["padding"], (_behind(operation, i) for i in (0, 1))
        wide = F.pad(wide, (pw, right, ph, bottom))
        sums = F.conv2d(wide, weight, None, given["stride"], 0, given["dilation"], given["groups"])
    elif operation.kind == "linear":
        assert step.weight is not None
        weight = torch.from_numpy(step.weight.astype(np.float64)).flatten(1)
        sums, axis = wide.reshape(len(x), -1, weight.shape[1]) @ weight.t(), 2
    assert step.affine is not None
    numbers, (a, b) = step.numbers, step.affine
    spread = [1] * sums.ndim
    spread[axis] = -1
    factor = fixed(a, numbers.factor, numbers.factor_shift).reshape(spread)
    offset = fixed(b, numbers.offset, numbers.offset_shift).reshape(spread)
    return rounded(sums.numpy().astype(np.int64) * factor + offset, numbers.shift)


def _behind(operation: Operation, i: int) -> int:
    """Rows (0) or columns (1) of padding behind a map, so that the output has its size."""
    given, size = operation.settings, operation.in_shape[-2:][i]
    kernel, stride = given["weight_shape"][2:][i], given["stride"][i]
    read = (operation.out_shape[-2:][i] - 1) * stride + (kernel - 1) * given["dilation"][i] + 1
    return int(max(given["padding"][i], read - size - given["padding"][i]))


Rule = Callable[[Sequence[Whole], Mapping[str, Any], Numbers, tuple[int, ...]], Whole]


def _scaled(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    return rounded(inputs[0] * numbers.factor, numbers.shift)


def _pair(inputs: Sequence[Whole], given: Mapping[str, Any]) -> tuple[Whole, Whole]:
    """Flat, the second one value for `inner` of the first."""
    a, b = (one.reshape(len(one), -1) for one in (reversed(inputs) if given["flipped"] else inputs))
    return a, b.repeat(given["inner"], 1)


def _add(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    a, b = _pair(inputs, given)
    return rounded(a * numbers.factor + b * numbers.other, numbers.shift)


def _multiply(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    a, b = _pair(inputs, given)
    return rounded(a * b * numbers.factor, numbers.shift)


def _cat(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    parts = [rounded(x * factor, shift) for x, (factor, shift) in zip(inputs, numbers.each, strict=True)]
    return np.concatenate([part.reshape(-1, size) for part, size in zip(parts, given["sizes"], strict=True)], 1)


def _max_pool(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    most = np.full((len(inputs[0]), *out[1:]), -128, np.int64)
    for _, _, window, where in _windows(inputs[0], given, out):
        most = np.where(where, np.maximum(most, window), most)
    return rounded(most * numbers.factor, numbers.shift)


def _windows(x: Whole, given: Mapping[str, Any], out: tuple[int, ...]) -> Any:
    """For each tap: rows, columns, what outputs read there (batch, channels, oh, ow), whether that is in the map."""
    (kh, kw), (ph, pw), (sh, sw) = given["kernel_size"], given["padding"], given["stride"]
    dh, dw = given.get("dilation", (1, 1))
    for r in range(kh):
        for q in range(kw):
            rows = np.arange(out[2]) * sh - ph + r * dh
            columns = np.arange(out[3]) * sw - pw + q * dw
            inside = ((rows >= 0) & (rows < x.shape[2]))[:, None] & ((columns >= 0) & (columns < x.shape[3]))[None]
            taken = x[:, :, rows.clip(0, x.shape[2] - 1)][..., columns.clip(0, x.shape[3] - 1)]
            yield rows, columns, np.where(inside, taken, 0), inside


def _average_pool(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    x = inputs[0]
    total, count = np.zeros((len(x), *out[1:]), np.int64), np.zeros(out[2:], np.int64)
    (ph, pw) = given["padding"]
    for rows, columns, window, inside in _windows(x, given, out):
        total += window
        padded = (rows < x.shape[2] + ph)[:, None] & (columns < x.shape[3] + pw)[None]
        count += padded if given["padded"] else inside
    return _mean(total, np.full_like(count, given["divisor"]) if given["divisor"] else count, numbers)


def _mean(total: Whole, count: Any, numbers: Numbers) -> Whole:
    over = np.asarray(count, np.int64) << numbers.shift
    found: Whole = (2 * total * numbers.factor + over) // (2 * over)
    return found


def _adaptive(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    x, (oh, ow) = inputs[0], out[2:]
    made = np.zeros((len(x), *out[1:]), np.int64)
    for i in range(oh):
        for j in range(ow):
            some = x[:, :, i * x.shape[2] // oh : -(-(i + 1) * x.shape[2] // oh)]
            some = some[..., j * x.shape[3] // ow : -(-(j + 1) * x.shape[3] // ow)]
            made[:, :, i, j] = _mean(some.sum((2, 3)), some.shape[2] * some.shape[3], numbers)
    return made


def _mean_of_maps(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    maps = inputs[0].reshape(len(inputs[0]), given["channels"], given["size"])
    return _mean(maps.sum(2), given["size"], numbers)


def _leaky(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    x = inputs[0]
    return rounded(x * np.where(x < 0, numbers.other, numbers.factor), numbers.shift)


def _read(x: Whole, numbers: Numbers) -> Whole:
    """At the scale of curves."""
    return rounded(x * numbers.offset, numbers.offset_shift)


def _hard_sigmoid(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    value = _read(inputs[0], numbers)
    gate = np.clip(value + 3 * UNIT, 0, 6 * UNIT)
    return rounded((rounded(gate * value, 16) if given["swish"] else gate) * numbers.factor, numbers.shift)


def _sigmoid(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    value = _read(inputs[0], numbers)
    gate = rounded(logistic(value), 14)
    return rounded((rounded(gate * value, 16) if given["swish"] else gate) * numbers.factor, numbers.shift)


def _gelu(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    """By the approximation, whichever the network has."""
    value = _read(inputs[0], numbers)
    u = np.clip(value, -8 * UNIT, 8 * UNIT)
    cube = rounded(rounded(u * u, 16) * u, 16)
    gate = rounded(logistic(rounded(104580 * u + 4676 * cube, 16)), 14)
    return rounded(rounded(gate * value, 16) * numbers.factor, numbers.shift)


def _elu(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    value = _read(inputs[0], numbers)
    gate = np.where(value < 0, logistic(np.minimum(value, 0)), 0)
    below = ((gate << 16) // (2**30 - gate) - UNIT) * numbers.other
    return rounded(np.where(value < 0, below, value * numbers.factor), numbers.shift)


def _hyperbolic(inputs: Sequence[Whole], given: Mapping[str, Any], numbers: Numbers, out: tuple[int, ...]) -> Whole:
    gate = rounded(logistic(2 * _read(inputs[0], numbers)), 13)
    return rounded((gate - UNIT) * numbers.factor, numbers.shift)


RULES: Mapping[str, Rule] = {
    "max_pool": _max_pool, "average_pool": _average_pool, "adaptive_pool": _adaptive, "mean": _mean_of_maps,
    "cat": _cat, "add": _add, "multiply": _multiply, "clamp": _scaled, "relu": _scaled, "leaky_relu": _leaky,
    "hard_sigmoid": _hard_sigmoid, "sigmoid": _sigmoid, "gelu": _gelu, "elu": _elu, "hyperbolic": _hyperbolic,
}  # fmt: skip


def _of_one(quantizer: Quantizer, step: Fused, inputs: Sequence[float]) -> Numbers:
    return quantizer.scaled(step, inputs[0])


def _of_two(quantizer: Quantizer, step: Fused, inputs: Sequence[float]) -> Numbers:
    return quantizer.scaled(step, *(reversed(inputs) if step.operation.settings["flipped"] else inputs))


def _of_product(quantizer: Quantizer, step: Fused, inputs: Sequence[float]) -> Numbers:
    return quantizer.scaled(step, inputs[0] * inputs[1])


def _of_leaky(quantizer: Quantizer, step: Fused, inputs: Sequence[float]) -> Numbers:
    return quantizer.scaled(step, inputs[0], inputs[0] * step.operation.settings["slope"])


def _of_elu(quantizer: Quantizer, step: Fused, inputs: Sequence[float]) -> Numbers:
    return quantizer.scaled(step, 1 / UNIT, step.operation.settings["alpha"] / UNIT, curve=inputs[0])


def _of_curve(unit: int) -> Callable[[Quantizer, Fused, Sequence[float]], Numbers]:
    """A curve whose whole outputs are 1 / unit each."""
    return lambda quantizer, step, inputs: quantizer.scaled(step, 1 / unit, curve=inputs[0])


_NUMBERS: Mapping[str, Callable[[Quantizer, Fused, Sequence[float]], Numbers]] = {
    **dict.fromkeys(("max_pool", "average_pool", "adaptive_pool", "mean", "clamp", "relu"), _of_one),
    "cat": lambda quantizer, step, inputs: quantizer.each(step), "add": _of_two, "multiply": _of_product,
    "leaky_relu": _of_leaky, "hard_sigmoid": _of_curve(6 * UNIT), "sigmoid": _of_curve(UNIT),
    "gelu": _of_curve(UNIT), "elu": _of_elu, "hyperbolic": _of_curve(UNIT),
}  # fmt: skip
