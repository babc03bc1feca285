"""Memory and operations of C sources, known for a whole space, are those of every plan's own sources."""

import numpy as np
import pytest
from torch import nn

from bankwise import plan
from bankwise.search_space.accounting import DEVICE, FILE, INT8_DEVICE
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.families import KINDS
from bankwise.search_space.limits import Limits
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.c.footprint import footprint
from bankwise.search_space.targets.c.target import ACTIVATIONS, CTarget
from bankwise.search_space.trace import trace
from bankwise.strategies.budgeted import BudgetedSpace

from .test_int8 import of_chance  # noqa: F401 (a fixture)
from .test_target import drawn, space_of, users_networks  # noqa: F401 (a fixture)

SPACES = [
    ("tiny", (1, 8, 8), KINDS, ()), ("small@0.5", (1, 12, 12), ("stacked", "sparse", "binary"), ()),
    ("resnet20@0.25", (3, 16, 16), ("stacked", "int4"), ()), ("networks_in_c:Mixed", (2, 13, 11), KINDS, ("norm",)),
    *((f"chance_in_c:net_{seed}", (2, 9, 9), KINDS, ()) for seed in range(20, 23)),
]  # fmt: skip


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize(("name", "input_shape", "kinds", "keep"), SPACES, ids=[space[0] for space in SPACES])
def test_arena_and_operations_are_those_of_every_plan(of_chance, activations, name, input_shape, kinds, keep):  # noqa: F811
    space = space_of(name, input_shape, kinds, keep)
    space = space.cut([range(0, size, 1 + size // 20) for size in space.sizes])
    target = CTarget(activations=activations)
    found = footprint(target, space)
    for seed in range(10):
        one = drawn(space, seed)
        arena = target.program(space.shape, one).arena
        assert arena.bytes == found.arena_bytes
        steps = [step for step in arena.steps if step.operations]
        indices = space.indices(one)
        assert sum(step.operations for step in steps) == sum(
            int(row[i]) for row, i in zip(found.operations, indices, strict=True)
        )


@pytest.mark.parametrize("accounting", [DEVICE, INT8_DEVICE], ids=lambda one: one.name)
def test_max_ram_is_the_arena_and_max_ops_are_what_the_sources_do(accounting):
    space = space_of("small@0.5", (1, 12, 12), ("stacked",))
    target, budget = CTarget(activations=accounting.activations), Budget(6000, accounting.name)
    arena = target.arena_bytes(space.shape, drawn(space, 0))
    with pytest.raises(InfeasibleBudget, match=f"max-ram of {arena - 1:,} bytes cannot be met.* at least {arena:,}$"):
        BudgetedSpace(space, Limits(budget, max_ram=arena - 1))
    held = BudgetedSpace(space, Limits(budget, max_ram=arena))
    assert held.sizes == space.sizes
    scores = [np.array([choice.capture(layer) for choice in row], float)
              for layer, row in zip(space.shape.layers, space.choices, strict=True)]  # fmt: skip

    def done(limited):
        """The operations of the best plan's sources."""
        best = limited.plan(limited.solve(scores))
        return sum(step.operations for step in target.program(space.shape, best).arena.steps)

    free = done(held)
    for share in (0.7, 0.9):
        assert done(BudgetedSpace(space, Limits(budget, arena, int(share * free)))) <= share * free
    with pytest.raises(InfeasibleBudget, match="max-ops of 1,000 cannot be met"):
        BudgetedSpace(space, Limits(budget, max_ops=1000))


def test_int8_takes_less_memory_and_the_file_is_as_it_was():
    space = space_of("small@0.5", (1, 12, 12), ("stacked",))
    (large, _), (small, rows) = DEVICE.memory(space), INT8_DEVICE.memory(space)
    assert small < large / 2 and all((row == small).all() for row in rows)
    assert FILE.memory(space) == (space.shape.peak_live_bytes, space.prices.merge_peak_bytes)


def test_a_network_in_memory_is_given_or_one_line():
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)).eval()
    space = SearchSpace(trace(module, IN_MEMORY, (1, 8, 8), 3), SpaceSettings())
    limits = Limits(Budget(1000, "device"), max_ram=10**6, max_ops=10**6)
    assert BudgetedSpace(space, limits, module).cut([[0], [0]]).sizes == (1, 1)
    with pytest.raises(BankwiseError, match="in memory"):
        BudgetedSpace(space, limits)


def test_a_module_is_planned_within_its_arena():
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)).eval()
    given = {"input_shape": (1, 8, 8), "classes": 3, "accounting": "device-int8"}
    arena = 4 * (6 * 36 // 4 + 36 + 9)  # the maps, then the sums and the taps of one filter
    assert plan(module, 600, max_ram=arena, **given).plan is not None
    with pytest.raises(InfeasibleBudget, match=f"at least {arena:,}$"):
        plan(module, 600, max_ram=arena - 1, **given)


def test_what_cannot_run_in_c_is_one_line_by_name():
    space = space_of("networks_in_c:Transposed", (1, 8, 8))
    with pytest.raises(BankwiseError, match=r"shuffle \(ChannelShuffle\) cannot run in C"):
        BudgetedSpace(space, Limits(Budget(10**6, "device"), max_ram=10**6))
