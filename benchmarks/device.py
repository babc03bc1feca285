"""C sources of a plan against those of the same network with int8 weights: flash, code, memory, instructions; and, of a
trained run, the logits and the time of all its test images beside PyTorch's.

Run: python benchmarks/device.py [--run RUN]. Needs gcc and valgrind; arm-none-eabi-gcc for the code of a Cortex-M4.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from elftools.elf.elffile import ELFFile
from scipy.stats import spearmanr

import bankwise
from bankwise import plan as plan_for
from bankwise.on_device import described
from bankwise.search_space.families import Integer, Stacked
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.targets.c.project import bound
from bankwise.search_space.targets.c.target import ACTIVATIONS, CTarget, identifier
from bankwise.search_space.targets.file.container import read
from bankwise.search_space.trace import trace
from bankwise.trainers.evaluate import predict

M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Os")
HOST = ("-O2",)
QUARTER = 1 / 4  # of a layer's filters
FASTEST = ("-O3", "-march=native")
CLASSIFY = """
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    static NAME_input_t image[UPPER_INPUTS];
    static NAME_logit_t logits[UPPER_CLASSES];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        NAME_predict(image, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Measured:
    """Bytes of the sections on the host and on a Cortex-M4, of the arena, and instructions of one image on the host."""

    host: dict[str, int]
    arm: dict[str, int]
    arena: int
    instructions: int


def sections(folder: Path, name: str, *command: str) -> dict[str, int]:
    """Bytes of the sections of the object file."""
    subprocess.run([*command, "-std=c99", "-c", f"{name}.c", "-o", "object.o"], cwd=folder, check=True)
    with open(folder / "object.o", "rb") as stream:
        return {section.name: section["sh_size"] for section in ELFFile(stream).iter_sections()}


def instructions(folder: Path, name: str, image: bytes) -> int:
    """Those of one call of NAME_predict on the host."""
    command = ["gcc", "-std=c99", *HOST, "main.c", f"{name}.c", "-o", "example", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    profile = ["valgrind", "--tool=callgrind", "--callgrind-out-file=profile", f"--toggle-collect={name}_predict_in"]
    subprocess.run([*profile, "./example"], cwd=folder, input=image, capture_output=True, check=True)
    found = re.search(r"^(?:summary|totals): (\d+)", (folder / "profile").read_text(), re.MULTILINE)
    if found is None or int(found[1]) == 0:
        raise SystemExit("valgrind counted nothing")
    return int(found[1])


def measured(shape: NetworkShape, plan: Plan, activations: str) -> Measured:
    """Of the sources of an untrained child."""
    network = build(plan.network, classes=plan.classes, in_channels=plan.input_shape[0])
    codes = pack(build_child(network, shape, plan, 0).eval(), shape, plan)
    images = torch.randn(8, *plan.input_shape, generator=torch.Generator().manual_seed(0))
    target, name = CTarget(activations=activations, images=images), identifier(plan.network)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        target.save(folder, shape, plan, codes)
        arm = sections(folder, name, "arm-none-eabi-gcc", *M4) if shutil.which("arm-none-eabi-gcc") else {}
        image = images[0] if activations == "float32" else target.reference(shape, plan, codes).quantized(images[0])
        count = instructions(folder, name, image.numpy().tobytes())
        return Measured(sections(folder, name, "gcc", *HOST), arm, target.arena_bytes(shape, plan), count)


def operations(shape: NetworkShape, plan: Plan, activations: str) -> int:
    """Those that are counted for the way in which each layer runs."""
    steps = CTarget(activations=activations).program(shape, plan).arena.steps
    return sum(step.operations for step in steps)


def against_int8(shape: NetworkShape, found: Plan, plain: Plan) -> dict[str, int]:
    """A table of both plans; the instructions of the plain one, by activations."""
    print("| plan | activations | constant bytes, planned | .rodata | code (Cortex-M4, -Os) | arena | instructions |")
    print("|---|---|---|---|---|---|---|")
    counts: dict[str, int] = {}
    lines = []
    for activations in ACTIVATIONS:
        both = []
        for name, plan in (("bankwise", found), ("int8 weights", plain)):
            one, planned = measured(shape, plan, activations), price(shape, plan).device_bytes
            code = f"{one.arm['.text']:,}" if one.arm else "-"
            sizes = f"{planned:,} | {one.host['.rodata']:,} | {code} | {one.arena:,} | {one.instructions:,}"
            print(f"| {name} | {activations} | {sizes} |", flush=True)
            both.append((one.host[".rodata"], one.instructions))
        flash, work = (a / b for a, b in zip(*both, strict=True))
        counts[activations] = both[1][1]
        lines.append(f"{activations}: {flash:.3f} of the flash of int8 weights, {work:.2f} of the instructions")
    print("", *lines, sep="\n")
    return counts


def crossing(shape: NetworkShape, counts: dict[str, int], plans: int) -> None:
    """Random plans of banks: from the smallest to the largest, and as many with k <= n / 4 in every layer."""
    space = SearchSpace(shape, SpaceSettings(("stacked",), ("stacked",), ("stacked",)))
    for activations in ACTIVATIONS:
        rng, rows = np.random.default_rng(0), []
        drawn = [[banked(row, share, rng) for row in space.choices] for share in np.linspace(0, 1, plans)]
        drawn += [[small_bank(row, layer.n, rng) for layer, row in zip(shape.layers, space.choices, strict=True)]
                  for _ in range(plans)]  # fmt: skip
        for plan in map(space.plan, drawn):
            count = measured(shape, plan, activations).instructions
            rows.append((operations(shape, plan, activations), count, largest_bank(shape, plan)))
        print(f"\n| {activations}: operations that are counted | largest k / n | instructions | of int8 weights |")
        print("|---|---|---|---|")
        for counted, count, bank in sorted(rows):
            print(f"| {counted:,} | {bank:.2f} | {count:,} | {count / counts[activations]:.2f} |")
        correlation = spearmanr([row[0] for row in rows], [row[1] for row in rows]).statistic
        print(f"\nRank correlation: {correlation:.3f}")
        shares = [count / counts[activations] for _, count, _ in rows]
        small = [share for share, (_, _, bank) in zip(shares, rows, strict=True) if bank <= QUARTER]
        print(
            f"Of the instructions of int8 weights at most {worst(small)} in the {len(small)} plans with k <= n / 4 in "
            f"every layer (goal: 1.3), at most {worst(shares)} in all {len(shares)} (goal: 2)",
            flush=True,
        )


def worst(ratios: Sequence[float]) -> str:
    return f"{max(ratios):.2f}" if ratios else "-"


def largest_bank(shape: NetworkShape, plan: Plan) -> float:
    """The largest bank of a layer, as a share of the layer's filters."""
    return max(plan.layers[layer.name].k / layer.n for layer in shape.layers)


def banked(row: Sequence[Stacked], share: float, rng: np.random.Generator) -> int:
    """A choice whose bank is about that share of the largest, on a logarithmic scale."""
    sizes = sorted({choice.k for choice in row})
    wanted = sizes[round(share * (len(sizes) - 1))]
    return int(rng.choice([i for i, choice in enumerate(row) if choice.k == wanted]))


def small_bank(row: Sequence[Stacked], filters: int, rng: np.random.Generator) -> int:
    """A choice whose bank has at most a quarter of the layer's filters."""
    return int(rng.choice([i for i, choice in enumerate(row) if choice.k <= QUARTER * filters]))


def classified(folder: Path, inputs: torch.Tensor, kind: torch.dtype, *options: str) -> tuple[torch.Tensor, float]:
    """The logits of compiled sources, and the processor's seconds for all images."""
    (folder / "classify.c").write_text(CLASSIFY.replace("NAME", "network").replace("UPPER", "NETWORK"))
    command = ["gcc", "-std=c99", *options, "-o", "classify", "classify.c", "network.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [folder / "classify"], input=inputs.contiguous().numpy().tobytes(), capture_output=True, check=True
    )
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return torch.frombuffer(bytearray(done.stdout), dtype=kind).reshape(len(inputs), -1), seconds


def of_run(run: Path) -> None:
    """All test images of a run by C and by Python: logits, accuracy, time."""
    model, described_as = read(run / "model.bankwise"), described(run, None, None)
    if described_as is None:
        raise SystemExit(f"{str(run)!r} records no data")
    data = described_as.load("test")
    pixels, labels = data.test()
    network, inputs = model.network(), data.to_input(pixels)
    expected = predict(network, pixels, normalization=data.normalization)
    torch.set_num_threads(1)
    some, start = inputs[:500], time.process_time()
    with torch.no_grad():
        for image in some:
            network(image[None])
    usual = (time.process_time() - start) / len(some)
    print(f"\n{model.plan.network}, {model.size:,} bytes, on {len(labels):,} test images of {data.name}\n")
    usually = float((expected.argmax(1) == labels).float().mean())
    print(f"PyTorch, one thread, batch 1: {1e3 * usual:.2f} ms an image")
    for activations in ACTIVATIONS:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            bankwise.export(run, folder, target="c", activations=activations, name="network")
            kind, given = torch.float32, inputs
            if activations == "int8":
                training = described_as.load("training")
                count = min(256, len(training.train_x))
                picks = torch.arange(count) * len(training.train_x) // count
                target = CTarget(activations=activations, images=training.to_input(training.train_x[picks]))
                reference = target.reference(model.shape, model.plan, model.codes)
                kind, made_of = torch.int16, reference.of_pixels(pixels)
                given = reference.quantized(inputs) if made_of is None else made_of
            logits, seconds = classified(folder, given, kind, *HOST)
            _, fastest = classified(folder, given[:1000], kind, *FASTEST)
        right = float((logits.argmax(1) == labels).float().mean())
        same = float((logits.argmax(1) == expected.argmax(1)).float().mean())
        line = f"{activations}: accuracy {right:.4f}, of PyTorch {usually:.4f}, "
        line += f"the same class for {same:.4f}; "
        if activations == "int8":
            wrong = int((logits != reference.logits(given)).any(1).sum())
            line += f"logits other than the reference's: {wrong} images"
        else:
            allowed = bound(model.shape, network, [inputs[:1000]])
            line += f"largest difference {float((logits - expected).abs().max()):.2e}, allowed {allowed:.2e}"
        print(line)
        for options, each in ((HOST, seconds / len(labels)), (FASTEST, fastest / 1000)):
            print(
                f"    gcc {' '.join(options)}: {1e3 * each:.2f} ms an image, {each / usual:.1f} times PyTorch's",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="small")
    parser.add_argument("--input", default="1x28x28", help="CHANNELSxHEIGHTxWIDTH")
    parser.add_argument("--budget", default="8KiB", help="of constant data, for the closed form's plan")
    parser.add_argument("--plan", help="a plan.yaml, in place of network, input and budget")
    parser.add_argument("--plans", type=int, default=8, help="random plans on which the price is compared")
    parser.add_argument("--run", type=Path, help="a finished run, whose plan and test images are taken")
    options = parser.parse_args()
    if missing := [program for program in ("gcc", "valgrind") if shutil.which(program) is None]:
        print(f"needs {' and '.join(missing)}: nothing is measured")
        return
    channels, height, width = map(int, options.input.split("x"))
    named = options.run / "plan.yaml" if options.run else options.plan
    given = Plan.read(named) if named else Plan(options.network, (channels, height, width), 10, {})
    network = build(given.network, classes=given.classes, in_channels=given.input_shape[0])
    shape = trace(network, given.network, given.input_shape, given.classes)
    found = given
    if not named:
        found = plan_for(SearchSpace(shape, SpaceSettings()), options.budget, accounting="device").plan
    plain = Plan(found.network, found.input_shape, found.classes, {layer.name: Integer(8) for layer in shape.layers},
                 vector_bits=found.vector_bits)  # fmt: skip
    print(f"{found.network} on {'x'.join(map(str, found.input_shape))}; host gcc {' '.join(HOST)}\n")
    counts = against_int8(shape, found, plain)
    if options.plans:
        crossing(shape, counts, options.plans)
    if options.run:
        of_run(options.run)


if __name__ == "__main__":
    main()
