"""The baselines: within the bytes, the best and the widest there is, and files as long as promised."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Binary, Float, Integer, Stacked, Subbit, Tiled
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import at_width, build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import VECTORS_USUAL, SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.file.container import read, save
from bankwise.search_space.trace import trace
from bankwise.strategies.baselines import METHODS, baseline

DIGITS = ((1, 8, 8), 10)
FAMILIES = {
    "full": Float, "bwn": Binary, "tiled": Tiled, "subbit": Subbit, "uniform-stacked": Stacked, "int8": Integer,
    "int4": Integer, "narrower-1-bit": Binary, "narrower-4-bit": Integer, "narrower-8-bit": Integer,
}  # fmt: skip
BITS = {"int8": 8, "int4": 4, "narrower-4-bit": 4, "narrower-8-bit": 8}


def traced(network: str) -> NetworkShape:
    with torch.device("meta"):
        return trace(build(network, classes=10, in_channels=1), network, *DIGITS)


def least(network: str, settings: SpaceSettings) -> int:
    """Bytes of the plan of every layer's first choice."""
    space = SearchSpace(traced(network), settings)
    return space.prices.plan_file_bytes([[0] * len(space.sizes)]).item()


def smallest(network: str, settings: SpaceSettings) -> int:
    """The least bytes with vectors stored in one of the usual ways in all layers."""
    return min(least(network, replace(settings, vectors=(way,))) for way in VECTORS_USUAL)


@pytest.mark.parametrize("budget", [900, 1500, 2800, 10_000, 140_000])
@pytest.mark.parametrize("method", METHODS)
def test_within_the_bytes_and_of_the_method(method, budget):
    found = baseline(method, "tiny", *DIGITS, budget)
    if found is None:
        assert budget < 140_000 and not method.startswith("narrower")
        return
    shape = traced(found.plan.network)
    assert price(shape, found.plan).file_bytes == found.file_bytes <= budget
    hidden = list(found.plan.layers.values())[1:-1]
    assert all(isinstance(choice, FAMILIES[method]) for choice in hidden)
    if method in BITS:
        assert {choice.bits for choice in hidden} == {BITS[method]}
    if not method.startswith("narrower"):
        assert found.plan.network == "tiny"


@pytest.mark.parametrize("method", [m for m in METHODS if not m.startswith("narrower")])
def test_none_exactly_where_the_smallest_plan_is_too_large(method):
    """The least bytes of a method's uniform plans, by bisection on the budget: one less gives None."""
    low, high = 0, 140_000
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if baseline(method, "tiny", *DIGITS, middle) else (middle + 1, high)
    assert baseline(method, "tiny", *DIGITS, low - 1) is None
    assert baseline(method, "tiny", *DIGITS, low).file_bytes == low
    if method in ("full", "bwn", "int4"):
        kind, end = {"full": ("float32",) * 2, "bwn": ("binary",) * 2, "int4": ("int4", "binary")}[method]
        bits = 32 if method == "full" else 8
        settings = SpaceSettings((kind,), (end,), (end,), vector_bits=bits)
        assert low == (least if method == "full" else smallest)("tiny", settings)


@pytest.mark.parametrize(("bits", "kind"), [(1, "binary"), (4, "int4"), (8, "int8")])
def test_the_narrower_network_is_the_widest_that_fits(bits, kind):
    """Against a scan over all widths."""
    sizes = {}
    for step in range(1, 101):
        reference = at_width("tiny", step / 100)
        sizes[reference] = smallest(reference, SpaceSettings((kind,), ("int8",), ("int8",)))
    for budget in (850, 1000, 1700, 4000, 40_000):
        fitting = [reference for reference, size in sizes.items() if size <= budget]
        found = baseline(f"narrower-{bits}-bit", "tiny", *DIGITS, budget, ends=("int8",))
        if not fitting:
            assert found is None
        else:
            assert found.plan.network == fitting[-1] and sizes[fitting[-1]] <= found.file_bytes <= budget
    assert found.plan.network == "tiny"
    assert baseline(f"narrower-{bits}-bit", "tiny", *DIGITS, 100) is None


def test_same_p_and_same_tau_everywhere():
    tiled = [choice.p for choice in list(baseline("tiled", "small", *DIGITS, 4096).plan.layers.values())[1:-1]]
    assert len(set(tiled)) == 1 and tiled[0] > 1
    residual = baseline("subbit", "resnet20@0.5", *DIGITS, 5000).plan
    kernels = {layer.name: layer.kernel for layer in traced("resnet20@0.5").layers}
    hidden = list(residual.layers.items())[1:-1]
    assert len({choice for name, choice in hidden if kernels[name] == (3, 3)}) == 1
    assert {choice.bare for name, choice in hidden if kernels[name] == (1, 1)} == {Binary()}


@pytest.mark.parametrize("method", METHODS)
def test_the_file_is_as_long_as_promised_and_gives_the_network_back(method, tmp_path):
    found = baseline(method, "tiny@0.5", *DIGITS, 40_000 if method in ("full", "int8", "int4") else 2000)
    plan = found.plan
    plan.save(tmp_path / "plan.yaml")
    assert Plan.read(tmp_path / "plan.yaml") == plan
    network = build(plan.network, classes=10, in_channels=1)
    shape = trace(network, plan.network, *DIGITS)
    child = build_child(network, shape, plan, seed=0, teacher=network).eval()
    codes = pack(child, shape, plan)
    assert save(tmp_path / "model.bankwise", shape, plan, codes) == found.file_bytes
    stored = read(tmp_path / "model.bankwise")
    assert stored.plan == plan and stored.shape.network.startswith("tiny@0.")
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(stored.network()(x), child(x), rtol=0.05, atol=0.05)


def test_what_is_not_known_is_one_line():
    with pytest.raises(BankwiseError, match="unknown baseline 'tild': did you mean tiled"):
        baseline("tild", "tiny", *DIGITS, 1000)
    with pytest.raises(BankwiseError, match="'torchvision:resnet18' comes in one width; those with others: tiny, "):
        baseline("narrower-1-bit", "torchvision:resnet18", (3, 32, 32), 10, 1000)
