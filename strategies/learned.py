"""The constants of the closed form, fitted to the trainings of results/bench: `python results/bench/fit.py`.

A plan's score is the sum over layers of e^importance times the log worth of the layer's choice (`strategies.scores`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Constants:
    """What importance a layer has is a sum of: `weights` times the log of its number of weights, `positions` times the
    log of its output positions, both less their means over the layers, `depth` times its place in the network, -1/2 at
    the first layer to 1/2 at the last, and `first` or `last`, where it is that.

    What a choice is worth is the log of the share of the weight's energy that it captures, and: `split` times the log
    of the parts that it cuts the kernel into, `bank` times the log of its bank's size, `dimension` times the log of its
    sub-channels, and what its family has in `families` (0 where it is not there). In a depthwise layer one scale for
    all filters has `shared_depthwise` besides (results/vectors/depthwise.py).
    """

    weights: float = 0.0
    positions: float = 0.0
    depth: float = 0.0
    first: float = 0.0
    last: float = 0.0
    split: float = 0.0
    bank: float = 0.0
    dimension: float = 0.0
    families: Mapping[str, float] = field(default_factory=dict)
    shared_depthwise: float = 0.0

    def __hash__(self) -> int:
        return hash((self.weights, self.positions, self.depth, tuple(sorted(self.families.items()))))


LEARNED = Constants(
    weights=-0.168,
    positions=-0.158,
    depth=0.214,
    first=0.231,
    last=0.078,
    split=-0.102,
    bank=-0.002,
    dimension=-0.001,
    families={
        "stacked": -0.012,
        "binary": -0.074,
        "integer": 0.0,
        "sparse": -0.007,
        "tiled": -0.016,
        "subbit": -0.01,
        "composite": -0.012,
    },
    shared_depthwise=-1.49,
)
