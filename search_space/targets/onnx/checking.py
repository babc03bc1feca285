"""Whether an ONNX model is sound, and gives the logits that the network gives."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.outputs import logits_of
from bankwise.search_space.targets.onnx.graph import INPUT, OUTPUT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLERANCE = 1e-4  # of the largest logit: both round to float32, in another order
_BATCHES = (1, 3)


def check(data: bytes, network: nn.Module, input_shape: tuple[int, int, int]) -> None:
    """onnx's own full check, then onnxruntime beside torch on random images, one and several at a time.

    Raises:
        BankwiseError: the model does not compute what the network does.
    """
    import onnx

    generator = torch.Generator().manual_seed(0)
    try:
        onnx.checker.check_model(data, full_check=True)
        session = open_session(data)
        for batch in _BATCHES:
            images = torch.rand(batch, *input_shape, generator=generator) * 2 - 1
            found = run(session, images)
            with torch.no_grad():
                wanted = logits_of(network(images))
            assert wanted is not None  # the model that was written has them
            if not (agree(found, wanted) or agree(found, wanted, rounding(network, images, wanted))):
                raise BankwiseError(
                    f"as ONNX the network gives other logits for {batch} image(s) than in torch: its operations depend "
                    "on values that a traced graph does not know"
                )
    except BankwiseError:
        raise
    except Exception as error:
        raise BankwiseError(f"as ONNX the network does not run: {error_line(error)}") from error


def agree(found: torch.Tensor, wanted: torch.Tensor, off: float = 0.0) -> bool:
    """Whether logits are equal within `TOLERANCE` of the largest, and ten times what `wanted` is `off` by rounding."""
    if found.shape != wanted.shape:
        return False
    finite = wanted[wanted.isfinite()]
    bound = TOLERANCE * float(finite.abs().max()) + 10 * off if finite.numel() else 0.0
    return torch.allclose(found, wanted, rtol=0.0, atol=bound, equal_nan=True)


@torch.no_grad()
def rounding(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor) -> float:
    """How far float32 logits are from those in double precision: far, where a network blows up what it rounds. At least
    one rounding of the largest value on the way, since terms may cancel. 0 where it runs in float32 alone."""
    twin, largest = copy.deepcopy(network).double(), 0.0

    def note(module: nn.Module, given: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, torch.Tensor):
            largest = max(largest, float(output.abs().nan_to_num(0.0, 0.0, 0.0).max()))

    for module in twin.modules():
        module.register_forward_hook(note)
    try:
        exact = logits_of(twin(images.double()))
    except RuntimeError:
        return 0.0
    assert exact is not None
    off = float((exact - wanted).abs().nan_to_num(0.0, 0.0).max())
    return max(off, torch.finfo(torch.float32).eps * largest)


def open_session(data: bytes) -> InferenceSession:
    """A session of onnxruntime on this CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(session: InferenceSession, images: torch.Tensor) -> torch.Tensor:
    """Logits of normalized float32 images (batch, channels, height, width)."""
    (logits,) = session.run([OUTPUT], {INPUT: images.numpy()})
    return torch.from_numpy(logits)
