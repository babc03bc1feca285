"""What the header says, what the self test compares, and numbers as C takes them."""

import hashlib
import subprocess
from dataclasses import replace

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.targets.c.target import CTarget
from bankwise.search_space.targets.file.container import encode

from .conftest import SANITIZED, needed
from .test_target import assert_same, digits, drawn, space_of, users_networks  # noqa: F401 (a fixture)


@pytest.mark.parametrize("activations", ["float32", "int8"])
@pytest.mark.parametrize("normalization", ["symmetric", "imagenet"])
def test_the_header_says_what_the_network_is_and_how_pixels_enter(tmp_path, activations, normalization):
    """The self test normalizes its pixels by the header."""
    space = space_of("tiny", (3, 8, 8), classes=4)
    plan = replace(drawn(space, 1), images=Images(normalization, ("a", "b", "c", "d")))
    network = build("tiny", classes=4, in_channels=3)
    codes = pack(build_child(network, space.shape, plan, 0).eval(), space.shape, plan)
    pixels = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    target = CTarget(activations=activations, images=plan.images.to_input(pixels), prefix="Four")
    target.save(tmp_path, space.shape, plan, codes)
    header = (tmp_path / "Four.h").read_text()
    assert hashlib.sha256(encode(space.shape, plan, codes)).hexdigest() in header
    codes_said = " ".join(plan.layers[layer.name].code() for layer in space.shape.layers)
    assert f'FOUR_PLAN "{codes_said}"' in header and 'FOUR_LABELS {"a", "b", "c", "d"}' in header
    for line in ("CHANNELS 3", "HEIGHT 8", "WIDTH 8", "INPUTS 192", "CLASSES 4"):
        assert f"#define FOUR_{line}" in header
    needed("gcc"), needed("make")
    done = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stderr, done
    macro = "NORMALIZE" if activations == "float32" else "QUANTIZE"
    changed = header.replace(f"define FOUR_{macro}(channel, pixel)", f"define FOUR_{macro}(channel, pixel) 1 -")
    (tmp_path / "Four.h").write_text(changed)
    assert subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True).returncode != 0


class Bounded(nn.Module):
    """Clamps at a number too small for single precision."""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).clamp(min=1e-60).mean((2, 3)))


def test_a_number_too_small_for_single_precision_is_zero(exported, users_networks):  # noqa: F811
    users_networks.Bounded = Bounded
    space = space_of("networks_in_c:Bounded", (1, 8, 8), ("binary",))
    assert_same(exported(space.shape, drawn(space, 1)), digits(5), *SANITIZED)


@pytest.mark.parametrize("scale", [1e-30, 0.0, 1e30])
def test_tiny_logits_are_compared_and_such_as_are_not_finite_are_one_line(tmp_path, scale):
    space = space_of("tiny", (1, 8, 8), ("float32",), bits=32)
    plan = drawn(space, 0)
    child = build_child(build("tiny", classes=10, in_channels=1), space.shape, plan, 0).eval()
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.mul_(scale)
    codes, folder = pack(child, space.shape, plan), tmp_path / "c"
    if scale > 1:
        with pytest.raises(BankwiseError, match="'tiny' cannot be exported to C: it gives logits that are not finite"):
            CTarget().save(folder, space.shape, plan, codes)
        assert not folder.exists()
        return
    CTarget().save(folder, space.shape, plan, codes)
    needed("gcc"), needed("make")
    done = subprocess.run(["make", "test"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stderr, done
