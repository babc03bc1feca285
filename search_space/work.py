"""The multiplications of torch's operations, by the formulas of torch's own counter (`torch.utils.flop_counter`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.flop_counter import flop_registry, sdpa_flop_count

# Operations of many multiplications that have no formula: where a network runs them, its work is not known.
UNKNOWN = ("mkldnn_rnn_layer", "_trilinear", "_native_multi_head_attention", "_transformer_encoder_layer_fwd")


def multiplications(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> tuple[str, int | None]:
    """The operation's name, and its multiplications: those of convolutions, matrix products and attention, each with
    its addition; 0 for what only works element by element; None where they are many and not known."""
    name = func._overloadpacket.__name__
    return name, _count(name, func, args, kwargs, result)


def _count(name: str, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int | None:
    if name in UNKNOWN:
        return None
    if name in ("mv", "addmv", "dot", "vdot"):
        matrix = args[1] if name == "addmv" else args[0]
        return int(matrix.numel())
    if name == "_scaled_dot_product_flash_attention_for_cpu":
        return int(sdpa_flop_count(*(tensor.shape for tensor in args[:3]))) // 2
    formula = flop_registry.get(func._overloadpacket)
    if formula is None:
        return 0
    return int(formula(*args, **kwargs, out_val=result)) // 2  # the counter counts multiplications and additions
