"""What images a network is for: the same through a plan and a file, and compared as far as it is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import encode, load, read
from bankwise.search_space.trace import trace

PETS = Images("imagenet", ("cat", "dog", "hamster"))
SOME = (Images(), Images("symmetric"), PETS, Images(None, ("a", "b", "c")), Images("symmetric", tuple("012")))


@pytest.fixture(scope="module")
def packed():
    network = build("tiny@0.25", classes=3, in_channels=3)
    shape = trace(network, "tiny@0.25", (3, 8, 8), 3)
    plan = SearchSpace(shape).plan([0] * len(shape.layers))
    return shape, plan, pack(build_child(network, shape, plan, seed=0), shape, plan)


@pytest.mark.parametrize("images", SOME)
def test_a_file_says_it_in_as_many_bytes_as_were_planned(packed, images, tmp_path):
    shape, plan, codes = packed
    described = dataclasses.replace(plan, images=images)
    data = encode(shape, described, codes)
    assert len(data) == price(shape, described).file_bytes == price(shape, plan).file_bytes
    (tmp_path / "m.bankwise").write_bytes(data)
    file = read(tmp_path / "m.bankwise")
    assert (file.images.normalization, file.images.digest) == (images.normalization, images.digest)
    assert encode(shape, file.plan, file.codes) == data
    described.save(tmp_path / "plan.yaml")
    assert Plan.read(tmp_path / "plan.yaml").images == images


def test_a_plan_without_it_is_written_without_it(packed, tmp_path):
    _, plan, _ = packed
    plan.save(tmp_path / "plan.yaml")
    assert "images" not in (tmp_path / "plan.yaml").read_text() and Plan.read(tmp_path / "plan.yaml").images is None
    assert plan == dataclasses.replace(plan, images=PETS), "it changes nothing of the network"


@pytest.mark.parametrize("one", SOME)
def test_what_is_not_known_and_plain_labels_fit_all(one):
    for other in (Images(), Images(class_names=tuple("012")), dataclasses.replace(one)):
        one.check(other, "a", "b")
        Images.of_code(one.code).check(other, "a", "b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            Images("symmetric", PETS.class_names),
            "it was made with normalization imagenet, as it records",
        ),
        (
            Images("imagenet", ("cat", "horse", "hamster")),
            "it was trained on other classes than photos has: 'dog'",
        ),
        (Images("imagenet", ("dog", "cat", "hamster")), "'cat', not 'dog'"),
        (Images("imagenet", ("cat", "dog")), "3, not 2"),
    ],
)
def test_a_difference_is_one_line(given, words):
    with pytest.raises(BankwiseError, match=words):
        PETS.check(given, "it", "photos")
    with pytest.raises(BankwiseError, match="it was (made with normalization|trained on other classes)"):
        Images.of_code(PETS.code).check(given, "it", "photos")  # a file knows the digest


@pytest.mark.parametrize("code", ["", "S", "X000000", "S00000", "S00000g", "S0000000", "-"])
def test_what_is_no_code(code):
    with pytest.raises(ValueError, match="describes no images"):
        Images.of_code(code)


@pytest.mark.parametrize("normalization", ["symmetric", "imagenet"])
def test_a_loaded_network_says_what_it_wants_and_takes_pixels(packed, normalization, tmp_path):
    shape, plan, codes = packed
    path = tmp_path / "m.bankwise"
    path.write_bytes(encode(shape, dataclasses.replace(plan, images=Images(normalization)), codes))
    pixels = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    mean, deviation = {
        "symmetric": (torch.tensor([0.5] * 3), torch.tensor([0.5] * 3)),
        "imagenet": (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])),
    }[normalization]
    images = (pixels / 255 - mean[:, None, None]) / deviation[:, None, None]
    plain, taking = load(path), load(path, pixels=True)
    assert plain.images.normalization == normalization
    assert torch.allclose(plain.images.to_input(pixels), images, atol=1e-6)
    expected = plain(images)
    assert torch.allclose(taking(pixels), expected, atol=1e-5) and torch.equal(taking(images), expected)
    assert isinstance(plain, nn.Module) and not plain._forward_pre_hooks


def test_pixels_are_refused_where_nothing_says_how_they_enter(packed, tmp_path):
    path = tmp_path / "m.bankwise"
    path.write_bytes(encode(*packed))
    assert load(path).images == Images()
    with pytest.raises(BankwiseError, match=r"m.bankwise' does not say how pixels enter"):
        load(path, pixels=True)
    with pytest.raises(BankwiseError, match="how pixels enter this network is not recorded"):
        load(path).images.to_input(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
