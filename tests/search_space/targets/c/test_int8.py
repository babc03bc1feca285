"""C sources with int8 activations: the logits of the reference in Python, bit for bit, by real compilers."""

import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bankwise.search_space.families import KINDS
from bankwise.search_space.targets.c.int8.fixed import Ratio, common_shift
from bankwise.search_space.targets.c.int8.numbers import UNIT, Numbers
from bankwise.search_space.targets.c.int8.reference import RULES
from bankwise.search_space.targets.c.target import CTarget

from . import networks_of_chance
from .conftest import M4, SANITIZED, Exported
from .test_target import assert_same, digits, drawn, emulated, space_of, users_networks  # noqa: F401 (a fixture)


def assert_equal(made: Exported, images, *options, compiler="gcc"):
    """Of float32 images."""
    given = made.reference.quantized(images)
    logits = made.logits(given, *options, compiler=compiler)
    assert torch.equal(logits, made.reference.logits(given))
    assert float(logits.float().std()) > 100  # a network that says nothing is no test
    return logits


@pytest.mark.parametrize(("kind", "bits"), [(kind, (8, 16, 32)[i % 3]) for i, kind in enumerate(KINDS)])
def test_every_family_gives_the_logits_of_the_reference(exported, kind, bits):
    space = space_of("tiny", (1, 8, 8), (kind, "int5") if kind == "subbit" else (kind,), bits=bits)
    for seed in range(1 + (kind in ("stacked", "sparse"))):
        made = exported(space.shape, drawn(space, seed), seed, digits(40))
        assert_equal(made, digits(100), *SANITIZED)


def assert_near(made: Exported, images, share=0.1):
    """The logits of the reference, in real numbers, are those of the float network but for a share of their spread."""
    with torch.no_grad():
        expected = made.network(images)
    found = made.reference.logits(made.reference.quantized(images)) * made.reference.scales[made.reference.graph.output]
    off = (found - expected).square().mean().sqrt() / expected.std()
    assert float(off) < share, float(off)


@pytest.mark.parametrize("keep", [(), ("same", "norm", "gate", "norm2", "norm3")])
def test_every_operation_gives_the_logits_of_the_reference(exported, keep):
    space = space_of("networks_in_c:Mixed", (2, 13, 11), keep=keep)
    images = torch.randn(40, 2, 13, 11, generator=torch.Generator().manual_seed(0))
    for seed in range(2):
        made = exported(space.shape, drawn(space, seed), seed, images)
        assert_equal(made, images, *SANITIZED)
        assert_near(made, images, 0.2)


