"""From a finished run to its images classified by C, on this computer and in an emulated Cortex-M3, with what all of it
takes. `make device` runs it on the run of `make search`.

Run: python examples/device/digits.py runs/digits. Needs gcc; arm-none-eabi-gcc and qemu-system-arm for the second half.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

import bankwise
from bankwise.on_device import described
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.targets.c.target import ACTIVATIONS, CTarget
from bankwise.search_space.targets.file.container import ModelFile, read
from bankwise.trainers.data import ImageData

HERE = Path(__file__).resolve().parent
NAME = "network"
ARM = ("arm-none-eabi-gcc", "-mthumb", "-Os")
EMULATED = ("qemu-system-arm", "-M", "mps2-an385", "-nographic", "-semihosting-config", "enable=on,target=native")
SHOWN = 3


def images_h(folder: Path, data: ImageData, count: int, activations: str) -> None:
    """Test images, and what `show.c` calls the network's names."""
    pixels, labels = (tensor[:count] for tensor in data.test())
    upper, channels = NAME.upper(), data.input_shape[0]
    names = ", ".join(f'"{name}"' for name in data.class_names)
    enter = f"{upper}_NORMALIZE" if activations == "float32" else f"{upper}_QUANTIZE"
    lines = [
        f'#include "{NAME}.h"',
        "#include <stdint.h>",
        *(f"#define {one} {upper}_{one}" for one in ("HEIGHT", "WIDTH", "INPUTS", "CLASSES")),
        f"#define INPUT {NAME}_input_t",
        f"#define LOGIT {NAME}_logit_t",
        f"#define PREDICT {NAME}_predict",
        f"#define ENTER {enter}",
        f"#define IMAGES {len(labels)}",
        f"#define SHOWN {SHOWN if channels == 1 else 0}",
        f"static const char *const LABELS[] = {{{names}}};",
        f"static const uint8_t labels[] = {{{', '.join(map(str, labels.tolist()))}}};",
        f"static const uint8_t pixels[][{pixels[0].numel()}] = {{",
        *(f"    {{{', '.join(map(str, image.flatten().tolist()))}}}," for image in pixels),
        "};",
        "",
    ]
    (folder / "images.h").write_text("\n".join(lines))


def built(folder: Path, *command: str) -> Path:
    subprocess.run([*command, "-std=c99", "-o", "show", "show.c", f"{NAME}.c", "-lm"], cwd=folder, check=True)
    return folder / "show"


def code_bytes(folder: Path, cpu: str) -> int:
    """Those of the network's own code, for that processor."""
    subprocess.run([*ARM, f"-mcpu={cpu}", "-std=c99", "-c", f"{NAME}.c", "-o", "code.o"], cwd=folder, check=True)
    with open(folder / "code.o", "rb") as stream:
        return sum(one["sh_size"] for one in ELFFile(stream).iter_sections() if one.name.startswith(".text"))


def flash(model: ModelFile) -> dict[str, int]:
    """Bytes of constant data by what they are."""
    found: dict[str, int] = {"bank": 0, "indices": 0, "norms": 0, "scales and biases": 0, "other": 0}
    for (_, part), size in CTarget().size(model.shape, model.plan).items():
        stem = part.partition(".")[0]
        kinds = {"norm": "norms", "scale": "scales and biases", "bias": "scales and biases", "signs": "bank"}
        kind = kinds.get(stem, stem)
        found[kind if kind in found else "other"] += size
    return {kind: size for kind, size in found.items() if size}


def show(run: Path, count: int) -> list[tuple[str, ...]]:
    """Classify on this computer and, where that is installed, in the emulator; the rows of the table."""
    model, arm = read(run / "model.bankwise"), shutil.which(ARM[0]) and shutil.which(EMULATED[0])
    data = described(run, None, None)
    if data is None:
        raise BankwiseError(f"{str(run)!r} records no data")
    rows: list[tuple[str, ...]] = []
    for activations in ACTIVATIONS:
        target = CTarget(activations=activations)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            bankwise.export(run, folder, target="c", activations=activations, name=NAME)
            for file in ("show.c", "start.c", "qemu.ld"):
                shutil.copy(HERE / file, folder)
            images_h(folder, data.load("test"), count, activations)
            said = subprocess.run([built(folder, "gcc", "-O2")], check=True, capture_output=True, text=True).stdout
            if activations == ACTIVATIONS[0]:
                print(said.rpartition("right")[0], end="")
            host = re.search(r"right (\d+) of (\d+), logits (\w+)", said)
            assert host is not None
            print(f"{activations}, on this computer: {host[1]} of {host[2]} right")
            code = stack = "-"
            if arm:
                options = ("-mcpu=cortex-m3", "--specs=rdimon.specs", "-T", "qemu.ld", "-nostartfiles", "start.c")
                program = built(folder, *ARM, *options)
                shown = subprocess.run([*EMULATED, "-kernel", program], check=True, capture_output=True, text=True)
                found = re.search(r"right (\d+) of (\d+), logits (\w+), stack (\d+)", shown.stdout)
                assert found is not None, shown
                alike = "the same logits, bit for bit" if found[3] == host[3] else "other logits"
                print(f"{activations}, in a Cortex-M3: {found[1]} of {found[2]} right, {alike}")
                code = " / ".join(f"{code_bytes(folder, cpu):,}" for cpu in ("cortex-m4", "cortex-m0plus"))
                stack = f"{int(found[4]):,}"
            arena = target.arena_bytes(model.shape, model.plan)
            rows.append((activations, code, f"{arena:,}", stack))
    parts = flash(model)
    total = sum(parts.values())
    print(f"\nflash, constant data: {total:,} bytes: " + ", ".join(f"{kind} {size:,}" for kind, size in parts.items()))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--images", type=int, default=100, help="of the test set")
    options = parser.parse_args()
    if shutil.which("gcc") is None:
        raise SystemExit("needs gcc")
    try:
        rows = show(options.run, options.images)
    except BankwiseError as error:
        sys.exit(f"error: {error}")
    print("\n| activations | code, Cortex-M4 / M0+ | RAM: arena | RAM: stack |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
