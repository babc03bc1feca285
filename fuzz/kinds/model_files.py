"""Exported files: damaged ones, and crafted ones with a right checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import torch

from bankwise.search_space.targets.file.container import decode, read
from fuzz.crafting import VECTORS, Crafted
from fuzz.kinds.kind import Kind
from fuzz.mutate import HOSTILE, damaged

NETWORKS = (
    "tiny", "small", "tiny@0.5", "tiny@100000", "tiny@1e18", "tiny@1,0.5,2", "vgg16@40", "resnet18", "segnet",
    "in-memory", "torchvision:vit_h_14", "torchvision:regnet_y_128gf", "torchvision:fasterrcnn_resnet50_fpn",
    "torchvision:swin_b", "torchvision:ssd300_vgg16", "torchvision:deeplabv3_resnet101", "torchvision:convnext_large",
    "torchvision:nothing", "no_module:make", "builtins:dict", "os:getcwd", "", "tiny\n", "\x1b[31m",
)  # fmt: skip
SIZES = (
    (1, 8, 8), (3, 8, 8), (20_000_000, 8, 8), (1, 1, 1), (0, 8, 8), (3, 20_000, 20_000), (1, 99_999_999, 99_999_999),
    (9_999_999_999, 8, 8), (2**34, 2**34, 2**34),
)  # fmt: skip
CLASSES = (10, 1, 0, 10_000_000, 100_000_000_000)
CODES = (
    "B", "S2.1.1x1", "S9999.1.1x1", "S0.0.0x0", "F16", "F32", "F64", "I4", "I99", "T4", "T0", "U3",
    "C3.9.9", "C0", "P11132.4.3x3", "P9", "S99999999999.4.3x3", "no_module:Own/", "A", "B" + "1" * 2000,
)  # fmt: skip
SMALL = 2**22  # numbers of a network that is also run


class ModelFiles(Kind):
    name = "model files"

    def __init__(self, run: Path):
        self.files = [path.read_bytes() for path in sorted((run / "checkpoints").glob("*.bankwise"))]
        self.crafted = [_as_crafted(data) for data in self.files]

    def write(self, place: Path, rng: Random) -> None:
        which = rng.randrange(len(self.files))
        kind = rng.randrange(8)
        if kind < 2:
            made = damaged(self.files[which], rng)
        else:
            made = _old(self.crafted[which], rng) if kind == 2 else _crafted(self.crafted[which], rng).to_bytes()
        (self.fresh(place) / "model.bankwise").write_bytes(made)

    def read(self, place: Path) -> None:
        file = read(place / "model.bankwise")
        if file.shape.weights < SMALL:
            channels, height, width = file.shape.input_shape
            if channels * height * width < SMALL:
                file.network()(torch.zeros(1, channels, height, width))


def _as_crafted(data: bytes) -> Crafted:
    file = decode(data)
    plan, begin = file.plan, int.from_bytes(data[:8], "little") + 8
    digits = data[8:begin].index(b"]") - data[8:begin].index(b"[") - 1
    made = Crafted(
        plan.network, plan.input_shape, plan.classes, file.images.code, plan.vector_bits,
        " ".join(plan.keep) if plan.keep else None, tuple(plan.codes.values()), data[file.parts_begin :], digits,
    )  # fmt: skip
    if made.to_bytes() != data:
        raise ValueError("the file is not what docs/format.md says")
    return made


def _crafted(made: Crafted, rng: Random) -> Crafted:
    """Another description or parts, and nine times of ten a right checksum."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(10)
        choices = list(made.choices) or ["B"]
        place = rng.randrange(len(choices))
        if kind == 0:
            made = made.with_(network=rng.choice((*NETWORKS, rng.randbytes(5))))
        elif kind == 1:
            made = made.with_(sizes=rng.choice(SIZES))
        elif kind == 2:
            made = made.with_(classes=rng.choice(CLASSES))
        elif kind == 3:
            choices[place] = rng.choice(CODES) + rng.choice(("", *VECTORS))
            made = made.with_(choices=tuple(choices))
        elif kind == 4:
            choices[place] = rng.choice((rng.randbytes(rng.randrange(12)), b"", b"\xff", b"\x07\xff\xff\xff\xff\x0f"))
            made = made.with_(choices=tuple(choices))
        elif kind == 5:
            made = made.with_(count=rng.choice((0, 1, 6, 127, 128, 2**31, 2**34, 2**40)))
        elif kind == 6:
            made = made.with_(keep=rng.choice(("8", "0.*", "*", "?", "", " ", "a  b", None)))
        elif kind == 7:
            made = made.with_(flags=rng.randrange(256))
        elif kind == 8:
            made = made.with_(parts=damaged(made.parts, rng) if rng.randrange(2) else b"\xff" * len(made.parts))
        else:
            made = made.with_(digits=rng.randrange(1, 12), vector_bits=rng.choice((4, 8, 16, 32)))
    return made if rng.randrange(10) else made.with_(checksum=bytes(8))


def _old(made: Crafted, rng: Random) -> bytes:
    """A file of the format before, with metadata of its own."""
    metadata: dict[str, object] = {
        "format": "bankwise 2", "network": made.network, "input": "x".join(map(str, made.sizes)),
        "classes": f"{made.classes} {made.images}", "vector": str(made.vector_bits),
        "plan": " ".join(map(str, made.choices)),
    }  # fmt: skip
    for _ in range(rng.randint(0, 2)):
        metadata[rng.choice([*metadata, "keep", "extra"])] = rng.choice((*NETWORKS, *CODES, *HOSTILE))
    size = f"{len(made.parts):10d}"
    tensor = f'{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}'
    text = f'{{"__metadata__":{json.dumps(metadata | {"sha256": "0" * 64})},"payload":{tensor}}}'
    digest = hashlib.sha256(text.encode() + made.parts).hexdigest()
    header = text.replace("0" * 64, digest).encode()
    return len(header).to_bytes(8, "little") + header + made.parts
