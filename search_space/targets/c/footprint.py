"""What C sources take on a device, for every plan of a space at once: memory, and operations of every choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.c.target import CTarget


@dataclass(frozen=True)
class Footprint:
    """`arena_bytes` are those of every plan: no choice changes them, for a layer is only merged where the maps fit into
    what the network needs anyway. `operations` (choices,) a layer are additions and multiplications of one image by the
    way in which the layer is run."""

    arena_bytes: int
    operations: tuple[np.ndarray, ...]


def footprint(target: CTarget, space: SearchSpace, operations: bool = True) -> Footprint:
    """Of the sources of `target`; without `operations` those are left out, which saves time.

    Raises BankwiseError where the network, or a family of the space, cannot run in C.
    """
    base = space.plan([0] * len(space.choices))
    arena = target.program(space.shape, base).arena
    if not operations:
        return Footprint(arena.bytes, ())
    builder = target.builder(space.shape, base)
    places = {step.output: position for position, step in enumerate(arena.steps)}
    rows = [
        [
            max(arena.taken(places[step.output], step).operations for step in builder.ways(layer, choice))
            for choice in choices
        ]
        for layer, choices in zip(space.shape.layers, space.choices, strict=True)
    ]
    return Footprint(arena.bytes, tuple(np.array(row, dtype=np.int64) for row in rows))
