"""The choice among plans by what each reaches with the supernet's shared weights."""

from __future__ import annotations

import copy

import numpy as np
from nni.mutable import Sample

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.nni.nas.space import BankSpace
from bankwise.strategies.engines.nni.nas.supernet import SampledBankLayer
from bankwise.trainers.data import ImageData
from bankwise.trainers.evaluate import measure_on, recalibrate
from bankwise.trainers.metric import AUTO


def best_of(
    space: BankSpace, data: ImageData, plans: int = 32, images: int = 500, seed: int = 0, metric: str = AUTO
) -> Sample:
    """Of up to `plans` plans drawn uniformly within the budget, the one of highest `metric` on the first `images` of
    the validation split. `space` is a supernet that RandomOneShot has trained; it stays as it is."""
    if plans < 1:
        raise BankwiseError(f"plans={plans}: at least one plan must be compared")
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], Sample] = {}
    for _ in range(4 * plans):  # a small space may have fewer plans
        found = tuple(int(i) for i in space.budgeted.sample(rng))
        drawn.setdefault(found, space.budgeted.plan(found).codes)
        if len(drawn) == plans:
            break
    network = copy.deepcopy(space.network)
    layers = [module for module in network.modules() if isinstance(module, SampledBankLayer)]
    if not layers:
        raise BankwiseError("only a supernet of RandomOneShot runs single plans; train one first")

    def reached(sample: Sample) -> float:
        for layer in layers:
            layer.resample(memo=sample)
        recalibrate(network, data.train_x, batches=5, normalization=data.normalization)
        return measure_on(network, data, metric, images=images)

    return max(drawn.values(), key=reached)
