"""Batch norm over the images of all processes that train together, as one process alone would have them.

torch's own SyncBatchNorm runs on GPUs only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed
from torch.distributed.nn.functional import all_reduce  # passes gradients on
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class SyncedNorms(TorchFunctionMode):
    """While it is active every batch norm that takes the mean and variance of its images takes them over the default
    group, whatever module it is part of."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def _batch_norm(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    if not training:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    others = [d for d in range(input.dim()) if d != 1]
    along = [-1 if d == 1 else 1 for d in range(input.dim())]
    values = input.float()
    count = torch.tensor(float(input.numel() // input.shape[1]), device=input.device)
    distributed.all_reduce(count)
    mean = all_reduce(values.sum(others)) / count
    centred = values - mean.reshape(along)
    variance = all_reduce(centred.square().sum(others)) / count
    with torch.no_grad():  # the running statistics, as torch keeps them
        if running_mean is not None:
            running_mean.lerp_(mean.detach(), momentum)
        if running_var is not None:
            running_var.lerp_(variance.detach() * count / (count - 1), momentum)
    out: torch.Tensor = centred * (variance + eps).rsqrt().reshape(along)
    for vector, operation in ((weight, torch.mul), (bias, torch.add)):
        out = out if vector is None else operation(out, vector.reshape(along))
    return out.to(input.dtype)
