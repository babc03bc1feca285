"""A family of a user's own, named `module:Name`: planned, trained, written, read with permission alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import choice_from_code, choice_from_dict
from bankwise.search_space.layer import build_child
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.conversion import candidates, check_feasible
from bankwise.strategies.scores import log_capture
from bankwise.trainers.data import to_input
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe

SOURCE = """
import math
from dataclasses import dataclass
from typing import ClassVar

from bankwise.search_space.basis.latent import LatentWeight
from bankwise.search_space.families import Binary, Choice
from bankwise.search_space.part import Part


@dataclass(frozen=True)
class Ternary(Choice):
    family: ClassVar[str] = "ternary"
    letter: ClassVar[str] = "R"
    summary: ClassVar[str] = "-1, 0 or 1 for every weight"

    def parts(self, shape):
        return (Part("trits", shape.weight_shape, 2, paper=True),)

    def rate(self, shape):
        return math.log2(3)

    def capture(self, shape):
        return 0.81

    def basis(self, shape, generator=None):
        return TernaryBasis(shape, generator)

    def rounded(self, latent):
        trits = ternary(latent)
        return trits * (latent * trits).sum() / trits.abs().sum().clamp(min=1)

    def weight(self, shape, codes):
        return codes["trits"].float() - 1


def ternary(weight):
    return weight.sign() * (weight.abs() > 0.7 * weight.abs().mean((1, 2, 3), keepdim=True))


class TernaryBasis(LatentWeight):
    def forward(self):
        return ternary(self.latent.detach()) + (self.latent - self.latent.detach())

    def codes(self):
        return {"trits": ternary(self.latent.detach()).long() + 1}


@dataclass(frozen=True)
class Clash(Ternary):
    family: ClassVar[str] = "clash"
    letter: ClassVar[str] = "S"


@dataclass(frozen=True)
class Unfinished(Choice):
    family: ClassVar[str] = "unfinished"
"""
NAME = "family_of_a_user:Ternary"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "family_of_a_user.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("family_of_a_user", None)


def test_it_is_planned_trained_written_and_read(task):
    space = BudgetedSpace(SearchSpace(task.shape, SpaceSettings(hidden=("stacked", NAME))), Budget(20_000))
    ternary = choice_from_dict({"family": NAME})
    assert all(ternary in row for row in space.space.choices[1:-1])
    names = space.space.names
    plan = space.plan(space.solve(log_capture(space)))
    assert {plan.layers[name] for name in names[1:-1]} == {ternary}
    assert Plan.from_dict(plan.to_dict()) == plan and plan.to_dict()["layers"][names[1]] == {"family": NAME}
    child = build_child(task.network, task.shape, plan, seed=0, teacher=task.teacher)
    train(child, task.data, Recipe(epochs=1))
    written = encode(task.shape, plan, pack(child.eval(), task.shape, plan))
    assert len(written) == price(task.shape, plan).file_bytes
    table = space.space.prices
    assert int(table.plan_file_bytes(space.space.indices(plan)[None])[0]) == len(written)
    x = to_input(task.data.val_x[:50])
    logits = decode(written, allow_code=True).network()(x)
    assert (logits - child(x)).abs().max() <= 0.05 * child(x).abs().max()
    with pytest.raises(BankwiseError, match=f"family '{NAME}' is code of your own; allow_code=True"):
        decode(written)
    sys.modules.pop("family_of_a_user")
    for allowed in (False, True):  # as another process reads it
        if allowed:
            assert torch.equal(decode(written, allow_code=True).network()(x), logits)
            continue
        for read in (lambda: decode(written), lambda: Plan.from_dict(plan.to_dict())):
            with pytest.raises(BankwiseError, match="allow_code"):
                read()
        assert "family_of_a_user" not in sys.modules


def test_a_conversion_tries_it(task):
    check_feasible(task.shape, (NAME, "int2"), Budget(20_000))
    found = candidates(task.teacher, task.shape, (NAME, "int2"))
    for row, errors in zip(found.choices, found.errors, strict=True):
        assert [choice.family for choice in row] == ["ternary", "integer"] and (errors > 0).all()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("family_of_a_user:Clash", "families Stacked and Clash have the same letter 'S'"),
        ("family_of_a_user:Unfinished", "lacks basis, capture, parts, rate, weight, letter"),
        ("family_of_a_user:Nothing", "has no class 'Nothing'"),
        ("family_of_a_user:ternary", "is not a subclass of"),
        ("family_of_a_user:Binary", "name it 'binary'"),
        ("no_such_module:Ternary", "cannot import 'no_such_module'"),
        ("family of a user:Ternary", "is not package.module:Name"),
    ],
)
def test_what_is_no_family_is_one_line(kind, words):
    with pytest.raises(BankwiseError, match=words) as raised:
        SpaceSettings(hidden=("stacked", kind))
    assert "\n" not in str(raised.value)


def test_two_families_of_users_differ_by_their_names(tmp_path):
    (tmp_path / "another_family.py").write_text(SOURCE)
    SpaceSettings(hidden=(NAME, "another_family:Ternary"))
    codes = [f"{reference}/" for reference in (NAME, "another_family:Ternary")]
    choices = [choice_from_code(code, allow_code=True) for code in codes]
    assert choices[0] != choices[1] and [choice.code() for choice in choices] == codes
