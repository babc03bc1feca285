"""C sources: constant data and arena as planned, to the byte, and the logits of torch, by real compilers."""

import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from bankwise.search_space.accounting import DEVICE
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import KINDS
from bankwise.search_space.images import Images
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import IN_MEMORY, build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.c.project import bound
from bankwise.search_space.targets.c.target import CTarget, identifier
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import VECTORS as STORAGES
from bankwise.trainers.data import load_data

from . import networks_in_c
from .conftest import M0, M4, SANITIZED, Exported, needed

ROOT = Path(__file__).resolve().parents[4]
VECTORS = tuple(STORAGES)


def space_of(name, input_shape, kinds=KINDS, keep=(), bits=16, classes=10):
    shape = trace(build(name, classes=classes, in_channels=input_shape[0]), name, input_shape, classes, keep)
    settings = SpaceSettings(kinds, kinds, kinds, keep=keep, vector_bits=bits, vectors=VECTORS if bits == 16 else ())
    return SearchSpace(shape, settings)


def drawn(space, seed):
    rng = np.random.default_rng(seed)
    return space.plan([int(rng.integers(size)) for size in space.sizes])


def digits(count):
    pixels = np.round(load_digits().images[:count] * (255 / 16)).astype(np.uint8)
    return Images("symmetric").to_input(torch.from_numpy(pixels)[:, None])


@torch.no_grad()
def assert_same(made: Exported, images, *options, compiler="gcc"):
    logits = made.logits(images, *options, compiler=compiler)
    expected = made.network(images)
    assert float((logits - expected).abs().max()) <= bound(made.shape, made.network, [images])
    return logits


@pytest.mark.parametrize(("kind", "bits"), [(kind, (4, 8, 16, 32)[i % 4]) for i, kind in enumerate(KINDS)])
def test_every_family_gives_the_logits_of_torch_on_digits(exported, kind, bits):
    space = space_of("tiny", (1, 8, 8), (kind, "int5") if kind == "subbit" else (kind,), bits=bits)
    for seed in range(1 + (kind in ("stacked", "sparse"))):
        made = exported(space.shape, drawn(space, seed), seed)
        assert_same(made, digits(100), *SANITIZED)


def test_sums_are_the_same_with_every_optimization_and_compiler(exported):
    space = space_of("tiny", (1, 8, 8))
    made = exported(space.shape, drawn(space, 5))
    first = made.logits(digits(20), "-O0")
    for options in (("-O2",), ("-O3", "-march=native")):
        assert torch.equal(made.logits(digits(20), *options), first)
    if shutil.which("clang"):
        assert torch.equal(made.logits(digits(20), "-O3", "-march=native", compiler="clang"), first)


@pytest.fixture(autouse=True)
def users_networks(monkeypatch):
    module = types.ModuleType("networks_in_c")
    for network in networks_in_c.NETWORKS:
        setattr(module, network.__name__, network)
    monkeypatch.setitem(sys.modules, "networks_in_c", module)
    return module


@pytest.mark.parametrize("keep", [(), ("same", "norm", "gate", "norm2")])
def test_every_operation_gives_the_logits_of_torch(exported, keep):
    space = space_of("networks_in_c:Mixed", (2, 13, 11), keep=keep)
    images = torch.randn(20, 2, 13, 11, generator=torch.Generator().manual_seed(0))
    for seed in range(2):
        made = exported(space.shape, drawn(space, seed), seed)
        assert_same(made, images, *SANITIZED)
        assert made.object("-O2")[".bss"] == CTarget().arena_bytes(space.shape, made.plan)


def test_smooth_activations_give_the_logits_of_torch(exported):
    space = space_of("networks_in_c:Smooth", (2, 9, 7), ("int8",), bits=32)
    images = 3 * torch.randn(20, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    made = exported(space.shape, drawn(space, 0))
    assert_same(made, images, *SANITIZED)
    assert_same(made, images, "-O2")


def test_a_tensor_changed_in_place_is_so_in_its_views_and_not_in_its_copies(exported):
    space = space_of("networks_in_c:InPlace", (2, 7, 9))
    images = torch.randn(20, 2, 7, 9, generator=torch.Generator().manual_seed(0))
    for seed in range(2):
        assert_same(exported(space.shape, drawn(space, seed), seed), images, *SANITIZED)


def test_residual_sums_and_shortcuts(exported):
    space = space_of("resnet20@0.25", (3, 16, 16), ("stacked", "sparse", "binary"))
    made = exported(space.shape, drawn(space, 1))
    assert_same(made, torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(1)), *SANITIZED)


