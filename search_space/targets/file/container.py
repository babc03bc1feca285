"""The exported file: packed parts behind a safetensors header, exactly as long as planned. No pickle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.bits import pack_codes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import choice_from_code
from bankwise.search_space.files import write_bytes
from bankwise.search_space.images import Images
from bankwise.search_space.imports import check_permitted, code_in_files
from bankwise.search_space.networks import IN_MEMORY, CannotBuild, names_code
from bankwise.search_space.packing import OwnCodes, PlanCodes, assemble, blank
from bankwise.search_space.plan import Plan
from bankwise.search_space.roles import is_layer, is_norm
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.strict import parse_json
from bankwise.search_space.targets.file import format2
from bankwise.search_space.targets.file.codes import PackedCodes
from bankwise.search_space.targets.file.description import CHECKSUM, FORMAT, Description, checksum, header_sizes
from bankwise.search_space.targets.file.layout import front, payload_bytes, payload_entries
from bankwise.search_space.trace import CannotRun, trace

_LONGEST_HEADER = 2**24
_MOST_PIXELS = 2**26  # of the image on which a network must be run to know its shape


def encode(shape: NetworkShape, plan: Plan, codes: PlanCodes) -> bytes:
    """The whole file: as many bytes as `price` says. Raises BankwiseError for codes of other parts."""
    entries = payload_entries(shape, plan)
    parts = bytearray(payload_bytes(entries))
    for entry in entries:
        mine = codes[entry.owner, entry.part.name]
        if mine.numel() != entry.part.elements:  # others would stand in its place
            raise BankwiseError(
                f"{entry.owner}: {entry.part.name} has {mine.numel()} elements, its price is of {entry.part.elements}"
            )
        packed = pack_codes(mine, entry.part.bits)
        parts[entry.offset : entry.offset + entry.part.file_bytes] = packed
    return front(shape, plan, bytes(parts)) + parts


def save(path: str | Path, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> int:
    """Write the file whole or not at all; its length in bytes."""
    data = encode(shape, plan, codes)
    write_bytes(Path(path), data)
    return len(data)


@dataclass(frozen=True)
class ModelFile:
    """A checked file: its plan, the network's shape and every part's codes. `module` is the network where it is one in
    memory; `format` is that of the file, whose parts lie from byte `parts_begin` on."""

    plan: Plan
    shape: NetworkShape
    codes: PlanCodes
    size: int
    module: nn.Module | None
    format: str
    parts_begin: int

    @property
    def images(self) -> Images:
        """What images it is for, as far as the file says."""
        return self.plan.images or Images()

    def network(self) -> nn.Module:
        """The network, of ordinary torch modules, in evaluation mode."""
        return assemble(blank(self.plan, self.module), self.shape, self.plan, self.codes)


def read(path: str | Path, allow_code: bool = False, network: nn.Module | None = None) -> ModelFile:
    """Read and check a file.

    A network or a family of the user's own (`module:name`) is Python code that the file only names: it is imported
    with `allow_code` alone. A network that was a module in memory is not named at all: `network` is that module again,
    of any weights. Raises BankwiseError, in one line, for a truncated, damaged, foreign or newer file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BankwiseError(f"cannot read {str(path)!r}: {error.strerror}") from None
    try:
        return decode(data, allow_code, network)
    except BankwiseError as error:
        raise BankwiseError(f"{str(path)!r}: {error}") from None


@typed_arguments("path", "allow_code", "network", "pixels")
def load(
    path: str | Path, allow_code: bool = False, network: nn.Module | None = None, *, pixels: bool = False
) -> nn.Module:
    """The network of an exported file, ready to run: input float32 (batch, channels, height, width), normalized as in
    its training, by default in [-1, 1]: pixels / 127.5 - 1. With `pixels` it takes uint8 pixels 0..255 as well, and
    normalizes those itself.

    Its attribute `images` (`search_space.images.Images`; unless the network has another of that name) says which
    normalization that is, and `images.to_input(pixels)` does it. `allow_code` and `network` are as in `read`. Raises
    BankwiseError as `read` does, and with `pixels` where the file does not say how pixels enter.
    """
    file = read(path, allow_code, network)
    loaded: Any = file.network()
    if not hasattr(loaded, "images"):
        loaded.images = file.images
    if pixels:
        if file.images.normalization is None:
            raise BankwiseError(f"{str(path)!r} does not say how pixels enter: give it float32 images, normalized")
        loaded.register_forward_pre_hook(_TakesPixels(file.images))
    made: nn.Module = loaded
    return made


@dataclass(frozen=True)
class _TakesPixels:
    """A hook before the forward pass."""

    images: Images

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        first, *others = inputs
        if isinstance(first, torch.Tensor) and first.dtype == torch.uint8:
            return (self.images.to_input(first), *others)
        return None


