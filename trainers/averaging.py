"""The mean of the weights of a training's last steps (Izmailov et al. 2018, arXiv 1803.05407, of every step).

A child's latent weights are averaged before they are rounded: signs and selections that flip to and fro settle.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class TailMean:
    """The running mean of the parameters of `model` over the last `share` of `steps` steps.

    Parameters that are not finite where it begins, such as logits masked by -inf, are left as they are.
    """

    def __init__(self, model: nn.Module, share: float, steps: int):
        self.parameters = [one for one in model.parameters() if one.requires_grad and one.is_floating_point()]
        self.first = steps - math.ceil(share * steps)
        self.count = 0
        self.means: list[torch.Tensor] = []

    def begin(self, count: int, means: list[torch.Tensor]) -> None:
        """Go on from the `state` of an interrupted training."""
        self.count, self.means = count, [mean.to(own) for mean, own in zip(means, self.parameters, strict=False)]

    def state(self) -> dict[str, Any]:
        """`count` and `means`, as `begin` takes them."""
        return {"count": self.count, "means": self.means}

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Take the weights after step number `step`, from 0 on, into the mean."""
        if step < self.first:
            return
        if not self.means:
            self.means = [torch.zeros_like(one) for one in self.parameters]
        self.count += 1
        torch._foreach_lerp_(self.means, [one.detach() for one in self.parameters], 1 / self.count)

    @torch.no_grad()
    def give(self) -> None:
        """Set the parameters to their means."""
        for own, mean in zip(self.parameters, self.means, strict=False):
            if torch.isfinite(mean).all():
                own.copy_(mean)
