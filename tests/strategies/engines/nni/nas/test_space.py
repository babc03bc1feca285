"""The space keeps NNI's contracts: labels, samples, freezing, and being made anew in another process."""

from __future__ import annotations

import copy
import json

import nni
import numpy as np
import pytest
import torch
from nni.mutable import Categorical
from nni.mutable.exception import SampleValidationError
from nni.nas.nn.pytorch import MutableModule
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace, model_context
from numpy.random import RandomState

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.layer import GeneratedLayer, build_child
from bankwise.search_space.limits import Limits
from bankwise.search_space.packing import pack
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace, SpaceSettings
from bankwise.search_space.targets.file.container import encode
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas import BankSpace
from bankwise.strategies.engines.nni.nas.layer import BankLayer
from bankwise.strategies.engines.nni.nas.source import SpaceSource


def dearest(space: BudgetedSpace) -> dict[str, str]:
    return PlanEncoding(space).encode([int(row.argmax()) for row in space.costs])


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_every_layer_is_one_labelled_categorical(task, space):
    bank_space = BankSpace.of(task, space)
    found = bank_space.simplify()
    assert {label: mutable.values for label, mutable in found.items()} == PlanEncoding(space).codes
    assert all(isinstance(mutable, Categorical) for mutable in found.values())
    descendants = dict(bank_space.named_mutable_descendants())
    assert list(descendants) == [f"network.{name}" for name in space.space.names]
    assert all(type(module) is BankLayer for module in descendants.values())
    assert len(BankSpace.of(task, space, most=4).simplify()["1.0"].values) <= 5


def test_unfrozen_it_is_the_uncompressed_network(task, space, awkward, awkward_space):
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(BankSpace.of(awkward, awkward_space).eval()(x), copy.deepcopy(awkward.network).eval()(x))
    assert torch.equal(BankSpace.of(task, space).eval()(x), task.teacher(x))  # and where it is taught, the teacher


def test_contains_and_validation(task, space):
    bank_space = BankSpace.of(task, space)
    sample = PlanEncoding(space).encode([0] * len(space.sizes))
    assert bank_space.contains(sample) and bank_space.contains(sample | {"of an evaluator": 1})
    for wrong in (sample | {"0.0": "S999.1.3x3"}, {name: code for name, code in sample.items() if name != "6"}):
        error = bank_space.check_contains(wrong)
        assert isinstance(error, SampleValidationError)
        with pytest.raises(SampleValidationError):
            bank_space.freeze(wrong)