def test_split_transform_merge_runs_where_its_operations_are_fewer_and_its_maps_fit(exported):
    space = space_of("small@0.5", (1, 16, 16), ("stacked", "sparse"))
    layers, merged = space.shape.layers, 0
    for seed in range(2):
        plan = drawn(space, seed)
        made = exported(space.shape, plan, seed)
        steps = [step for step in CTarget().program(space.shape, plan).arena.steps if "layer" in step.needs]
        for layer, step in zip(layers, steps, strict=True):
            by, plain = (plan.layers[layer.name].operations(layer, run) for run in ("merge", "materialized"))
            fewer = by.additions + by.multiplications < plain.additions + plain.multiplications
            assert fewer or "merge" not in step.needs
            merged += "merge" in step.needs
        assert_same(made, torch.randn(10, 1, 16, 16, generator=torch.Generator().manual_seed(seed)), *SANITIZED)
    assert merged > 2


def test_merged_maps_take_no_more_memory_than_the_layers_as_they_are():
    """One bank filter a tile, so that merging always does less; the arena is that of the plan without banks."""
    space = space_of("small@0.5", (1, 28, 28), ("stacked", "binary"))
    binary = space.plan([next(i for i, c in enumerate(row) if c.family == "binary") for row in space.choices])
    arenas = {CTarget().arena_bytes(space.shape, drawn(space, seed)) for seed in range(8)}
    assert arenas == {CTarget().arena_bytes(space.shape, binary)}
    assert arenas.pop() <= space.shape.peak_live_bytes + 4 * 9  # and the taps of one filter and channel


def test_constant_data_and_arena_are_as_planned(exported):
    for seed in range(12):
        keep, bits = ((), ("0",))[seed % 2], (8, 16, 32)[seed % 3]
        space = space_of("tiny", (1, 8, 8), keep=keep, bits=bits)
        made = exported(space.shape, drawn(space, seed), seed)
        planned = sum(CTarget().size(space.shape, made.plan).values())
        sections = made.object(("-O2", "-Os", "-O3")[seed % 3])
        assert sections[".rodata"] == planned == made.counted == price(space.shape, made.plan).device_bytes
        assert planned == DEVICE.plan_cost(price(space.shape, made.plan))
        header = (made.folder / "tiny.h").read_text()
        assert f"TINY_FLASH_BYTES {planned} " in header and f"TINY_ARENA_BYTES {sections['.bss']} " in header
        assert sections[".bss"] == CTarget().arena_bytes(space.shape, made.plan) and not sections.get(".data")


def test_beside_it_a_self_test_an_example_and_how_to_build_them(exported):
    needed("make"), needed("gcc")
    space = space_of("tiny", (1, 8, 8))
    made = exported(space.shape, drawn(space, 2))
    done = subprocess.run(["make", "test", "tiny"], cwd=made.folder, capture_output=True, text=True)
    assert done.returncode == 0 and "largest difference" in done.stdout and "warning" not in done.stderr, done
    image = digits(1)
    shown = subprocess.run([made.folder / "tiny"], input=image.numpy().tobytes(), capture_output=True, check=True)
    with torch.no_grad():
        assert int(shown.stdout.split()[0]) == int(made.network(image).argmax())
    test = made.folder / "tiny_test.c"
    test.write_text(test.read_text().replace("= {\n        {", "= {\n        {1e6f + ", 1))  # another logit
    assert subprocess.run(["make", "test"], cwd=made.folder, capture_output=True).returncode != 0


