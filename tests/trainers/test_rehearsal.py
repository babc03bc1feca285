"""Networks that would be trained or packed as another one, or fail behind the first training."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import random
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.trainers.data import ImageData, load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.rehearsal import rehearse
from bankwise.trainers.task import make_task


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=60)


def rehearsed(reference: str, data: ImageData, keep: tuple[str, ...] = (), network: nn.Module | None = None):
    task = make_task(reference, data, Recipe(), keep, network)
    return rehearse(task, SearchSpace(task.shape).smallest), task


class Base(nn.Module):
    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 36, num_classes)

    def maps(self, x):
        return F.relu(self.norm(self.conv(x)))

    def forward(self, x):
        return self.fc(self.maps(x).flatten(1))


class Shuffled(Base):
    """A permutation that is a persistent buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.randperm(288))

    def forward(self, x):
        return self.fc(self.maps(x).flatten(1)[:, self.order])


class Hidden(Shuffled):
    """One that is in no state dict."""

    def __init__(self):
        super().__init__()
        order = self.order
        del self.order
        self.register_buffer("order", order, persistent=False)


class Plain(Shuffled):
    """One that is an attribute."""

    def __init__(self):
        super().__init__()
        order = self.order
        del self.order
        self.order = order


class Listed(Shuffled):
    """One that is a list of numbers, which no tensor shows."""

    def __init__(self):
        super().__init__()
        del self.order
        self.order = random.sample(range(288), 288)


class Flag(Base):
    """A bool buffer that the constructor makes the same each time, and a training changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("live", torch.ones(8, dtype=torch.bool))

    def forward(self, x):
        maps = self.maps(x)
        if self.training:
            self.live = torch.arange(8, device=x.device) % 2 == 0
        return self.fc((maps * self.live[:, None, None]).flatten(1))


class Caches(Base):
    """Keeps what it saw last, and what it began with: nothing depends on them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(1), persistent=False)
        self.first = torch.randn(3)

    def forward(self, x):
        self.last = self.maps(x)
        return self.fc(self.last.flatten(1))


class Table(Base):
    """Whole numbers that half precision does not hold, as a parameter."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor([0, 2049, -(2**31), 2**31 - 1]), requires_grad=False)

    def forward(self, x):
        return super().forward(x) + self.table[0]


class Viewed(Base):
    """A view that maps in the channels-last layout do not have."""

    def forward(self, x):
        x = self.maps(x)
        return self.fc(x.view(x.size(0), -1))


class Attributes(Base):
    """Reads what its layers have as torch makes them."""

    def forward(self, x):
        x = x.to(self.conv.weight.dtype).to(self.conv.weight.device)
        assert self.conv.in_channels == 1 and self.conv.out_channels == 8 and self.conv.kernel_size == (3, 3)
        assert self.conv.stride == (1, 1) and self.conv.padding == (0, 0) and self.conv.groups == 1
        assert self.conv.weight.shape == (8, 1, 3, 3) and self.fc.weight.shape == (10, self.fc.in_features)
        return self.fc(self.maps(x).reshape(-1, self.fc.in_features))[:, : self.fc.out_features]


class Tied(nn.Module):
    """A decoder by the transposed weight of the encoder."""

    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(64, 16)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(F.linear(F.relu(self.enc(x.flatten(1))), self.enc.weight.t()))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 2, 2)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.layer(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


class Pair(Base):
    def forward(self, x):
        features = self.maps(x).flatten(1)
        return (self.fc(features), features) if self.training else self.fc(features)


class ViewedPair(Base):
    def forward(self, x):
        features = self.maps(x).view(x.size(0), -1)
        return (self.fc(features), features) if self.training else self.fc(features)


class Always(Base):
    def forward(self, x):
        features = self.maps(x).flatten(1)
        return self.fc(features), features


class Swapped(Base):
    def forward(self, x):
        features = self.maps(x).flatten(1)
        return (features, self.fc(features)) if self.training else self.fc(features)


class Named(Base):
    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits} if self.training else logits


class Broken(Base):
    def forward(self, x):
        if self.training:
            return self.fc(self.maps(x).flatten(1).missing)
        return super().forward(x)


class Patched(Base):
    """Its layers' weights are changed by hand in each training step."""

    def __init__(self):
        super().__init__()
        self.gain = torch.ones(1)

    def forward(self, x):
        if self.training:
            self.gain = self.gain + 1
        return super().forward(x) * self.gain


