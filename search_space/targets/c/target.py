"""The target `c`: C99 sources whose constant data are the plan's packed parts, to the byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.packing import PlanCodes, assemble, blank
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.emit import Builder, Program, program_of
from bankwise.search_space.targets.c.graph import graph_of
from bankwise.search_space.targets.c.int8.emit import Int8Builder
from bankwise.search_space.targets.c.int8.emit import program_of as int8_program_of
from bankwise.search_space.targets.c.int8.numbers import Numbers
from bankwise.search_space.targets.c.int8.reference import Reference
from bankwise.search_space.targets.c.int8.self_test import self_test as int8_self_test
from bankwise.search_space.targets.c.project import cmake, example, makefile, self_test
from bankwise.search_space.targets.c.source import constant_bytes, texts
from bankwise.search_space.targets.file.container import encode
from bankwise.search_space.targets.file.layout import payload_bytes, payload_entries
from bankwise.search_space.targets.target import Sizes, Target, Written

ACTIVATIONS = ("float32", "int8")
MOST_BYTES = 2**27  # of constant data: every bit has a number of 31 bits


class CTarget(Target):
    """Files begin with `prefix`, by default the network's name as far as C allows: tiny.h, tiny.c.

    `activations` are float32, or int8 with scales from `images` of the training data: float32 (count, channels, height,
    width), as the network takes them. Sizes can be had without images.
    """

    name = "c"
    help = "C99 sources for a microcontroller"

    def __init__(
        self,
        network: nn.Module | None = None,
        activations: str = ACTIVATIONS[0],
        images: torch.Tensor | None = None,
        prefix: str | None = None,
    ):
        """Raises BankwiseError for other activations, and a prefix that is no name of C."""
        super().__init__(network)
        if activations not in ACTIVATIONS:
            raise unknown("activations", activations, ACTIVATIONS)
        if prefix is not None:
            check_identifier(prefix)
        self.activations, self.images, self.prefix = activations, images, prefix
        self._last: tuple[PlanCodes, Reference] | None = None  # calibrating takes its time

    def size(self, shape: NetworkShape, plan: Plan) -> Sizes:
        """Bytes of constant data; code comes on top."""
        self.program(shape, plan)
        return {(entry.owner, entry.part.name): entry.part.file_bytes for entry in payload_entries(shape, plan)}

    def arena_bytes(self, shape: NetworkShape, plan: Plan) -> int:
        """Those of the arena; image and logits are the caller's.

        Raises BankwiseError where the network cannot be exported.
        """
        return self.program(shape, plan).arena.bytes

    def program(self, shape: NetworkShape, plan: Plan, numbers: Mapping[int, Numbers] | None = None) -> Program:
        """The calls; those of int8 activations by the `numbers` of their steps, without which their sizes alone mean
        something."""
        plan.check(shape)
        if (size := payload_bytes(payload_entries(shape, plan))) >= MOST_BYTES:
            raise BankwiseError(f"{size:,} bytes of constant data are more than C sources hold ({MOST_BYTES - 1:,})")
        graph = graph_of(plan, self.network)
        if self.activations == "int8":
            return int8_program_of(shape, plan, graph, numbers)
        return program_of(shape, plan, graph)

    def builder(self, shape: NetworkShape, plan: Plan) -> Builder:
        """What makes the steps of the plan."""
        graph = graph_of(plan, self.network)
        return Int8Builder(shape, plan, graph, {}) if self.activations == "int8" else Builder(shape, plan, graph)

    def reference(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> Reference:
        """What the sources of int8 activations compute, in Python, to the last bit.

        Raises BankwiseError without images.
        """
        if self.images is None:
            raise BankwiseError(
                "int8 activations need images of the training data, for their scales: name it by --data"
            )
        if self._last is None or self._last[0] is not codes:
            network = assemble(blank(plan, self.network), shape, plan, codes)
            self._last = codes, Reference(shape, plan, codes, graph_of(plan, self.network), network, self.images)
        return self._last[1]

    def write(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> Written:
        program, name = self.program(shape, plan), self.prefix or identifier(plan.network)
        reference = None
        if self.activations == "int8":
            reference = self.reference(shape, plan, codes)
            program = self.program(shape, plan, reference.numbers)
        digest = hashlib.sha256(encode(shape, plan, codes)).hexdigest()
        made = texts(name, shape, plan, codes, program, digest, None if reference is None else reference.scales)
        if reference is None:
            test = self_test(name, shape, plan, assemble(blank(plan, self.network), shape, plan, codes))
        else:
            test = int8_self_test(name, plan, reference)
        files = {
            f"{name}.h": made.header,
            f"{name}.c": made.source,
            f"{name}_test.c": test,
            "main.c": example(name, self.activations),
            "Makefile": makefile(name),
            "CMakeLists.txt": cmake(name),
        }
        return {file: text.encode("ascii") for file, text in files.items()}

    def counted(self, written: Written) -> int:
        if isinstance(written, bytes):
            raise BankwiseError(f"{short(written)} is not what this target writes")
        return sum(constant_bytes(text.decode()) for file, text in written.items() if file.endswith(".c"))


def identifier(network: str) -> str:
    """A name of C for a network's reference: its last part, small letters, digits and underscores."""
    last = re.sub(r"\W+", "_", network.rpartition(":")[2], flags=re.ASCII).strip("_").lower()
    return last if re.match(r"[a-z]", last) and last not in (*_TAKEN, *_BUILT) else f"net_{last}"


def check_identifier(name: str) -> None:
    """Raises BankwiseError for what cannot begin the names of C sources."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name, re.ASCII) or name in _TAKEN:
        raise BankwiseError(
            f"name {short(name)} is no name of C: a letter, then up to 30 letters, digits or underscores, no word of C"
        )
    if name.lower() in _BUILT:
        raise BankwiseError(
            f"name {short(name)} is that of a header or a library of C, or of a target of make or CMake: give another"
        )


_TAKEN = (  # words of C that a network may be called
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
    "for", "goto", "if", "inline", "int", "long", "main", "register", "restrict", "return", "short", "signed", "sizeof",
    "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while",
)  # fmt: skip
_BUILT = (  # NAME.h would hide a header, NAME a library or a target, whatever the case where file names have none
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "main", "math",
    "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar",
    "wctype", "c", "m", "all", "all_build", "clean", "depend", "edit_cache", "help", "install", "package",
    "package_source", "rebuild_cache", "run_tests", "test", "zero_check",
)  # fmt: skip