@pytest.mark.parametrize("options", [M0, M4], ids=["cortex-m0plus", "cortex-m4"])
def test_code_for_cortex_m_takes_less_than_four_kilobytes(exported, options):
    space = space_of("small", (1, 28, 28), ("stacked", "int8"))
    sections = exported(space.shape, drawn(space, 0)).object(*options, "-Os", compiler="arm-none-eabi-gcc")
    assert sections[".text"] <= 4096 and sections[".rodata"] > 0


def emulated(made: Exported):
    """The self test, run in an emulated Cortex-M3."""
    needed("qemu-system-arm"), needed("arm-none-eabi-gcc")
    (made.folder / "start.c").write_text(START)
    (made.folder / "map.ld").write_text(MAP)
    options = ("-mcpu=cortex-m3", "-mthumb", "-Os", "--specs=rdimon.specs", "-T", "map.ld", "-nostartfiles")
    program = made.compile(
        "test.elf", *options, "start.c", "tiny.c", "tiny_test.c", "-lm", compiler="arm-none-eabi-gcc"
    )
    machine = ["qemu-system-arm", "-M", "mps2-an385", "-nographic", "-semihosting-config", "enable=on,target=native"]
    return subprocess.run([*machine, "-kernel", program], capture_output=True, text=True, timeout=500)


def test_the_self_test_passes_in_an_emulated_cortex_m3(exported):
    space = space_of("tiny", (1, 8, 8))
    done = emulated(exported(space.shape, drawn(space, 3)))
    assert done.returncode == 0 and "largest difference" in done.stdout, done


START = """
#include <stdint.h>
#include <stdlib.h>
extern uint32_t stack_top;
int main(void);
void initialise_monitor_handles(void);
void _init(void);
void _fini(void);
void _init(void) {}
void _fini(void) {}
void start(void);
void start(void)
{
    initialise_monitor_handles();
    exit(main());
}
typedef void (*entry_t)(void);
__attribute__((section(".vectors"), used)) const entry_t vectors[2] = {(entry_t)(uintptr_t)&stack_top, start};
"""
MAP = """
ENTRY(start)
MEMORY { ram : ORIGIN = 0x0, LENGTH = 4M }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > ram
    .ARM.exidx : { *(.ARM.exidx*) } > ram
    .data : { *(.data*) } > ram
    .bss : { *(.bss*) *(COMMON) } > ram
    end = ALIGN(8);
    stack_top = 0x400000;
}
"""


def test_what_cannot_run_in_c_is_one_line_that_names_the_module(tmp_path):
    space = space_of("networks_in_c:Transposed", (1, 8, 8))
    plan = drawn(space, 0)
    for call in (
        lambda: CTarget().size(space.shape, plan),
        lambda: CTarget().save(tmp_path / "c", space.shape, plan, {}),
    ):
        with pytest.raises(BankwiseError, match=r"shuffle \(ChannelShuffle\) cannot run in C \(channel_shuffle\)"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("activations", ["float32", "int8"])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("Convolved", "conv2d"),
        ("Normed", "batch_norm"),
        ("Maximum", "max_pool2d"),
        ("Average", "avg_pool2d"),
        ("Adaptive", "adaptive_avg_pool2d"),
    ],
)
def test_windows_of_an_image_in_the_batch_dimension_are_refused(kind, what, activations):
    space = space_of(f"networks_in_c:Windows{kind}", (1, 8, 8))
    with pytest.raises(BankwiseError, match=rf"one \(\w+\) cannot run in C \({what} of 2x1x4x8: parts of an image"):
        CTarget(activations=activations).size(space.shape, drawn(space, 0))


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_a_weight_with_the_bias_of_another_layer_is_refused(activations):
    space = space_of("networks_in_c:OtherBias", (1, 8, 8))
    with pytest.raises(BankwiseError, match="the weight of layer first with the bias second.bias"):
        CTarget(activations=activations).size(space.shape, drawn(space, 0))


@pytest.mark.parametrize(
    ("name", "keep"), [("Rows", ()), ("Functional", ()), ("Named", ("kept", "tied")), ("Tokens", ())]
)
def test_shared_layers_and_rows_give_the_logits_of_torch(exported, name, keep):
    """Weights read twice, modules of several names, and linear layers at several positions."""
    space = space_of(f"networks_in_c:{name}", (1, 8, 8), ("int8",), keep=keep)
    made = exported(space.shape, drawn(space, 0), fitted=True)
    assert_same(made, digits(20), *SANITIZED)


