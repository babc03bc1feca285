"""Where a training computes in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bankwise.trainers.evaluate import kept_mode


def in_bfloat16(amp: str, device: torch.device | str) -> bool:
    """Whether a training by `Recipe.amp` on that device autocasts. `auto`: on CUDA, and on a CPU that multiplies
    bfloat16 itself (AVX-512 BF16, AMX); others would imitate it, more slowly than float32."""
    if amp != "auto":
        return amp == "on"
    return torch.device(device).type == "cuda" or _on_this_cpu()


@cache
def _on_this_cpu() -> bool:
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.10 does not say
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def careful(model: nn.Module, images: torch.Tensor) -> AbstractContextManager[object]:
    """What a training in bfloat16 of `model` runs in, on a CPU; `images` are some that it takes. It computes the
    convolutions in float32 of which oneDNN gives wrong gradients; a context of nothing where the model has none."""
    mode = _IdleTapsInFloat32()
    with kept_mode(model), torch.no_grad(), mode:
        model.eval()
        model(images)
    return mode if mode.met else nullcontext()


class _IdleTapsInFloat32(TorchFunctionMode):
    """Depthwise convolutions with taps that never meet the image, as those of 3x3 on maps of one pixel, in float32. In
    bfloat16 such a tap's gradient, which is 0, comes out of oneDNN as what lay in memory now and then: the weight is
    another in every run, and NaN some day. `met` says whether there was one."""

    met = False

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        idle = function is torch.conv2d and _depthwise_with_idle_taps(*args, **kwargs)
        if not idle:
            return function(*args, **kwargs)
        self.met = True
        real = [value.float() if isinstance(value, torch.Tensor) else value for value in args]
        named = {name: value.float() if isinstance(value, torch.Tensor) else value for name, value in kwargs.items()}
        with torch.autocast("cpu", enabled=False):
            return function(*real, **named)


def _depthwise_with_idle_taps(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | Iterable[int] = 1,
    padding: int | Iterable[int] | str = 0,
    dilation: int | Iterable[int] = 1,
    groups: int = 1,
) -> bool:
    """The arguments are those of `torch.conv2d`."""
    if groups == 1 or weight.shape[1] > 1:
        return False
    steps, apart = _pair(stride), _pair(dilation)
    if isinstance(padding, str):
        before = [d * (k - 1) // 2 if padding == "same" else 0 for d, k in zip(apart, weight.shape[2:], strict=True)]
        after = [d * (k - 1) - b for d, k, b in zip(apart, weight.shape[2:], before, strict=True)]
        after = after if padding == "same" else before
    else:
        before = after = _pair(padding)
    for size, kernel, step, d, b, a in zip(input.shape[2:], weight.shape[2:], steps, apart, before, after, strict=True):
        outputs = range((size + b + a - d * (kernel - 1) - 1) // step + 1)
        if any(all(not 0 <= o * step - b + t * d < size for o in outputs) for t in range(kernel)):
            return True
    return False


def _pair(value: int | Iterable[int]) -> list[int]:
    found = [value] if isinstance(value, int) else list(value)
    return found * 2 if len(found) == 1 else found
