"""The whole numbers by which a step with int8 activations computes: of its scales, and of what is stored of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families.in_c import Plane
from bankwise.search_space.packing import OwnCodes, PlanCodes
from bankwise.search_space.parts import norm_vectors
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.int8.calibration import TOP, Scales
from bankwise.search_space.targets.c.int8.fixed import Ratio, common_shift, fixed, rounded
from bankwise.search_space.targets.c.int8.fused import Affine, Fused
from bankwise.search_space.vector import Storage, float_values

WIDE = 2**15 - 1
_SUM = 2**31 // 128  # what the magnitudes of a filter's weights may add up to, for sums of 32 bits
_REAL_BITS = 15  # of a real weight
UNIT = 65536  # in which curves are computed
_OFFSET_BITS = 61


@dataclass(frozen=True)
class Numbers:
    """Those of `struct store`, and beside them `cut` of `struct layer`, the factor `other` of a second input, and
    (factor, shift) of each input of a concatenation."""

    low: int = 0
    high: int = 0
    shift: int = 0
    factor: int = 0
    factor_shift: int = 0
    offset: int = 0
    offset_shift: int = 0
    cut: int = 0
    other: int = 0
    each: tuple[tuple[int, int], ...] = ()


class Quantizer:
    """Weights, norms and numbers of a plan's codes at these scales."""

    def __init__(self, shape: NetworkShape, plan: Plan, codes: PlanCodes, scales: Scales):
        self.plan, self.codes, self.scales = plan, codes, scales
        self.layers = {layer.name: layer for layer in shape.layers}
        self.norms = norm_vectors(shape, plan)

    def weight(self, step: Fused, plane: Plane) -> tuple[np.ndarray, int, float]:
        """Whole weights int64 (n, c, d_h, d_w), their cut, and the real number that one of them is."""
        name, _, tensor = step.operation.tensors["weight"].rpartition(".")
        layer = self.layers.get(name) if tensor == "weight" else None
        if layer is None:
            weight = self._kept(step.operation.tensors["weight"])
        else:
            weight = self.plan.layers[name].weight(layer, OwnCodes(self.codes, name))
        shape = tuple(step.operation.settings["weight_shape"])
        numbers = weight.detach().float().numpy().reshape(*shape, *(() if len(shape) == 4 else (1, 1)))
        if plane.largest is None:
            for cut in range(-40, 40):
                whole = fixed(numbers, 1, cut)
                if np.abs(whole).max() < 2**_REAL_BITS and _fits(whole):
                    return whole, cut, 2.0**cut
        whole, cut = np.rint(numbers.astype(np.float64) * plane.denominator).astype(np.int64), 0
        while not _fits(rounded(whole, cut)):
            cut += 1
        return rounded(whole, cut), cut, 2.0**cut / plane.denominator

    def affine(self, affine: Affine | None, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """The scale and shift of each channel, float32, as `folded` and `kept` of `int8.c` compute them."""
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        if affine is None:
            return ones, zeros
        if affine.kind in ("own", "folded"):
            folded = affine.kind == "folded"
            names = ("norm.scale", "norm.shift") if folded else ("scale", "bias")
            stored = self.norms[affine.path] if folded else self.plan.layers[affine.path].stored(self.plan.vector_bits)
            scale = self._vector(affine.path, names[0], stored.scale, channels)
            shifted = folded or bool(affine.tensors)
            shift = self._vector(affine.path, names[1], stored.shift, channels) if shifted else None
            return ones if scale is None else scale, zeros if shift is None else shift
        kept = {use: self._kept(path).numpy() for use, path in affine.tensors.items()}
        if affine.kind == "bias":
            return ones, kept["bias"]
        scale = kept.get("weight", ones) / np.sqrt(kept["running_var"] + np.float32(affine.epsilon))
        return scale, kept.get("bias", zeros) - kept["running_mean"] * scale

    def _vector(self, owner: str, name: str, stored: Storage, channels: int) -> np.ndarray | None:
        if (owner, name) not in self.codes:
            return None
        values: np.ndarray = stored.values(name, OwnCodes(self.codes, owner), channels).numpy()
        return values

    def _kept(self, path: str) -> torch.Tensor:
        return float_values(self.codes[path, "kept"], 16)

    def channels(self, step: Fused, unit: float, affine: tuple[np.ndarray, np.ndarray], cut: int = 0) -> Numbers:
        """Of sums of which one is `unit` at the scale of the input."""
        low, high, out = self._range(step)
        gain = unit * self.scales[step.operation.inputs[0]] / out
        a, b = (float(np.abs(one).max()) for one in affine)
        shift = common_shift(a * gain)
        while shift > 0 and b / out * 2.0**shift >= 2.0**_OFFSET_BITS:
            shift -= 1
        self._check(step, shift, b / out * 2.0**shift)
        factor, offset = Ratio.of(gain * 2.0**shift), Ratio.of(2.0**shift / out)
        return Numbers(low, high, shift, factor.mantissa, factor.shift, offset.mantissa, offset.shift, cut)

    def scaled(self, step: Fused, *gains: float, curve: float = 0.0) -> Numbers:
        """Of an output at the gains, in its own scale, of one or two whole inputs; `curve` is the scale of what a curve
        reads."""
        low, high, out = self._range(step)
        shift = common_shift(*(gain / out for gain in gains))
        self._check(step, shift, 0.0)
        factor, *other = (round(gain / out * 2.0**shift) for gain in gains)
        inside = Ratio.of(curve * UNIT) if curve else Ratio(0, 0)
        return Numbers(
            low, high, shift, factor, offset=inside.mantissa, offset_shift=inside.shift, other=other[0] if other else 0
        )

    def each(self, step: Fused) -> Numbers:
        """Of a concatenation."""
        low, high, out = self._range(step)
        gains = [self.scales[value] / out for value in step.operation.inputs]
        shifts = [common_shift(gain) for gain in gains]
        for shift in shifts:
            self._check(step, shift, 0.0)
        each = tuple((round(gain * 2.0**shift), shift) for gain, shift in zip(gains, shifts, strict=True))
        return Numbers(low, high, each=each)

    def _range(self, step: Fused) -> tuple[int, int, float]:
        out = self.scales[step.output]
        top = WIDE if step.output == self.scales.logits else TOP
        low = -top if step.low is None else max(-top, min(top, round(step.low / out)))
        high = top if step.high is None else max(-top, min(top, round(step.high / out)))
        return low, high, out

    def _check(self, step: Fused, shift: int, offset: float) -> None:
        if shift < 0 or offset >= 2.0**_OFFSET_BITS:
            raise BankwiseError(
                f"network {self.plan.network!r}: {step.operation.path} ({step.operation.kind}) gives values so far "
                "from those that it reads that int8 activations cannot hold both"
            )


def _fits(whole: np.ndarray) -> bool:
    """Whether no sum of a filter, on any int8 map, leaves 32 bits."""
    return bool(np.abs(whole).reshape(len(whole), -1).sum(1).max() < _SUM)


def merged_fits(plane: Plane, weights: int) -> bool:
    """Whether that is so for any codes of filters of so many weights, as split-transform-merge needs: it cuts none."""
    return plane.largest is not None and plane.largest * weights < _SUM
