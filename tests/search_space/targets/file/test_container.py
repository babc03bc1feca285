"""The file: as long as planned, the same logits from disk, and one clear line for everything that is not one."""

import copy
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import KINDS, Binary, Choice, Float, Integer, Stacked
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.norms import folded_norm
from bankwise.search_space.packing import assemble, pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace, layer_choices
from bankwise.search_space.targets.file.container import decode, encode, load, read, save
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import VECTORS
from fuzz.crafting import Crafted

USERS = "network_of_a_user:make"
SIZE = (3, 7, 6)


@st.composite
def networks(draw) -> nn.Sequential:
    """Convolutions with and without groups, biases, batch norms and modules that stay in floating point."""
    modules: list[nn.Module] = []
    c = SIZE[0]
    for _ in range(draw(st.integers(1, 3))):
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if c % g == 0]))
        n = groups * draw(st.integers(1, 5))
        kernel = draw(st.sampled_from([1, 2, 3, (1, 3), (3, 2)]))
        modules.append(nn.Conv2d(c, n, kernel, draw(st.integers(1, 2)), 2, groups=groups, bias=draw(st.booleans())))
        after = [nn.BatchNorm2d(n), nn.BatchNorm2d(n, affine=False), nn.PReLU(n), nn.GroupNorm(1, n), nn.ReLU()]
        modules += draw(st.lists(st.sampled_from(after), max_size=2, unique=True))
        c = n
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 4, bias=draw(st.booleans()))]
    return nn.Sequential(*modules)


def draw_plan(draw, shape: NetworkShape, kinds: tuple[str, ...], keep: tuple[str, ...] = ()) -> Plan:
    settings = SpaceSettings(max_k=16, vectors=draw(st.sampled_from([(), tuple(VECTORS)])))
    layers = {
        layer.name: draw(st.sampled_from(layer_choices(layer, ("binary", *kinds), settings))) for layer in shape.layers
    }
    vector_bits = draw(st.sampled_from([4, 8, 16, 32]))
    return Plan(shape.network, shape.input_shape, shape.classes, layers, keep, vector_bits)


