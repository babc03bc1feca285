"""docs/format.md: the reader in plain Python gives the codes of files of all families, the table of choices the
weights."""

from __future__ import annotations

import ast
import importlib.util
import re
import struct
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from bankwise.search_space.families import choice_from_code
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import encode, read
from bankwise.search_space.trace import trace
from bankwise.showing import show

ROOT = Path(__file__).resolve().parents[4]
READER = ROOT / "examples" / "read_model.py"
CODES = (
    "S8.2.3x3", "S5.4.1x3", "U3", "P2118.2.3x3", "P1224.4.1x3", "P4102.4.3x1", "P1111.8.3x3", "B", "I3", "I8", "T4",
    "C2.5.3", "C3", "C1.0.4", "F16", "F32", "S8.2.3x3v4", "P2118.2.3x3s4", "Bp4", "I3s8", "T4p8", "F16v16",
    "U3v32",
)  # fmt: skip


@pytest.fixture(scope="module")
def reader():
    spec = importlib.util.spec_from_file_location("read_model", READER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(path: Path, code: str, bits: int, keep: tuple[str, ...] = ()) -> Path:
    """A file whose hidden layers have that choice."""
    network = build("tiny@0.5", classes=10, in_channels=1)
    for value in network.parameters():
        torch.nn.init.normal_(value, generator=torch.Generator().manual_seed(value.numel()))
    shape = trace(network, "tiny@0.5", (1, 8, 8), 10, keep)
    choices = {layer.name: choice_from_code("B") for layer in shape.layers}
    choices |= {layer.name: choice_from_code(code) for layer in shape.layers if layer.kernel == (3, 3) and layer.c > 1}
    plan = Plan("tiny@0.5", (1, 8, 8), 10, choices, keep, bits)
    child = build_child(network, shape, plan, 0, teacher=network).eval()
    path.write_bytes(encode(shape, plan, pack(child, shape, plan)))
    return path


@pytest.mark.parametrize("code", CODES)
def test_the_reader_gives_the_codes_of_every_part_and_the_table_the_weights(reader, tmp_path, code):
    bits = (4, 8, 16, 32)[len(code) % 4]
    path = written(tmp_path / "m.bankwise", code, bits, ("0.1",) if code == "B" else ())
    codes, file = reader.read(path, show(path)), read(path)
    assert codes.keys() == {key for key in file.codes}
    for key, values in codes.items():
        assert values == file.codes[key].flatten().tolist(), key
    network = file.network()
    for layer in file.shape.layers:
        if file.plan.layers[layer.name].code() == code:
            got = {part: values for (owner, part), values in codes.items() if owner == layer.name}
            if "scale" in got:
                continue
            wanted = network.get_submodule(layer.name).weight.flatten().tolist()
            assert weights(code, got, *layer.weight_shape) == pytest.approx(wanted, abs=1e-6)


def weights(code: str, got: dict[str, list[int]], n: int, c: int, h: int, w: int) -> list[float]:
    """As the table says."""
    code = re.sub("[vsp][0-9]+$", "", code)
    letter, size = code[0], n * c * h * w
    if letter in "SUP":
        return slots(code, got, n, c, h, w)
    if letter == "B":
        return [2 * sign - 1 for sign in got["signs"]]
    if letter == "T":
        return [(2 * sign - 1) * scale for scale in ieee(got["scales"], 16) for sign in got["signs"]]
    raw, *ranks = map(int, code[1:].split("."))
    if letter == "F":
        return ieee(got["values"], raw)
    if letter == "I":
        return [(z - (2 ** (raw - 1) - 1)) / (2 ** (raw - 1) - 1) for z in got["levels"]]
    level, wide = [z % 2**raw for z in got["levels"]], c * w
    for i, rank in enumerate(ranks):
        for at in range(size if rank else 0):
            left, right = got[f"left{i}"], got[f"right{i}"]
            bits = (left[at // wide * rank + j] * right[j * wide + at % wide] for j in range(rank))
            level[at] += 2 ** (raw + i) * (sum(bits) % 2)
    largest = 2 ** (raw + len(ranks)) - 1
    return [(-one if z >> raw else one) / largest for z, one in zip(got["levels"], level, strict=True)]


def slots(code: str, got: dict[str, list[int]], n: int, c: int, h: int, w: int) -> list[float]:
    bits, m, a = map(int, code[1:4]) if code[0] == "P" else (1, 1, 0)
    fields = {"S": code[1:], "P": code[4:], "U": "0.1.3x3"}[code[0]].split(".")
    s, (t, u) = int(fields[1]), map(int, fields[2].split("x"))
    top, half, made = 2**bits - 1, 2 ** (a - 1), []
    bank = [(2 * z - top) / top for z in got["bank"]]
    indices = got.get("indices", [0] * (m * n * c * h * w // (s * t * u)))
    by = [(z - half) / half if z < half else (z - half + 1) / half for z in got["coefficients"]] if a else None
    for i, j, y, x in product(range(n), range(c), range(h), range(w)):
        slot = ((i * (c // s) + j // s) * (h // t) + y // t) * (w // u) + x // u
        inner = (j % s * t + y % t) * u + x % u
        terms = range(slot * m, slot * m + m)
        made.append(sum((by[e] if by else 1) * bank[indices[e] * s * t * u + inner] for e in terms))
    return made


def ieee(codes: list[int], bits: int) -> list[float]:
    whole, number = {16: "He", 32: "If"}[bits]
    return [struct.unpack(f">{number}", struct.pack(f">{whole}", code))[0] for code in codes]


def test_a_file_with_every_family_is_read(reader, tmp_path):
    network = build("tiny@0.5", classes=10, in_channels=1)
    shape = trace(network, "tiny@0.5", (1, 8, 8), 10)
    storages = ("v16", "v4", "s8", "p4")
    kinds = ("stacked", "int4"), ("sparse", "composite", "tiled"), ("float16",)
    space = SearchSpace(shape, SpaceSettings(*kinds, vectors=storages))
    plan = space.plan([size // 2 for size in space.sizes])
    child = build_child(network, shape, plan, 0).eval()
    (tmp_path / "m.bankwise").write_bytes(encode(shape, plan, pack(child, shape, plan)))
    codes, file = reader.read(tmp_path / "m.bankwise", show(tmp_path / "m.bankwise")), read(tmp_path / "m.bankwise")
    assert {key: file.codes[key].flatten().tolist() for key in file.codes} == codes
    damaged = bytearray((tmp_path / "m.bankwise").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "d.bankwise").write_bytes(damaged)
    with pytest.raises(AssertionError):
        reader.read(tmp_path / "d.bankwise", show(tmp_path / "m.bankwise"))


def test_the_reader_is_short_and_needs_nothing():
    text = READER.read_text()
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}
    assert names <= sys.stdlib_module_names and len(text.splitlines()) <= 90