def test_a_sample_freezes_to_the_projects_child(task, space):
    bank_space = BankSpace.of(task, space, seed=5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        sample = PlanEncoding(space).encode(space.sample(rng))
        child = bank_space.freeze(sample)
        plan = space.plan(PlanEncoding(space).indices(sample))
        assert child.bankwise_plan == plan == bank_space.plan(sample) and plan.codes == sample
        assert not any(isinstance(module, MutableModule) for module in child.modules())
        assert same(child, build_child(task.network, task.shape, plan, 5, task.teacher))
    data = encode(task.shape, plan, pack(child, task.shape, plan))
    assert len(data) == price(task.shape, plan).file_bytes <= space.budget.bytes


def test_a_sample_over_the_budget_freezes_to_its_projection(task, space):
    bank_space = BankSpace.of(task, space)
    sample = dearest(space)
    plan = bank_space.freeze(sample).bankwise_plan
    assert price(task.shape, space.plan(PlanEncoding(space).indices(sample))).file_bytes > space.budget.bytes
    assert price(task.shape, plan).file_bytes <= space.budget.bytes
    assert plan == space.plan(PlanEncoding(space).decode(sample))


def test_nni_can_sample_it(task, space):
    bank_space = BankSpace.of(task, space, most=6)
    memo: dict = {}
    child = bank_space.random(memo, RandomState(0))
    assert bank_space.contains(memo) and child.bankwise_plan == bank_space.plan(memo)
    assert bank_space.default(default := {}).bankwise_plan == bank_space.plan(default)
    assert RawFormatModelSpace(bank_space, None).freeze(memo).executable_model().bankwise_plan == bank_space.plan(memo)


def test_shared_layers_slashes_and_single_choices(awkward, awkward_space):
    bank_space = BankSpace.of(awkward, awkward_space)
    assert set(bank_space.simplify()) == {"in/out", "twice", "head"}
    assert len(bank_space.simplify()["head"].values) == 1
    network = bank_space.network
    places = (network.twice, network.again, network.block[1], network.blocks[1][1])
    assert all(type(place) is BankLayer and place.original is network.twice.original for place in places)
    child = bank_space.freeze(PlanEncoding(awkward_space).encode(awkward_space.project([0, 0, 0])))
    assert isinstance(child.twice, GeneratedLayer)
    assert child.twice is child.again is child.block[1] is child.blocks[1][1]
    assert child(torch.randn(3, 1, 8, 8)).shape == (3, 10)


def test_a_layer_freezes_alone_too(awkward, awkward_space):
    layer = BankSpace.of(awkward, awkward_space).network.head
    frozen = layer.freeze({"head": "F32"})
    assert torch.equal(frozen.generated()[:, :, 0, 0], awkward.network.head.weight)
    assert torch.equal(frozen.bias, awkward.network.head.bias)


def test_the_same_space_is_made_from_plain_values(task, space):
    """What NNI does in a trial's process: load the dumped model, make the child without the task."""
    bank_space = BankSpace.of(task, space, most=6, seed=task.recipe.seed)
    simplified = SimplifiedModelSpace.from_model(bank_space)
    sample = dearest(bank_space.budgeted)
    sent = nni.dump(simplified.freeze(sample))
    assert "tensor" not in sent
    child = nni.load(sent).executable_model()
    assert child.bankwise_plan == bank_space.plan(sample)
    untaught = build_child(task.network, task.shape, child.bankwise_plan, task.recipe.seed)
    assert same(child, untaught)
    with model_context(sample):
        taught = BankSpace(**bank_space.trace_kwargs, task=task)
    assert same(taught, bank_space.freeze(sample))
    again = BankSpace(**json.loads(json.dumps(bank_space.trace_kwargs)))
    assert {label: one.values for label, one in again.simplify().items()} == PlanEncoding(bank_space.budgeted).codes
    assert again.budgeted.budget == space.budget and again.shape == task.shape


def test_other_labels_are_kept_apart(task, space):
    bank_space = BankSpace.of(task, space)
    sample = PlanEncoding(space).encode(space.project([0] * len(space.sizes)))
    assert bank_space.plan(sample | {"lr": 0.1}).codes == sample
    with pytest.raises(BankwiseError, match="no value for layer '1.0'"):
        bank_space.plan({name: code for name, code in sample.items() if name != "1.0"})


def test_every_limit_survives_the_plain_values(task):
    whole = SearchSpace(task.shape, SpaceSettings(max_k=8, vector_bits=16))
    ram = max(task.shape.peak_live_bytes, *(int(row.min()) for row in whole.prices.merge_peak_bytes))
    least = sum(int(row.min()) for row in BudgetedSpace(whole, Limits(Budget(700, "paper"), max_ram=ram)).operations)
    space = BudgetedSpace(whole, Limits(Budget(700, "paper"), max_ram=ram, max_ops=3 * least))
    made = SpaceSource(**json.loads(json.dumps(SpaceSource.of(space).to_dict()))).space(task.shape)
    assert PlanEncoding(made).codes == PlanEncoding(space).codes
    for mine, other in ((made.costs, space.costs), (made.operations, space.operations)):
        assert all((a == b).all() for a, b in zip(mine, other, strict=True))
    assert (made.capacity, made.max_ops, made.budget) == (space.capacity, space.max_ops, space.budget)
    assert made.plan([0] * len(made.sizes)) == space.plan([0] * len(made.sizes))


def test_an_infeasible_budget_is_said_before_anything_else(task, space):
    source = SpaceSource.of(space).to_dict() | {"budget": 300}
    with pytest.raises(InfeasibleBudget, match="budget of 300 bytes"):
        BankSpace(source, task=task)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ({"1.1": ["B"]}, "unknown layer '1.1'"),
        ({"1.0": []}, "layer '1.0' has no choices"),
        ({"1.0": ["S3.5.3x3"]}, "layer '1.0': S3.5.3x3"),
        ({"1.0": ["bad"]}, "'bad' is not a choice's code"),
    ],
)
def test_codes_that_cannot_be_are_named(task, space, codes, said):
    source = SpaceSource.of(space).to_dict()
    with pytest.raises(BankwiseError, match=said):
        BankSpace(source | {"codes": source["codes"] | codes}, task=task)
