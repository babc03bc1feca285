"""Parameter groups and schedules."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from trainers.optimization import make_optimizer, make_schedule, parameter_groups
from trainers.recipe import Recipe


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.norm = nn.LayerNorm((4, 4))
        self.tied = self.convolution.weight
        self.bank = nn.Parameter(torch.zeros(2, 2))
        self.bank.no_decay = True
        self.logits = nn.Parameter(torch.zeros(2, 3))
        self.logits.lr_scale = 10.0
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def test_every_trainable_parameter_is_in_its_group_once():
    model = Small()
    recipe = Recipe(lr=0.5, weight_decay=0.25)
    found = {}
    for group in parameter_groups(model, recipe):
        for parameter in group["params"]:
            assert id(parameter) not in found
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    assert found == {
        id(model.convolution.weight): (0.5, 0.25),
        id(model.convolution.bias): (0.5, 0.0),
        id(model.norm.weight): (0.5, 0.0),
        id(model.norm.bias): (0.5, 0.0),
        id(model.bank): (0.5, 0.0),
        id(model.logits): (5.0, 0.25),
    }


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 101])
def test_schedules_last_for_their_steps(optimizer, steps):
    for schedule in ("one-cycle", "cosine"):
        model = Small()
        recipe = Recipe(optimizer=optimizer, schedule=schedule, lr=0.5)
        optimizers = make_optimizer(model, recipe)
        rates = make_schedule(optimizers, recipe, steps)
        seen = []
        for _ in range(steps):
            seen.append(sorted({group["lr"] for group in optimizers.param_groups}))
            optimizers.step()
            rates.step()
        assert all(math.isclose(high, 10 * low) for low, high in seen)
        plain = [low for low, _ in seen]
        assert all(0 <= rate <= 0.5 for rate in plain)
        if schedule == "cosine":
            wanted = [0.25 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
            assert plain == pytest.approx(wanted)
        elif steps > 9:
            assert max(plain) > 0.45 and plain[0] == pytest.approx(0.5 / 25) and plain[-1] < 1e-4
