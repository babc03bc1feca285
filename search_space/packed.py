"""Whether the network that is read back is the one that was packed.

A file holds the layers, norms and kept tensors of a network. One that reads the weights of its layers or the statistics
of its norms beside their calls, or has state in no tensor, is another one when it is read back.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.outputs import finite_logits
from bankwise.search_space.packing import assemble, blank, pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape

_TOLERANCE = 0.05  # of outputs, relative to the largest: kept tensors are rounded to half precision


def unrounded(plan: Plan) -> Plan:
    """The plan with every vector in 32 bits, but for those whose rounding a training knows of."""
    layers = {
        name: choice if choice.stored(plan.vector_bits).coarse else choice.bare for name, choice in plan.layers.items()
    }
    return replace(plan, layers=layers, vector_bits=32)


def check_packed(
    network: nn.Module,
    child: nn.Module,
    shape: NetworkShape,
    plan: Plan,
    images: torch.Tensor,
    module: nn.Module | None = None,
) -> None:
    """Raise BankwiseError unless what is packed from `child` gives the logits of `network` for the images, its vectors
    unrounded. `module` is the network where it is one in memory. Outputs that are no logits, or not finite, are not
    compared."""
    mine = finite_logits(network, images)
    if mine is None:
        return
    plan = unrounded(plan)
    packed = finite_logits(assemble(blank(plan, module), shape, plan, pack(child, shape, plan)), images.cpu())
    scale = max(float(mine.abs().max()), 1e-6)
    if packed is None or packed.shape != mine.shape or (mine.cpu() - packed).abs().max() > _TOLERANCE * scale:
        raise BankwiseError(
            f"network {shape.network!r} gives other outputs when it is packed and read back than before; does it read "
            "the weights of its layers or the statistics of its norms, or have state that is in no buffer?"
        )