def decode(data: bytes, allow_code: bool = False, network: nn.Module | None = None) -> ModelFile:
    """Read and check the bytes of a file, as `read` does. Raises BankwiseError."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{" or not 2 <= length <= _LONGEST_HEADER:
        raise BankwiseError("not a bankwise file (no safetensors header)")
    if len(data) < 8 + length:
        raise BankwiseError(f"truncated: the header needs {8 + length} bytes, the file has {len(data)}")
    header, payload = data[8 : 8 + length], data[8 + length :]
    sizes = header_sizes(header)
    said, begins = _old(header, payload) if sizes is None else _described(header, payload, *sizes)
    parts = payload[begins:]
    with code_in_files(allow_code):
        plan, shape = _plan(said, network, len(parts))
    entries = payload_entries(shape, plan)
    if payload_bytes(entries) != len(parts):
        raise BankwiseError(f"damaged: the plan takes {payload_bytes(entries)} bytes, the file has {len(parts)} for it")
    if sizes is not None and front(shape, plan, parts) != data[: len(data) - len(parts)]:
        raise BankwiseError("damaged: the header is not the one this plan has")
    codes = PackedCodes(parts, entries)
    for layer in shape.layers:
        plan.layers[layer.name].check_codes(OwnCodes(codes, layer.name))
    form = format2.FORMAT if sizes is None else FORMAT
    return ModelFile(plan, shape, codes, len(data), network, form, len(data) - len(parts))


def _described(header: bytes, payload: bytes, size: int, end: int) -> tuple[Description, int]:
    """What a file of this format says of itself, and where in the payload its parts begin."""
    if size != len(payload) or end != len(payload):
        raise BankwiseError(f"truncated or extended: the payload has {len(payload)} bytes, its header says {end}")
    if payload[:CHECKSUM] != checksum(header, payload[CHECKSUM:]):
        raise BankwiseError("damaged: the contents do not match their checksum")
    said, length = Description.read(payload[CHECKSUM:])
    return said, CHECKSUM + length


def _old(header: bytes, payload: bytes) -> tuple[Description, int]:
    """The same of a file of the format before."""
    try:
        values = parse_json(header, "header")
    except BankwiseError:
        raise BankwiseError("not a bankwise file, or its header is damaged") from None
    return format2.read(header, values, payload), 0


def _plan(said: Description, network: nn.Module | None, size: int) -> tuple[Plan, NetworkShape]:
    """The plan, and the shape of its network; the parts have `size` bytes."""
    plan = Plan(said.network, said.input_shape, said.classes, {}, said.keep, said.vector_bits, said.images)
    if network is not None and plan.network != IN_MEMORY:
        raise BankwiseError(f"its network is {plan.network!r}, which is built by that name: give no network")
    families = [code.rpartition("/")[0] for code in said.codes if names_code(code)]
    for what, reference in (("network", plan.network), *(("family", family) for family in families)):
        if names_code(reference):
            check_permitted(what, reference)
    try:
        choices = [choice_from_code(code, allow_code=True) for code in said.codes]
    except BankwiseError as error:
        raise BankwiseError(f"damaged: the header does not describe a plan ({error})") from None
    shape = _shape(plan, network, len(choices), size)
    if len(choices) != len(shape.layers):
        raise BankwiseError(
            f"the file has {len(choices)} layers, network {plan.network!r} as it is here has {len(shape.layers)}"
        )
    plan = replace(plan, layers={layer.name: choice for layer, choice in zip(shape.layers, choices, strict=True)})
    plan.check(shape)
    return plan, shape


def _shape(plan: Plan, network: nn.Module | None, choices: int, size: int) -> NetworkShape:
    """That of the plan's network, built and traced without memory: the bytes of the file have not borne it out yet."""

    def traced(made: nn.Module) -> NetworkShape:
        return trace(made, plan.network, plan.input_shape, plan.classes, plan.keep, any_output=True)

    if network is not None:
        return traced(network)
    try:
        with torch.device("meta"):
            empty = blank(plan)
    except CannotBuild:
        if not names_code(plan.network):
            raise
        return traced(blank(plan))  # a user's own network may compute with values
    try:
        return traced(empty)
    except CannotRun:  # for want of values, as a detector does that selects boxes
        if not _borne_out(empty, choices, size) or math.prod(plan.input_shape) > _MOST_PIXELS:
            raise
    return traced(blank(plan))


def _borne_out(empty: nn.Module, choices: int, size: int) -> bool:
    """Whether `choices` and a payload of `size` bytes can be those of a network whose shape is not known yet. No family
    stores N weights in less than the root of N bits, a channel of a batch norm takes four bits and more, a number
    outside layers and norms two bytes."""
    layers = [module for module in empty.modules() if is_layer(module)]
    apart = [module for module in empty.modules() if not is_layer(module) and not is_norm(module)]
    channels = sum(cast(int, norm.num_features) for norm in empty.modules() if is_norm(norm))
    numbers = sum(value.numel() for module in apart for value in module.parameters(recurse=False))
    bits = sum(math.isqrt(cast(torch.Tensor, layer.weight).numel()) for layer in layers)
    return choices <= len(layers) and channels // 2 + 2 * numbers + bits // 8 <= size
