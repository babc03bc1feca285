"""A network as an ONNX graph of standard operators, for any number of images at a time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT, OUTPUT, BATCH = "images", "logits", "batch"
MOST_BYTES = 2**31  # of a protocol buffer


def graph(module: nn.Module, images: torch.Tensor, tensors: Mapping[str, torch.Tensor], opset: int) -> ModelProto:
    """The graph of `module(images, *tensors.values())`, in which the tensors are initializers of those names.

    They are inputs while it is traced, so that nothing is made of their values: no two are merged, none is folded, and
    the length of the model does not depend on them.

    Raises:
        BankwiseError: ONNX has not all operators of the network, or it gives something else than a tensor.
    """
    import onnx

    stored = sum(tensor.nbytes for tensor in tensors.values())
    if stored >= MOST_BYTES:
        raise BankwiseError(f"its weights take {stored:,} bytes; one file of ONNX holds less than {MOST_BYTES:,}")
    stream: Any = io.BytesIO()  # torch takes it, its types do not say so
    try:
        with _plainly():
            torch.onnx.export(
                module,
                (images, *tensors.values()),
                stream,
                dynamo=False,  # the other exporter needs onnxscript
                input_names=[INPUT, *tensors],
                output_names=[OUTPUT],
                opset_version=opset,
                dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
                training=torch.onnx.TrainingMode.PRESERVE,  # batch norms are not folded into weights that mean nothing
                do_constant_folding=True,  # of shapes
            )
    except BankwiseError:
        raise
    except Exception as error:
        raise BankwiseError(f"opset {opset} of ONNX cannot hold the network: {error_line(error)}") from error
    model: ModelProto = onnx.load_from_string(stream.getvalue())
    del model.graph.input[1:], model.graph.value_info[:]
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items() if name in used
    )
    return model


@contextmanager
def _plainly() -> Iterator[None]:
    """Attention in operators that ONNX has, and nothing printed: neither warnings of what tracing may miss (what is
    written is compared with the network), nor the whole graph where an operator is not known."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), patch.object(torch._C, "_jit_onnx_log", lambda *_: None, create=True):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