def test_smooth_activations_give_the_logits_of_the_reference(exported):
    """And these lie as near to the float network's as int8 activations let them."""
    space = space_of("networks_in_c:Smooth", (2, 9, 7), ("int8",), bits=32)
    images = 3 * torch.randn(40, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    made = exported(space.shape, drawn(space, 0), images=images)
    assert_equal(made, images, *SANITIZED)
    assert_near(made, images, 0.05)


@pytest.mark.parametrize(
    ("name", "keep"), [("Rows", ()), ("Functional", ()), ("Named", ("kept", "tied")), ("Tokens", ())]
)
def test_shared_layers_and_rows_give_the_logits_of_the_reference(exported, name, keep):
    space = space_of(f"networks_in_c:{name}", (1, 8, 8), ("int8",), keep=keep)
    made = exported(space.shape, drawn(space, 0), images=digits(40), fitted=True)
    assert_equal(made, digits(20), *SANITIZED)
    assert_near(made, digits(20))


@pytest.mark.parametrize(("kind", "settings"), [("gelu", {}), ("elu", {"alpha": 0.7})])
def test_curves_of_whole_numbers(kind, settings):
    """Within a step of the output, or the distance of the approximation that GELU has here."""
    x = np.arange(-127, 128)
    curve = (lambda x: F.gelu(x)) if kind == "gelu" else (lambda x: F.elu(x, settings["alpha"]))
    for scale in (0.001, 0.02, 0.05, 0.3, 40.0):
        exact = curve(torch.from_numpy(x * scale)).numpy()
        out = np.abs(exact).max() / 127
        gains = [gain / UNIT / out for gain in (1, settings.get("alpha", 1))]
        shift = common_shift(*gains)
        factor, other = (round(gain * 2.0**shift) for gain in gains)
        inside = Ratio.of(scale * UNIT)
        numbers = Numbers(-127, 127, shift, factor, offset=inside.mantissa, offset_shift=inside.shift, other=other)
        found = RULES[kind]([x], settings, numbers, x.shape)
        assert np.abs(found * out - exact).max() <= 0.51 * out + (0.0005 if kind == "gelu" else 4 / UNIT)


def test_residual_sums_and_shortcuts(exported):
    space = space_of("resnet20@0.25", (3, 16, 16), ("stacked", "sparse", "binary"))
    images = torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    made = exported(space.shape, drawn(space, 1), images=images)
    assert_equal(made, images, *SANITIZED)
    assert_near(made, images, 0.3)


@pytest.fixture
def of_chance(monkeypatch):
    module = types.ModuleType("chance_in_c")
    for seed in range(40):
        setattr(module, f"net_{seed}", networks_of_chance.of(seed))
    monkeypatch.setitem(sys.modules, "chance_in_c", module)


@pytest.mark.parametrize("seed", range(6))
def test_networks_and_plans_drawn_at_random(exported, of_chance, seed):
    """Float32 within the bound of rounding, int8 the same bits; arenas as planned."""
    space = space_of(f"chance_in_c:net_{seed}", (2, 9, 9), bits=(8, 16, 32)[seed % 3])
    images = torch.randn(30, 2, 9, 9, generator=torch.Generator().manual_seed(seed))
    plan = drawn(space, seed)
    assert_same(exported(space.shape, plan, seed), images, *SANITIZED)
    made = exported(space.shape, plan, seed, images)
    given = made.reference.quantized(images)
    by_clang = seed % 2 and shutil.which("clang")  # whose sanitizers are a package of their own
    logits = made.logits(given, *(("-O2",) if by_clang else SANITIZED), compiler="clang" if by_clang else "gcc")
    assert torch.equal(logits, made.reference.logits(given))
    sections = made.object("-O2")
    assert sections[".rodata"] == made.counted
    assert sections.get(".bss", 0) == CTarget(activations="int8").arena_bytes(space.shape, plan)


def test_integers_are_the_same_with_every_optimization_and_compiler(exported):
    space = space_of("tiny", (1, 8, 8))
    made = exported(space.shape, drawn(space, 5), images=digits(40))
    for options in (("-O0",), ("-O3", "-march=native"), ("-Os",)):
        assert_equal(made, digits(20), *options)
    if shutil.which("clang"):
        assert_equal(made, digits(20), "-O3", "-march=native", compiler="clang")


def test_merged_rows_at_a_time_are_the_same_bits(exported):
    """Banks that merging does less for, of maps that only fit some rows at a time."""
    space = space_of("small@0.5", (1, 16, 16), ("stacked", "sparse"))
    strips = 0
    for seed in range(3):
        plan = drawn(space, seed)
        made = exported(space.shape, plan, seed, torch.randn(20, 1, 16, 16))
        source = (made.folder / "small_0_5.c").read_text()
        strips += sum(int(rows) < 4 for rows in re.findall(r"merge\(&l.*, (\d+)\);", source))
        assert_equal(made, torch.randn(10, 1, 16, 16, generator=torch.Generator().manual_seed(seed)), *SANITIZED)
    assert strips > 2


def test_maps_of_int8_take_a_quarter_of_the_memory():
    """But for the sums of one filter, four bytes each."""
    space = space_of("small@0.5", (1, 28, 28), ("stacked", "binary"))
    plan = drawn(space, 0)
    small, large = (CTarget(activations=one).arena_bytes(space.shape, plan) for one in ("int8", "float32"))
    assert small <= large / 4 + 4 * (28 * 28 + 9)


def test_the_caller_s_arena(exported):
    space = space_of("tiny", (1, 8, 8))
    for images in (None, digits(40)):
        made = exported(space.shape, drawn(space, 2), images=images)
        sections = made.object("-O2", "-DTINY_CALLERS_ARENA")
        assert not sections.get(".bss") and sections[".rodata"] == made.counted
        given = digits(10) if images is None else made.reference.quantized(digits(10))
        wanted = made.logits(given)
        driver = made.folder / "driver.c"
        called = driver.read_text().replace(
            "static tiny_input_t", "static tiny_arena_t arena[TINY_ARENA_LENGTH];\n    static tiny_input_t"
        )
        driver.write_text(called.replace("tiny_predict(", "tiny_predict_in(arena, "))
        program = made.compile("own", "driver.c", "tiny.c", "-DTINY_CALLERS_ARENA", *SANITIZED, "-lm")
        done = subprocess.run([program], input=given.contiguous().numpy().tobytes(), capture_output=True, check=True)
        assert done.stdout == wanted.numpy().tobytes()


def test_int8_in_an_emulated_cortex_m3(exported):
    space = space_of("tiny", (1, 8, 8))
    made = exported(space.shape, drawn(space, 3), images=digits(40))
    done = emulated(made)
    assert done.returncode == 0 and "0 of 40 logits differ" in done.stdout, done


def test_int8_code_and_stack_on_cortex_m4(exported):
    space = space_of("small@0.5", (1, 28, 28), ("stacked", "sparse", "binary"))
    made = exported(space.shape, drawn(space, 0), images=torch.randn(10, 1, 28, 28))
    sections = made.object(*M4, "-Os", compiler="arm-none-eabi-gcc")
    assert sections[".text"] <= 8192 and sections[".rodata"] == made.counted
    assert 300 < made.stack() <= 512
