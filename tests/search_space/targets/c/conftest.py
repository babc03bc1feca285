"""Networks with a plan as C sources, compiled and run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from elftools.elf.elffile import ELFFile
from torch import nn

from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import assemble, blank, pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.int8.reference import Reference
from bankwise.search_space.targets.c.target import CTarget, identifier

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
M0 = ("-mcpu=cortex-m0plus", "-mthumb")

DRIVER = """
#include "{name}.h"
#include <stdio.h>
int main(void)
{{
    static {name}_input_t image[{upper}_INPUTS];
    static {name}_logit_t logits[{upper}_CLASSES];
    while (fread(image, sizeof image, 1, stdin) == 1) {{
        {name}_predict(image, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }}
    return 0;
}}
"""


def needed(program: str) -> str:
    """The program, or the test is skipped."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    return program


@dataclass(frozen=True)
class Exported:
    """Sources in `folder`, and the network that they are of."""

    folder: Path
    name: str
    shape: NetworkShape
    plan: Plan
    network: nn.Module
    counted: int
    reference: Reference | None = None  # of int8 activations

    def compile(self, output: str, *options: str, compiler: str = "gcc") -> Path:
        """As few messages as possible: none at all."""
        command = [needed(compiler), *STRICT, *options, "-o", str(self.folder / output)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return self.folder / output

    def object(self, *options: str, compiler: str = "gcc") -> dict[str, int]:
        """Bytes of the sections of NAME.c's object file."""
        path = self.compile("object.o", "-c", f"{self.name}.c", *options, compiler=compiler)
        with open(path, "rb") as stream:
            return {section.name: section["sh_size"] for section in ELFFile(stream).iter_sections()}

    def stack(self) -> int:
        """Bytes that the deepest chain of calls takes on a Cortex-M4; a call by pointer may be of any function that is
        called so."""
        self.object(*M4, "-Os", "-fcallgraph-info=su", compiler="arm-none-eabi-gcc")
        text = (self.folder / "object.ci").read_text()
        sizes = {
            name: int(size)
            for name, size in re.findall(r'title: "(?:[^"]*:)?(\w+)[.\w]*" label: "[^"]*?(\d+) bytes', text)
        }
        calls = {
            (a, b)
            for a, b in re.findall(r'sourcename: "(?:[^"]*:)?(\w+)[.\w]*" targetname: "(?:[^"]*:)?(\w+)[.\w]*"', text)
        }
        pointed = {"folded": "vector", "affine": ("vector", "folded", "kept_at"), "channel": ("folded", "kept_at")}

        def deepest(name: str) -> int:
            called = [b for a, b in calls if a == name]
            if "__indirect_call" in called:
                called += [one for one in sizes if one.startswith(pointed.get(name, "plane_"))]
            return sizes.get(name, 0) + max((deepest(one) for one in called if one in sizes), default=0)

        return sizes[f"{self.name}_predict"] + deepest(f"{self.name}_predict_in")

    def logits(self, images: torch.Tensor, *options: str, compiler: str = "gcc") -> torch.Tensor:
        """Those of the compiled program for images as it takes them: float32, or int8."""
        text = DRIVER.format(name=self.name, upper=self.name.upper())
        (self.folder / "driver.c").write_text(text)
        program = self.compile("driver", "driver.c", f"{self.name}.c", *options, "-lm", compiler=compiler)
        done = subprocess.run([program], input=images.contiguous().numpy().tobytes(), capture_output=True, check=True)
        kind = torch.float32 if self.reference is None else torch.int16
        return torch.frombuffer(bytearray(done.stdout), dtype=kind).reshape(len(images), -1)


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., Exported]:
    """The untrained child of a plan as sources; its batch norms have seen noise, so that no value grows. With `images`,
    float32, activations are int8, at scales from these. `fitted`: it starts from the weights of the network."""

    def make(
        shape: NetworkShape, plan: Plan, seed: int = 0, images: torch.Tensor | None = None, fitted: bool = False
    ) -> Exported:
        network = build(plan.network, classes=plan.classes, in_channels=plan.input_shape[0])
        child = build_child(network, shape, plan, seed, network if fitted else None).train()
        with torch.no_grad():
            for _ in range(20):
                child(torch.randn(8, *plan.input_shape, generator=torch.Generator().manual_seed(seed)))
        codes = pack(child.eval(), shape, plan)
        folder = tmp_path / f"c{len(list(tmp_path.iterdir()))}"
        target = CTarget() if images is None else CTarget(activations="int8", images=images)
        counted = target.save(folder, shape, plan, codes)
        made = assemble(blank(plan), shape, plan, codes)
        reference = None if images is None else target.reference(shape, plan, codes)
        return Exported(folder, identifier(plan.network), shape, plan, made, counted, reference)

    return make
