"""The text of NAME.h and NAME.c."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bankwise.search_space.bits import pack_codes
from bankwise.search_space.images import Images
from bankwise.search_space.normalization import DEVIATION, IMAGENET, MEAN
from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.c.emit import Program, number
from bankwise.search_space.targets.c.int8.calibration import Scales
from bankwise.search_space.targets.c.int8.pixels import SHIFTED, pixel_lines
from bankwise.search_space.targets.c.kernels import kernels
from bankwise.search_space.targets.c.memory import IMAGE
from bankwise.search_space.targets.file.layout import payload_bytes, payload_entries

_ARRAY = re.compile(r"static const uint8_t data\[\d+\] = \{([^}]*)\};")
_LIBRARY = ("normalize", "kept", "sigmoid", "gelu", "elu", "hyperbolic", "clamp")  # the kernels that use math.h


@dataclass(frozen=True)
class Texts:
    """Header and source of the network `name`."""

    name: str
    header: str
    source: str


def texts(
    name: str, shape: NetworkShape, plan: Plan, codes: PlanCodes, program: Program, digest: str, scales: Scales | None
) -> Texts:
    """`digest` is the sha256 of the packed file of the same model, `scales` those of int8 activations."""
    constants = constant_data(shape, plan, codes)
    header = _header(name, shape, plan, program, len(constants), digest, scales)
    return Texts(name, header, _source(name, constants, program))


def constant_data(shape: NetworkShape, plan: Plan, codes: PlanCodes) -> bytes:
    """The parts as the payload of a file has them."""
    entries = payload_entries(shape, plan)
    data = bytearray(payload_bytes(entries))
    for entry in entries:
        packed = pack_codes(codes[entry.owner, entry.part.name], entry.part.bits)
        data[entry.offset : entry.offset + len(packed)] = packed
    return bytes(data)


def constant_bytes(source: str) -> int:
    """The bytes of constant data that a source text holds."""
    found = _ARRAY.search(source)
    return 0 if found is None else found[1].count("0x")


def _header(
    name: str, shape: NetworkShape, plan: Plan, program: Program, flash: int, digest: str, scales: Scales | None
) -> str:
    upper, (channels, height, width), images = name.upper(), plan.input_shape, plan.images or Images()
    lines = [
        f"/* The network {_comment(plan.network)}, exported by bankwise. sha256 of its packed file:",
        f"   {digest}",
        "   Layers:",
        *(f"     {_comment(layer.name)}: {plan.layers[layer.name]}" for layer in shape.layers),
        "*/",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        *(["#include <stdint.h>", ""] if scales is not None else []),
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_CHANNELS {channels}",
        f"#define {upper}_HEIGHT {height}",
        f"#define {upper}_WIDTH {width}",
        f"#define {upper}_INPUTS {channels * height * width} /* an image: channels, then rows, then columns */",
        f"#define {upper}_CLASSES {plan.classes}",
        f"#define {upper}_FLASH_BYTES {flash} /* of constant data, as planned; code comes on top */",
        f"#define {upper}_ARENA_BYTES {program.arena.bytes} /* image and logits are not in it */",
        f"#define {upper}_ARENA_LENGTH {max(program.arena.words, 1)} /* in {name}_arena_t */",
        f'#define {upper}_PLAN "{" ".join(plan.layers[layer.name].code() for layer in shape.layers)}"',
    ]
    if images.class_names is not None:
        lines.append(f"#define {upper}_LABELS {{{', '.join(map(_string, images.class_names))}}}")
    normalization = images.normalization
    lines += ["", *(_normalization(upper, normalization, channels) if scales is None else _scales(upper, plan, scales))]
    lines += [
        "",
        f"typedef {'float' if scales is None else 'int8_t'} {name}_input_t;",
        f"typedef {'float' if scales is None else 'int16_t'} {name}_logit_t;",
        f"typedef {'float' if scales is None else 'int32_t'} {name}_arena_t;",
        "",
        f"/* The logits ({upper}_CLASSES) of {'a normalized' if scales is None else 'an'} image ({upper}_INPUTS), in",
        f"   {upper}_ARENA_LENGTH numbers of the caller's. */",
        f"void {name}_predict_in({name}_arena_t *arena, const {name}_input_t *image, {name}_logit_t *logits);",
        "",
        f"#ifndef {upper}_CALLERS_ARENA /* define it, for {name}.c too, and no arena is static */",
        "/* In an arena of its own: for one thread at a time. */",
        f"void {name}_predict(const {name}_input_t *image, {name}_logit_t *logits);",
        "#endif",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _normalization(upper: str, normalization: str | None, channels: int) -> list[str]:
    """The macro that makes an input of a pixel, 0 to 255."""
    macro = f"#define {upper}_NORMALIZE(channel, pixel)"
    if normalization is None:
        return ["/* How pixels enter is not recorded: give the numbers that the training saw. */"]
    if normalization != IMAGENET:
        return [f"{macro} ((void)(channel), (float)(pixel) / 127.5f - 1.0f)"]
    mean, deviation = (
        f"((channel) == 0 ? {number(three[0])} : (channel) == 1 ? {number(three[1])} : {number(three[2])})"
        for three in (MEAN, DEVIATION)
    )
    return [f"{macro} (((float)(pixel) / 255.0f - {mean}) / {deviation})"]


def _scales(upper: str, plan: Plan, scales: Scales) -> list[str]:
    """The macros of int8 activations: an input of a pixel, 0 to 255, and the scales of inputs and logits."""
    lines = [
        f"#define {upper}_INPUT_SCALE {number(scales[IMAGE])} /* the real number that an input of 1 is */",
        f"#define {upper}_LOGIT_SCALE {number(scales[scales.logits])}",
    ]
    pixels = pixel_lines(plan, scales[IMAGE])
    if pixels is None:
        return [*lines, "/* How pixels enter is not recorded: give what the training saw, over the scale, rounded. */"]
    factor, offset = (_by_channel([line[i] for line in pixels]) for i in (0, 1))
    macro = f"#define {upper}_QUANTIZE(channel, pixel)"
    return [
        *lines,
        f"{macro} ((void)(channel), (int8_t)((({factor} * (int32_t)(pixel) + {offset}) >> 16) - {SHIFTED}))",
    ]


def _by_channel(values: Sequence[int]) -> str:
    if len(set(values)) == 1:
        return str(values[0])
    return f"((channel) == 0 ? {values[0]} : (channel) == 1 ? {values[1]} : {values[2]})"


def _comment(text: str) -> str:
    """As it may stand in a comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").encode("ascii", "replace").decode().replace("\n", " ")


