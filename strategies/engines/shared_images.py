"""Images that other processes see: as arrays, which they map instead of copying; nothing writes to them.

The test set stays behind: no trial may see it.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import torch

from bankwise.trainers.data import ImageData

_TENSORS = ("train_x", "train_y", "val_x", "val_y")


class SharedImages:
    """Image data that pickle as arrays; `data` are the images, without the test set.

    The strides travel too: torch chooses how to convolve by them, and with that the last bits of a result.
    """

    def __init__(self, data: ImageData):
        self.data = dataclasses.replace(data, _test=(data.val_x[:0], data.val_y[:0]))

    def __getstate__(self) -> dict[str, Any]:
        nothing: dict[str, Any] = dict.fromkeys((*_TENSORS, "_test"))
        arrays = {name: _flat(getattr(self.data, name)) for name in _TENSORS}
        return {"arrays": arrays, "data": dataclasses.replace(self.data, **nothing)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the arrays may not be written to, and are not
            tensors = {
                name: torch.from_numpy(array).as_strided(size, stride)
                for name, (array, size, stride) in state["arrays"].items()
            }
        test = tensors["val_x"][:0], tensors["val_y"][:0]
        self.data = dataclasses.replace(state["data"], **tensors, _test=test)


def _flat(tensor: torch.Tensor) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """The elements as they lie in memory (without gaps), size and strides."""
    in_order = tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
    tensor = tensor if in_order else tensor.contiguous()
    return tensor.as_strided((tensor.numel(),), (1,)).numpy(), tuple(tensor.shape), tensor.stride()
