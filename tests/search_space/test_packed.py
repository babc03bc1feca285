from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bankwise import BankwiseError, Child, convert, load, pack, plan, save
from bankwise.search_space.families import choice_from_code
from bankwise.search_space.packed import unrounded
from bankwise.search_space.packing import pack as pack_codes
from bankwise.search_space.targets.file.container import encode
from bankwise.trained import open_trained

IMAGES = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Peeks(nn.Module):
    """Multiplies its logits by what `peek` reads of its norm."""

    def __init__(self, peek):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, 3)
        self.peek = peek

    def forward(self, x):
        h = self.norm(self.conv(x))
        return self.head(h.relu().flatten(1)) * self.peek(self.norm)


def trained(module: nn.Module) -> nn.Module:
    """With statistics that are not those of a new norm."""
    torch.manual_seed(0)
    with torch.no_grad():
        module.norm.weight.copy_(torch.rand(8) + 0.5)
        for _ in range(30):
            module.train()(IMAGES * 3)
    return module.eval()


def test_what_a_python_number_says_of_a_norm_is_in_no_file(tmp_path):
    """No operation reads the norm, so that nothing but the outputs tells."""
    module = trained(Peeks(lambda norm: 3 * float(norm.running_var.mean()) + norm.eps * 1e5))
    chosen = plan(module, "4KiB", input_shape=(1, 8, 8), classes=3).plan
    child = Child(module, chosen)
    child(IMAGES)
    with pytest.raises(BankwiseError, match="gives other outputs when it is packed and read back"):
        save(child, tmp_path / "no.bankwise")
    opened = open_trained(module, input_shape=(1, 8, 8), classes=3)
    with pytest.raises(BankwiseError, match="gives other outputs when it is packed and read back"):
        convert(opened, None, "2x", tmp_path / "no.bankwise", kinds=["int8"])
    assert list(tmp_path.iterdir()) == []


class Twice(nn.Module):
    """One norm behind two layers, as a module and as a function."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(128, 3)

    def forward(self, x):
        n, h = self.norm, self.norm(self.first(x)).relu()
        again = F.batch_norm(
            self.second(h), n.running_mean, n.running_var, n.weight, n.bias, self.training, n.momentum, n.eps
        )
        return self.head(again.relu().flatten(1))


def test_a_norm_that_is_used_once_more_has_the_scale_of_neither_layer(tmp_path):
    module = trained(Twice())
    opened = open_trained(module, input_shape=(1, 8, 8), classes=3)
    done = convert(opened, None, "2x", tmp_path / "x.bankwise", kinds=["int8"])
    mine, packed = module(IMAGES), load(done.model, network=module)(IMAGES)
    assert (mine - packed).abs().max() < 0.03 * mine.abs().max()


def test_a_child_is_compared_on_images_that_it_was_trained_on_or_on_a_ramp():
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    child = Child(module, plan(module, "2KiB", input_shape=(1, 8, 8), classes=3).plan)
    assert child.some_images().shape == (1, 1, 8, 8) and child.some_images().aminmax() == (-1, 1)
    child(IMAGES)
    assert torch.equal(child.some_images(), IMAGES[:2])
    assert len(pack(child)) <= 2048


def test_vectors_that_a_training_rounds_stay_rounded():
    chosen = plan("tiny", "900B").plan
    layers = dict(zip(chosen.layers, ["I4v8", "Bs4", "Bv4", "B", "Bv16"], strict=True))
    mixed = dataclasses.replace(chosen, layers={name: choice_from_code(code) for name, code in layers.items()})
    assert list(unrounded(mixed).codes.values()) == ["I4", "Bs4", "Bv4", "B", "B"]
    assert unrounded(mixed).vector_bits == 32


def test_codes_of_other_parts_are_no_file():
    """They would move all that comes behind them."""
    child = Child("tiny", plan("tiny", "900B").plan)
    codes = pack_codes(child.network, child.shape, child.plan)
    (owner, part), value = next((key, one) for key, one in codes.items() if one.numel() > 1)
    with pytest.raises(BankwiseError, match=f"{owner}: {part} has {value.numel() + 8} elements, its price is of"):
        encode(
            child.shape,
            child.plan,
            codes | {(owner, part): torch.cat([value.flatten(), torch.zeros(8, dtype=torch.int64)])},
        )