def test_an_elu_of_another_scale_is_refused():
    space = space_of("networks_in_c:Scaled", (1, 8, 8))
    with pytest.raises(BankwiseError, match=r"Scaled cannot run in C \(elu\)"):
        CTarget().size(space.shape, drawn(space, 0))


@pytest.mark.parametrize(("name", "keep", "what"), [("Shifted", "shift", "add"), ("Computed", "kernel", "tanh")])
def test_arithmetic_with_parameters_is_refused(name, keep, what):
    space = space_of(f"networks_in_c:{name}", (1, 8, 8), keep=(keep,))
    with pytest.raises(BankwiseError, match=rf"{name} cannot run in C \({what}\)"):
        CTarget().size(space.shape, drawn(space, 0))


@pytest.mark.parametrize("kind", ["composite", "int4"])
def test_names_of_layers_are_never_mistaken_for_c(exported, kind):
    space = space_of("networks_in_c:Alike", (1, 8, 8), (kind,))
    assert_same(exported(space.shape, drawn(space, 1)), digits(5), *SANITIZED)


def test_a_network_in_memory(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)).eval()
    space = SearchSpace(trace(module, IN_MEMORY, (1, 8, 8), 3), SpaceSettings())
    plan = drawn(space, 0)
    codes = pack(build_child(module, space.shape, plan, 0).eval(), space.shape, plan)
    target = CTarget()
    with pytest.raises(BankwiseError, match="in memory"):
        target.save(tmp_path / "c", space.shape, plan, codes)
    target.network = module
    assert target.save(tmp_path / "c", space.shape, plan, codes) == sum(target.size(space.shape, plan).values())
    needed("gcc"), needed("make")
    done = subprocess.run(["make", "test"], cwd=tmp_path / "c", capture_output=True, text=True)
    assert done.returncode == 0, done


def test_names_of_networks_are_names_of_c():
    references = ["tiny", "tiny@0.5", "torchvision:mobilenet_v2", "my.models:make", "a:int", "x:_2D", "a:Test"]
    assert [identifier(one) for one in references] == [
        "tiny", "tiny_0_5", "mobilenet_v2", "make", "net_int", "net_2d", "net_test",
    ]  # fmt: skip


def test_labels_are_strings_of_c(tmp_path):
    space = space_of("tiny", (1, 8, 8), ("binary",), classes=2)
    plan = replace(drawn(space, 0), images=Images("symmetric", ('a "b"\\?', "Zoë")))
    network = build("tiny", classes=2, in_channels=1)
    written = CTarget().write(space.shape, plan, pack(build_child(network, space.shape, plan, 0), space.shape, plan))
    assert r'TINY_LABELS {"a \042b\042\134\077", "Zo\303\253"}' in written["tiny.h"].decode()


@pytest.mark.slow
def test_the_searched_plan_of_8_kilobytes_on_fashion_mnist(exported, data_root):
    """Constants as planned, less code than 4 KiB, and the logits of torch for real images."""
    plan = Plan.read(ROOT / "examples" / "device" / "fashion-8KiB.yaml")
    shape = trace(build(plan.network, classes=10, in_channels=1), plan.network, plan.input_shape, 10)
    made = exported(shape, plan)
    pixels = load_data("fashion-mnist", root=data_root).test()[0][:500]
    assert_same(made, Images("symmetric").to_input(pixels), "-O2")
    assert made.counted == price(shape, plan).device_bytes < 8192
    if shutil.which("arm-none-eabi-gcc"):
        assert made.object(*M4, "-Os", compiler="arm-none-eabi-gcc")[".text"] <= 4096


def test_the_stack_takes_at_most_512_bytes(exported):
    space = space_of("small@0.5", (1, 28, 28), ("stacked", "sparse", "binary"))
    made = exported(space.shape, drawn(space, 0))
    assert 300 < made.stack() <= 512
