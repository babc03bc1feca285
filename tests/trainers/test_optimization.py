"""Parameter groups and schedules."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from bankwise.search_space.families import Sparse, Stacked, Subbit, Tiled
from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.shape import LayerShape
from bankwise.trainers.optimization import make_optimizer, make_schedule, parameter_groups
from bankwise.trainers.recipe import Recipe


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.norm = nn.LayerNorm((4, 4))
        self.tied = self.convolution.weight
        self.bank = nn.Parameter(torch.zeros(2, 2))
        self.logits = nn.Parameter(torch.zeros(2, 3))
        self.inner = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)

    def no_weight_decay(self) -> set[str]:
        return {"bank", "inner.1.weight", "gone"}


def test_every_trainable_parameter_is_in_its_group_once():
    model = copy.deepcopy(Small())  # what is said of parameters survives it
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
        id(model.logits): (0.5, 0.25),
        id(model.inner[0].weight): (0.5, 0.25),
        id(model.inner[1].weight): (0.5, 0.0),
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
            seen.append({group["lr"] for group in optimizers.param_groups})
            optimizers.step()
            rates.step()
        plain = [rate for (rate,) in seen]  # the same in all groups
        assert all(0 <= rate <= 0.5 for rate in plain)
        if schedule == "cosine":
            wanted = [0.25 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
            assert plain == pytest.approx(wanted)
        elif steps == 1:
            assert plain[0] > 0.25, "the only step trains"
        elif steps > 9:
            assert max(plain) > 0.45 and plain[0] == pytest.approx(0.5 / 25) and plain[-1] < 1e-4


@pytest.mark.parametrize("choice", [Stacked(4, 2, (3, 3)), Sparse(4, 2, (3, 3), 2, 2, 1), Tiled(2), Subbit(3)], ids=str)
def test_banks_have_no_decay_in_copies_either(choice):
    layer = copy.deepcopy(GeneratedLayer(LayerShape("conv", "conv2d", 4, 2, (3, 3), normalized=True), choice))
    groups = parameter_groups(nn.ModuleDict({"conv": layer}), Recipe(weight_decay=0.25))
    decayed = {id(one) for group in groups if group["weight_decay"] for one in group["params"]}
    assert {name for name, one in layer.basis.named_parameters() if id(one) in decayed} <= {"latent"}
