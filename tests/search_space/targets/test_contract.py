"""Every target: as long as planned, the same bytes every time, and an error for what it cannot hold."""

import dataclasses
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import KINDS
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets import TARGETS, Target, make_target
from bankwise.search_space.targets.file.target import FileTarget
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import VECTORS

NETWORK = build("tiny", classes=10, in_channels=1)
SPACES = [
    SearchSpace(
        trace(NETWORK, "tiny", (1, 8, 8), 10, keep),
        SpaceSettings(KINDS, KINDS, KINDS, keep=keep, vector_bits=bits, vectors=vectors),
    )
    for keep in ((), ("0",))
    for bits, vectors in ((4, ()), (8, tuple(VECTORS)), (16, ()), (32, ()))
]
each_target = pytest.mark.parametrize("target", [target() for target in TARGETS], ids=lambda target: target.name)


@st.composite
def packed(draw):
    """A shape, a plan of it and the codes of an untrained child."""
    space = draw(st.sampled_from(SPACES))
    plan = space.plan([draw(st.integers(0, size - 1)) for size in space.sizes])
    child = build_child(NETWORK, space.shape, plan, draw(st.integers(0, 99))).eval()
    return space.shape, plan, pack(child, space.shape, plan)


@each_target
@settings(max_examples=10, deadline=None)
@given(example=packed())
def test_size_is_the_length_of_what_is_written_and_the_bytes_are_always_the_same(target: Target, example):
    shape, plan, codes = example
    written, size = target.write(shape, plan, codes), target.size(shape, plan)
    assert sum(size.values()) == target.counted(written)
    assert target.write(shape, plan, dict(reversed(codes.items()))) == written
    owners = {owner for owner, _ in size}
    assert owners <= {"", *(layer.name for layer in shape.layers), *(norm.name for norm in shape.norms),
                      *(tensor.name for tensor in shape.tensors)}  # fmt: skip


@each_target
def test_a_plan_of_another_network_is_refused(target: Target):
    shape = SPACES[0].shape
    plan = dataclasses.replace(SPACES[0].plan([0] * len(SPACES[0].sizes)), network="small")
    for call in (lambda: target.size(shape, plan), lambda: target.write(shape, plan, {})):
        with pytest.raises(BankwiseError, match="small"):
            call()


@each_target
@settings(max_examples=3, deadline=None)
@given(example=packed())
def test_saved_as_written(tmp_path_factory, target: Target, example):
    shape, plan, codes = example
    path, written = tmp_path_factory.mktemp("target") / "model", target.write(shape, plan, codes)
    assert target.save(path, shape, plan, codes) == target.counted(written)
    if isinstance(written, bytes):
        assert path.read_bytes() == written
    else:
        assert {file.name: file.read_bytes() for file in path.iterdir()} == written


@each_target
def test_names_and_help(target: Target):
    assert type(make_target(target.name)) is type(target) and target.help and target.name.isidentifier()


def test_targets_by_name_and_a_users_own():
    assert len({target.name for target in TARGETS}) == len(TARGETS)
    sys.modules["target_of_a_user"] = module = types.ModuleType("target_of_a_user")
    module.Mine = type("Mine", (FileTarget,), {"name": "mine"})
    assert make_target("target_of_a_user:Mine").name == "mine"
    module.Other = dict
    with pytest.raises(BankwiseError, match="Other"):
        make_target("target_of_a_user:Other")
    with pytest.raises(BankwiseError, match="unknown target 'fil': did you mean file"):
        make_target("fil")