@torch.no_grad()
def as_if_trained(child: nn.Module, seed: int) -> nn.Module:
    """Every parameter, mean and variance somewhere else than at its start."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in child.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    for module in child.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.3)
    return child.eval()


@settings(max_examples=80)
@given(network=networks(), data=st.data())
def test_planned_bytes_are_the_bytes_of_the_file_and_it_reads_back_as_it_was(network, data):
    sys.modules["network_of_a_user"] = types.ModuleType("network_of_a_user")
    sys.modules["network_of_a_user"].make = lambda: copy.deepcopy(network)
    kept = data.draw(st.sampled_from([(), ("0",)]))
    shape = trace(network, USERS, SIZE, 4, kept)
    plan = draw_plan(data.draw, shape, KINDS, kept)
    child = as_if_trained(build_child(network, shape, plan, seed=0), seed=1)
    codes = pack(child, shape, plan)
    written = encode(shape, plan, codes)
    assert len(written) == price(shape, plan).file_bytes
    file = decode(written, allow_code=True)
    assert (file.plan, file.shape, file.size) == (plan, shape, len(written))
    assert file.codes.keys() == codes.keys()
    assert all(torch.equal(file.codes[key], codes[key]) for key in codes)
    x = torch.randn(3, *SIZE)
    assert torch.equal(file.network()(x), assemble(copy.deepcopy(network), shape, plan, codes)(x))
    exact = all(choice.stored(plan.vector_bits).name == "v32" for choice in plan.layers.values())
    if exact and plan.vector_bits == 32 and not shape.tensors and Float(16) not in plan.layers.values():
        torch.testing.assert_close(file.network()(x), child(x), rtol=1e-4, atol=1e-4)


def mixed_plan(shape: NetworkShape, vector_bits: int) -> Plan:
    choices = {}
    for i, layer in enumerate(shape.layers):
        banks = layer_choices(layer, ("stacked", "binary"), SpaceSettings(max_k=64))
        choices[layer.name] = banks[(5 * i) % len(banks)]
    choices[shape.layers[0].name] = Integer(5)
    choices[shape.layers[-1].name] = Float(32)
    return Plan(shape.network, shape.input_shape, shape.classes, choices, vector_bits=vector_bits)


def trained(
    reference: str, vector_bits: int, size: tuple[int, int, int]
) -> tuple[nn.Module, NetworkShape, Plan, nn.Module]:
    torch.manual_seed(0)
    network = build(reference, classes=5, in_channels=size[0])
    shape = trace(network, reference, size, 5)
    plan = mixed_plan(shape, vector_bits)
    child = build_child(network, shape, plan, seed=0, teacher=network).train()
    optimizer = torch.optim.Adam(child.parameters(), 0.01)
    for _ in range(4):
        x, y = torch.randn(16, *size), torch.randint(5, (16,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(child(x), y).backward()
        optimizer.step()
    return network, shape, plan, child.eval()


@pytest.mark.parametrize("vector_bits", [8, 16, 32])
@pytest.mark.parametrize(("reference", "size"), [("tiny@0.5", (1, 8, 8)), ("resnet20@0.25", (3, 16, 16))])
def test_a_trained_network_from_disk(tmp_path, reference, size, vector_bits):
    network, shape, plan, child = trained(reference, vector_bits, size)
    codes = pack(child, shape, plan)
    path = tmp_path / "model.bankwise"
    assert save(path, shape, plan, codes) == path.stat().st_size == price(shape, plan).file_bytes
    x = torch.randn(64, *size)
    logits = load(path)(x)
    assert torch.equal(logits, read(path).network()(x))
    assert torch.equal(logits, assemble(copy.deepcopy(network), shape, plan, codes)(x))
    tolerance = {8: 0.05, 16: 3e-3, 32: 1e-5}[vector_bits] * child(x).abs().max().item()
    assert (logits - child(x)).abs().max() <= tolerance
    assert not any(parameter.requires_grad for parameter in load(path).parameters())


def test_folding_is_the_batch_norm():
    norm = nn.BatchNorm2d(5, eps=0.1)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
        tensor.normal_()
    norm.running_var.uniform_(0.01, 2)
    norm.eval()
    x = torch.randn(2, 5, 3, 3)
    scale, shift = folded_norm(norm)
    torch.testing.assert_close(x * scale[:, None, None] + shift[:, None, None], norm(x))


def test_packing_or_assembling_changes_neither_child_nor_network():
    network, shape, plan, child = trained("tiny@0.25", 8, (1, 8, 8))
    before = [copy.deepcopy(module.state_dict()) for module in (network, child)]
    assemble(copy.deepcopy(network), shape, plan, pack(child, shape, plan))
    for module, state in zip((network, child), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_a_diverged_child_is_an_error():
    _, shape, plan, child = trained("tiny@0.25", 8, (1, 8, 8))
    child.get_submodule(shape.norms[0].name).running_mean[0] = float("nan")
    with pytest.raises(BankwiseError, match="not finite.*diverged"):
        pack(child, shape, plan)


# What is not a file, or no longer one.


@pytest.fixture(scope="module")
def written() -> bytes:
    torch.manual_seed(0)
    network = build("tiny@0.25", classes=4, in_channels=1)
    shape = trace(network, "tiny@0.25", (1, 8, 8), 4)
    space = SearchSpace(shape, SpaceSettings(tiles=((3, 3), (1, 1))))
    plan = space.plan([size // 2 for size in space.sizes])
    return encode(shape, plan, pack(build_child(network, shape, plan, 0).eval(), shape, plan))


def refused(data: bytes) -> str:
    with pytest.raises(BankwiseError) as raised:
        decode(data)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_truncated_at_any_length(written):
    for length in range(len(written)):
        refused(written[:length])
    assert "truncated" in refused(written[:-1])
    assert "truncated or extended" in refused(written + b"\0")


def test_any_flipped_bit(written):
    for position in range(len(written)):
        for bit in range(8):
            damaged = bytearray(written)
            damaged[position] ^= 1 << bit
            refused(bytes(damaged))


@settings(max_examples=200)
@given(data=st.binary(max_size=80), rest=st.booleans())
def test_any_bytes(data, rest):
    refused((len(data).to_bytes(8, "little") + b"{" + data) if rest else data)


def foreign_files() -> dict[str, bytes]:
    return {
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200),
        "zeros": bytes(500),
        "safetensors of another program": safetensors.torch.save({"w": torch.ones(3)}),
        "safetensors with metadata": safetensors.torch.save({"payload": torch.ones(3)}, {"format": "pt", "sha256": ""}),
        "a tensor of the same name": safetensors.torch.save({"bw3": torch.ones(3)}),
        "bytes of the same name": safetensors.torch.save({"bw3": torch.ones(30, dtype=torch.uint8)}),
        "pickle": pickle.dumps({"weight": [1.0] * 50}),
        "deep json": (200_000).to_bytes(8, "little") + b'{"a":' * 40_000,
        "text": b"version: 1\nnetwork: tiny\nlayers: {}\n",
    }


@pytest.mark.parametrize("name", foreign_files())
def test_foreign_files(tmp_path, name):
    path = tmp_path / "model.bankwise"
    path.write_bytes(foreign_files()[name])
    with pytest.raises(BankwiseError) as raised:
        read(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_absent_files_and_folders(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BankwiseError, match="cannot read"):
            read(path)


def as_crafted(written: bytes) -> Crafted:
    """The fields of the file, as the small writer of `fuzz.crafting` takes them."""
    file = decode(written)
    begin = 8 + int.from_bytes(written[:8], "little")
    digits = written[8:begin].index(b"]") - written[8:begin].index(b"[") - 1
    codes, parts = tuple(file.plan.codes.values()), written[file.parts_begin :]
    return Crafted("tiny@0.25", (1, 8, 8), 4, choices=codes, parts=parts, digits=digits)


def forged(written: bytes, **changes: object) -> bytes:
    """The file with other fields and a right checksum: what damage alone would never give."""
    return as_crafted(written).with_(**changes).to_bytes()


def test_a_forged_file_without_changes_is_the_file(written):
    assert forged(written) == written


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 0}, ["damaged"]),
        ({"classes": 5}, ["damaged", "bytes"]),
        ({"classes": 10**9}, ["damaged"]),
        ({"classes": 2**40}, ["damaged"]),
        ({"sizes": (0, 8, 8)}, ["damaged"]),
        ({"flags": 64}, ["damaged"]),
        ({"flags": 8 + 4}, ["damaged"]),
        ({"flags": 32 + 1}, ["damaged"]),
        ({"images": "S0000a1", "flags": 1}, ["damaged"]),
        ({"vector_bits": 16}, ["damaged"]),
        ({"choices": ("B",)}, ["1 layers", "has 5"]),
        ({"choices": ("B",) * 4 + ("Q",)}, ["damaged", "'Q'"]),
        ({"choices": ("B",) * 4 + ("S0.0.0x0",)}, ["k: 0 is not"]),
        ({"choices": ("B",) * 4 + ("S9999.1.1x1",)}, ["k=9999"]),
        ({"choices": ("B",) * 4 + (b"\xd9",)}, ["damaged"]),
        ({"choices": ("B",) * 4 + (b"\x11\xe8",)}, ["damaged"]),
        ({"choices": ("B",) * 4 + (b"\x11\xf1",)}, ["damaged"]),
        ({"choices": ("B",) * 4 + (b"\x17\xff\xff\xff\xff\xff\x0f",)}, ["damaged"]),
        ({"choices": ("B",) * 5}, ["damaged"]),
        ({"count": 4}, ["4 layers"]),
        ({"count": 2**34}, ["damaged"]),
        ({"network": "tyni"}, ["unknown network 'tyni'", "tiny"]),
        ({"network": "tiny@0"}, ["'tiny@0'"]),
        ({"network": b"\xff"}, ["damaged"]),
        ({"keep": "nothing"}, ["'nothing' matches no"]),
        ({"keep": ""}, ["damaged"]),
        ({"digits": 9}, ["damaged: the header is not the one"]),
        ({"checksum": bytes(8)}, ["do not match their checksum"]),
    ],
    ids=str,
)
def test_what_no_release_writes(written, changes, words):
    message = refused(forged(written, **changes))
    for word in words:
        assert word in message


def test_a_later_format_is_said_to_be_one(written):
    assert "format 'bankwise 4' is not known" in refused(written.replace(b'"bw3"', b'"bw4"', 1))


def test_an_index_beyond_the_bank_is_refused():
    torch.manual_seed(0)
    network = build("tiny@0.25", classes=4, in_channels=1)
    shape = trace(network, "tiny@0.25", (1, 8, 8), 4)
    layers: dict[str, Choice] = {layer.name: Binary() for layer in shape.layers}
    name = shape.layers[1].name
    plan = Plan("tiny@0.25", (1, 8, 8), 4, layers | {name: Stacked(3, 1, (3, 3))})
    codes = pack(build_child(network, shape, plan, 0).eval(), shape, plan)
    decode(encode(shape, plan, codes))
    codes[name, "indices"][0] = 3
    assert "index 3 of a bank of 3" in refused(encode(shape, plan, codes))


def test_code_of_a_user_runs_only_when_allowed(tmp_path, monkeypatch, written):
    (tmp_path / "trap.py").write_text("import pathlib\npathlib.Path(__file__).with_name('sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = forged(written, network="trap:make")
    assert "'trap:make'" in refused(data) and "allow_code" in refused(data)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(BankwiseError, match="'make'"):
        decode(data, allow_code=True)
    assert (tmp_path / "sprung").exists()


def test_the_safetensors_library_opens_the_file(tmp_path, written):
    path = tmp_path / "model.bankwise"
    path.write_bytes(written)
    length = int.from_bytes(written[:8], "little")
    with safetensors.safe_open(path, "np") as file:
        assert list(file.keys()) == ["bw3"]
        payload = file.get_tensor("bw3")
    assert payload.dtype == np.uint8
    assert payload.tobytes() == written[8 + length :]


def test_a_plan_in_another_order_writes_the_same_file(written):
    file = decode(written)
    shuffled = Plan(**{**vars(file.plan), "layers": dict(reversed(file.plan.layers.items()))})
    assert encode(file.shape, shuffled, file.codes) == written


def test_a_failed_save_keeps_the_old_file(tmp_path, written):
    file = decode(written)
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(BankwiseError, match="cannot write"):
        save(Path(tmp_path / "file" / "below"), file.shape, file.plan, file.codes)
    assert (tmp_path / "file").read_bytes() == b"old"
