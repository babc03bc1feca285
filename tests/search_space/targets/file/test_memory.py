"""What a file says is not believed before its bytes bear it out: a small one takes little memory, whatever it names."""

import subprocess
import sys

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Integer
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.file import codes as packed_codes
from bankwise.search_space.targets.file.container import decode, encode
from bankwise.search_space.trace import trace
from fuzz.crafting import Crafted

# Each is refused, in the words beside it, without the network that it names: seven of them have up to 10^13 weights.
CRAFTED = [
    ({"sizes": (20_000_000, 8, 8)}, "the plan takes 360004460 bytes, the file has 1500"),
    ({"classes": 10_000_000}, "the plan takes 100004378 bytes, the file has 1500"),
    ({"classes": 100_000_000_000}, "does not describe a plan"),
    ({"network": "tiny@100000"}, "the plan takes 40320038600060 bytes, the file has 1500"),
    ({"network": "tiny@1e18"}, "tiny@1e18"),
    ({"network": "torchvision:vit_h_14", "sizes": (3, 224, 224)}, "can be kept in floating point"),
    ({"network": "torchvision:regnet_y_128gf", "sizes": (3, 224, 224)}, "has 141"),
    ({"network": "torchvision:fasterrcnn_resnet50_fpn", "sizes": (3, 20000, 20000)}, "an image"),
    ({"network": "torchvision:fasterrcnn_resnet50_fpn", "sizes": (3, 300, 300)}, "cannot run on an image"),
    ({"count": 2**34}, "does not describe a plan"),
    ({"choices": (b"\x17\xff\xff\xff\xff\x0f",)}, "does not describe a plan"),
]
PARTS = bytes(1500)
READ = """
import sys
from pathlib import Path
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.targets.file.container import load
for path in sys.argv[1:]:
    try:
        load(path)
        print("loaded")
    except BankwiseError as error:
        print(error)
# The most that it took itself: the kernel's ru_maxrss counts what the process that started it takes.
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)
"""


def test_crafted_headers_take_no_memory(tmp_path):
    paths = [tmp_path / f"{i}.bankwise" for i in range(len(CRAFTED))]
    for path, (changes, _) in zip(paths, CRAFTED, strict=True):
        path.write_bytes(Crafted(parts=PARTS).with_(**changes).to_bytes())
    done = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=True)
    *lines, peak = done.stdout.splitlines()
    assert [words in line for line, (_, words) in zip(lines, CRAFTED, strict=True)] == [True] * len(CRAFTED), lines
    assert int(peak) < 1024


def test_a_long_header_is_none():
    with pytest.raises(BankwiseError, match="no safetensors header"):
        decode((2**24 + 1).to_bytes(8, "little") + b"{" + bytes(2**24))


def test_parts_are_unpacked_one_by_one_when_they_are_asked_for(monkeypatch):
    network = build("tiny", classes=10, in_channels=1)
    shape = trace(network, "tiny", (1, 8, 8), 10)
    layers = {layer.name: Binary() for layer in shape.layers} | {shape.layers[-1].name: Integer(4)}
    plan = Plan("tiny", (1, 8, 8), 10, layers)
    data = encode(shape, plan, pack(build_child(network, shape, plan, 0), shape, plan))
    unpacked, unpack = [], packed_codes.unpack_codes
    monkeypatch.setattr(packed_codes, "unpack_codes", lambda *part: (unpacked.append(part[2]), unpack(*part))[1])
    file = decode(data)
    assert unpacked == []  # neither family has codes to check
    assert "signs" in {name for _, name in file.codes} and len(file.codes) == len(set(file.codes))
    assert (shape.layers[0].name, "levels") not in file.codes and unpacked == []
    file.network()
    assert len(unpacked) == len(file.codes) and unpacked[0] == shape.layers[0].weight_shape
    assert torch.equal(file.network()(torch.ones(1, 1, 8, 8)), file.network()(torch.ones(1, 1, 8, 8)))