def _string(text: str) -> str:
    """A string of C in UTF-8, by octal escapes where it is not plain."""
    plain = [chr(one) if 32 <= one < 127 and chr(one) not in '"\\?' else f"\\{one:03o}" for one in text.encode()]
    return '"' + "".join(plain) + '"'


def _source(name: str, constants: bytes, program: Program) -> str:
    body = program.body()
    arena, fields = program.arena.words, any(line.startswith("l.") for line in body)
    lines = [
        f"/* {name}.c: see {name}.h. C99; no allocation, no recursion, no input or output. */",
        f'#include "{name}.h"',
        "",
        *(["#include <math.h>"] if program.needs & set(_LIBRARY) else []),
        "#include <stdint.h>",
        "",
        "#ifdef __clang__",
        "#pragma STDC FP_CONTRACT OFF /* the same sums on every machine; GCC has it so with -std=c99 */",
        "#endif",
        "",
        f"static const uint8_t data[{len(constants)}] = {{",
        *_rows(constants),
        "};",
        "",
        kernels(program.needs | ({"layer"} if fields else set()), program.activations),
        "",
        *(text + "\n" for text in program.own.values()),
        f"void {name}_predict_in({name}_arena_t *arena, const {name}_input_t *image, {name}_logit_t *logits)",
        "{",
        *([] if arena else ["    (void)arena;"]),
        *(["    struct layer l;"] if fields else []),
        *(["    struct store o;"] if "store" in program.needs else []),
        *(f"    {line}" for line in body),
        "}",
        "",
        f"#ifndef {name.upper()}_CALLERS_ARENA",
        f"void {name}_predict(const {name}_input_t *image, {name}_logit_t *logits)",
        "{",
        *([f"    static {name}_arena_t arena[{name.upper()}_ARENA_LENGTH];"] if arena else []),
        f"    {name}_predict_in({'arena' if arena else '0'}, image, logits);",
        "}",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _rows(data: Sequence[int]) -> list[str]:
    return [
        "    " + ", ".join(f"0x{one:02x}" for one in data[start : start + 16]) + ","
        for start in range(0, len(data), 16)
    ]
