"""torchvision beside a CPU-only torch.

The wheel's `_C.so` may link CUDA. Where it cannot be loaded, `import torchvision` fails with "operator
torchvision::nms does not exist", although data sets, transforms and classifiers need no such operator. Detectors do, to
select boxes: `suppression.nms` then takes its place.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.suppression import nms


def import_torchvision() -> ModuleType:
    """The torchvision module. BankwiseError where it is missing or does not fit torch."""
    spec = importlib.util.find_spec("torchvision")  # finds the folder without running the package
    if spec is None:
        raise BankwiseError("torchvision is not installed; install it with: pip install torchvision")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    compiled = any(_loads(library) for folder in folders for library in folder.glob("_C.*"))
    if not compiled:
        _declare_operators()
    try:
        torchvision = importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BankwiseError(
            f"torchvision cannot be imported beside torch {torch.__version__}: {reason}; "
            "install the torchvision release that belongs to this torch"
        ) from error
    if not compiled:
        torchvision.ops.nms = torchvision.ops.boxes.nms = nms
    return torchvision


class CountsHaveValues(TorchFunctionMode):
    """Counts and lists have values on the meta device too, for constructors that compute sizes with tensors."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        valued = func in (torch.arange, torch.tensor)
        return func(*args, **({"device": "cpu"} | kwargs if valued else kwargs))


def _loads(library: Path) -> bool:
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


@functools.cache  # once a process, and the Library must stay alive: its declarations end with it
def _declare_operators() -> torch.library.Library:
    """Declare the schemas torchvision describes at import; calling such an operator still fails, clearly."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