HERE = __name__


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(importlib.sys.modules, "own_networks", importlib.sys.modules[HERE])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Shuffled", r"buffer order \(int64, \(288,\)\) is not what a new build.*unless it is kept: --keep order$"),
        ("Hidden", "two builds .* give different outputs: order differs, .* make it a persistent buffer and keep it"),
        ("Plain", "two builds with equal parameters give different outputs: order differs, and no file holds it"),
        ("Listed", "two builds with equal parameters give different outputs: it draws or counts something"),
        ("Flag", r"buffer live \(bool, \(8,\)\) changes in training; .*: --keep live$"),
        ("Patched", "a training changes its outputs beside its parameters: gain differs, and no file holds it"),
        ("Swapped", r"^network 'own_networks:Swapped' gives \(\(2, 288\), \(2, 10\)\) in training, expected logits"),
        ("Named", r"^network 'own_networks:Named' gives dict in training, expected logits \(2, 10\)"),
        ("Broken", "cannot be trained: AttributeError: 'Tensor' object has no attribute 'missing'"),
    ],
)
def test_what_would_be_lost_or_fail_is_refused_by_name_before_any_training(name, words, data):
    with pytest.raises(BankwiseError, match=words) as caught:
        rehearsed(f"own_networks:{name}", data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Base", "Attributes", "Tied", "Caches", "Pair", "Always"])
def test_what_can_be_trained_keeps_its_recipe(name, data):
    assert rehearsed(f"own_networks:{name}", data)[0] == Recipe()


def test_maps_that_are_viewed_are_trained_in_the_contiguous_layout(data):
    for name in ("Viewed", "ViewedPair"):
        assert rehearsed(f"own_networks:{name}", data)[0] == Recipe(channels_last=False)


@pytest.mark.parametrize("name", ["Pair", "Always"])
def test_features_beside_the_logits_change_nothing(name, data, tmp_path):
    """Trained with a teacher, packed and measured: as the same network that gives its logits alone."""
    from bankwise.search_space.targets.file.container import load
    from bankwise.trainers.trial import run_trial

    recipe = Recipe(epochs=2, batch=20, distill=0.5, threads=1)
    found = {}
    for own in ("Base", name):
        task = make_task(f"own_networks:{own}", data, recipe)
        task = dataclasses.replace(task, teacher=copy.deepcopy(task.network))
        file = tmp_path / f"{own}.bankwise"
        result = run_trial(task, SearchSpace(task.shape).smallest, recipe, file=file)
        output = load(file, allow_code=True)(data.to_input(data.val_x))
        found[own] = result.epochs, result.accuracy, output if isinstance(output, torch.Tensor) else output[0]
    assert found["Base"][:2] == found[name][:2]
    assert torch.equal(found["Base"][2], found[name][2])


def test_attention_with_kept_parts_is_trained(data):
    _, task = rehearsed("own_networks:Encoder", data, keep=("layer.self_attn",))
    assert [layer.name for layer in task.shape.layers] == ["stem", "layer.linear1", "layer.linear2", "head"]


@pytest.mark.parametrize(
    ("name", "buffer", "bits"), [("Shuffled", "order", 288 * 32), ("Flag", "live", 8), ("Table", "table", 4 * 32)]
)
def test_kept_state_is_stored_priced_and_read_back(name, buffer, bits, data):
    from bankwise.search_space.layer import build_child
    from bankwise.search_space.packing import pack
    from bankwise.search_space.price import price
    from bankwise.search_space.targets.file.container import decode, encode

    _, task = rehearsed(f"own_networks:{name}", data, keep=(buffer,))
    plan = SearchSpace(task.shape).smallest
    child = build_child(task.network, task.shape, plan, 0)
    value = child.state_dict()[buffer].flip(0)
    value[:3] = value[:3].logical_not() if value.dtype == torch.bool else value[:3]
    child.load_state_dict({buffer: value}, strict=False)
    written = encode(task.shape, plan, pack(child, task.shape, plan))
    assert len(written) == price(task.shape, plan).file_bytes
    assert price(task.shape, plan).fixed["kept tensors"] == bits // 8
    assert torch.equal(decode(written, allow_code=True).network().state_dict()[buffer], value)
