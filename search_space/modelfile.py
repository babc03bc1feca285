"""The exported file: packed parts behind a safetensors header, exactly as long as planned. No pickle.

`pack` turns a trained child into codes, `assemble` turns codes into an ordinary network; the exporter evaluates what
`assemble` gives, so a file that is read back gives the same logits bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from search_space.basis import choice_from_code
from search_space.bits import pack_codes, unpack_codes
from search_space.errors import BankwiseError
from search_space.files import write_bytes
from search_space.layer import GeneratedLayer
from search_space.layout import (
    FORMAT,
    KEPT_BITS,
    NO_DIGEST,
    header_text,
    payload_bytes,
    payload_entries,
)
from search_space.networks import build, names_code
from search_space.plan import Plan
from search_space.shape import NetworkShape
from search_space.trace import trace
from search_space.vector import VECTOR_BITS, vector_codes, vector_values

FileCodes = dict[tuple[str, str], torch.Tensor]  # (owner, part) -> int64 codes


@torch.no_grad()
def pack(child: nn.Module, shape: NetworkShape, plan: Plan) -> FileCodes:
    """The codes of every part of a trained child (as built by `build_child`)."""
    codes: FileCodes = {}
    for layer in shape.layers:
        module: GeneratedLayer = child.get_submodule(layer.name)
        codes |= {(layer.name, name): value.cpu() for name, value in module.basis.codes().items()}
        for name in ("scale", "bias"):
            vector = getattr(module, name)
            if vector is not None:
                codes |= _owned(layer.name, vector_codes(name, vector, plan.vector_bits))
    for norm in shape.norms:
        scale, shift = folded_norm(child.get_submodule(norm.name))
        codes |= _owned(norm.name, vector_codes("norm.scale", scale, plan.vector_bits))
        codes |= _owned(norm.name, vector_codes("norm.shift", shift, plan.vector_bits))
    state = child.state_dict()
    for tensor in shape.tensors:
        codes |= _owned(tensor.name, vector_codes("kept", state[tensor.name], KEPT_BITS))
    return codes


def _owned(owner: str, codes: Mapping[str, torch.Tensor]) -> FileCodes:
    return {(owner, name): value for name, value in codes.items()}


def folded_norm(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch norm in evaluation is x scale + shift: scale = gamma / sqrt(var + eps), shift = beta - mean scale."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


@torch.no_grad()
def assemble(network: nn.Module, shape: NetworkShape, plan: Plan, codes: FileCodes) -> nn.Module:
    """A copy of `network`, of ordinary torch modules, in evaluation mode, with the weights that `codes` hold."""
    network = copy.deepcopy(network).cpu().eval()

    def of(owner: str) -> dict[str, torch.Tensor]:
        return {name: value for (held, name), value in codes.items() if held == owner}

    for layer in shape.layers:
        module, choice, mine = network.get_submodule(layer.name), plan.layers[layer.name], of(layer.name)
        weight = choice.weight(layer, mine)
        if "scale" in mine:
            weight = weight * vector_values("scale", mine, plan.vector_bits)[:, None, None, None]
        module.weight = nn.Parameter(weight.reshape(module.weight.shape).contiguous(), requires_grad=False)
        bias = vector_values("bias", mine, plan.vector_bits) if "bias" in mine else None
        module.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    for norm in shape.norms:
        module, mine = network.get_submodule(norm.name), of(norm.name)
        module.eps = 0.0
        module.running_mean.zero_()
        module.running_var.fill_(1.0)
        module.affine = True
        module.weight = nn.Parameter(vector_values("norm.scale", mine, plan.vector_bits), requires_grad=False)
        module.bias = nn.Parameter(vector_values("norm.shift", mine, plan.vector_bits), requires_grad=False)
    kept = {tensor.name: vector_values("kept", of(tensor.name), KEPT_BITS) for tensor in shape.tensors}
    if kept:
        network.load_state_dict(kept, strict=False)
    return network.requires_grad_(False)


def encode(shape: NetworkShape, plan: Plan, codes: FileCodes) -> bytes:
    """The whole file."""
    entries = payload_entries(shape, plan)
    payload = bytearray(payload_bytes(entries))
    for entry in entries:
        packed = pack_codes(codes[entry.owner, entry.part.name], entry.part.bits)
        payload[entry.offset : entry.offset + entry.part.file_bytes] = packed
    digest = hashlib.sha256(header_text(shape, plan, len(payload)).encode() + payload).hexdigest()
    header = header_text(shape, plan, len(payload), digest).encode()
    return len(header).to_bytes(8, "little") + header + bytes(payload)


def save(path: str | Path, shape: NetworkShape, plan: Plan, codes: FileCodes) -> int:
    """Write the file whole or not at all; its length in bytes."""
    data = encode(shape, plan, codes)
    write_bytes(Path(path), data)
    return len(data)


@dataclass(frozen=True)
class ModelFile:
    """A checked file: its plan, the network's shape and every part's codes."""

    plan: Plan
    shape: NetworkShape
    codes: FileCodes
    size: int

    def network(self) -> nn.Module:
        return assemble(_blank(self.plan), self.shape, self.plan, self.codes)


def read(path: str | Path, allow_code: bool = False) -> ModelFile:
    """Read and check a file. A truncated, damaged, foreign or newer file is one clear line.

    A network of the user's own (`module:callable`) is Python code that the file only names: it is imported and called
    with `allow_code` alone.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BankwiseError(f"cannot read {str(path)!r}: {error.strerror}") from None
    try:
        return decode(data, allow_code)
    except BankwiseError as error:
        raise BankwiseError(f"{str(path)!r}: {error}") from None


def load(path: str | Path, allow_code: bool = False) -> nn.Module:
    """The network of an exported file, ready to run: input float32 (batch, channels, height, width) in [-1, 1]."""
    return read(path, allow_code).network()


def decode(data: bytes, allow_code: bool = False) -> ModelFile:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{" or length < 2:
        raise BankwiseError("not a bankwise file (no safetensors header)")
    if len(data) < 8 + length:
        raise BankwiseError(f"truncated: the header needs {8 + length} bytes, the file has {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata, begin, end = header["__metadata__"], *header["payload"]["data_offsets"]
        form, digest = metadata["format"], metadata["sha256"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BankwiseError("not a bankwise file, or its header is damaged") from None
    if form != FORMAT:
        raise BankwiseError(f"format {form!r} is not known; this release reads {FORMAT!r}")
    payload = data[8 + length :]
    if (begin, end) != (0, len(payload)):
        raise BankwiseError(f"truncated or extended: the payload has {len(payload)} bytes, its header says {end}")
    blank = data[8 : 8 + length].replace(digest, NO_DIGEST.encode())
    if digest.decode() != hashlib.sha256(blank + payload).hexdigest():
        raise BankwiseError("damaged: the contents do not match their sha256")
    plan, shape = _plan(metadata, allow_code)
    entries = payload_entries(shape, plan)
    if header_text(shape, plan, len(payload), digest.decode()).encode() != data[8 : 8 + length]:
        raise BankwiseError("damaged: the header is not the one this plan has")
    if payload_bytes(entries) != len(payload):
        raise BankwiseError(f"damaged: the plan takes {payload_bytes(entries)} bytes, the payload has {len(payload)}")
    codes = {
        (entry.owner, entry.part.name): unpack_codes(payload, entry.offset, entry.part.shape, entry.part.bits)
        for entry in entries
    }
    for layer in shape.layers:
        mine = {part: value for (owner, part), value in codes.items() if owner == layer.name}
        plan.layers[layer.name].check_codes(mine)
    return ModelFile(plan, shape, codes, len(data))


def _plan(metadata: Mapping[str, str], allow_code: bool) -> tuple[Plan, NetworkShape]:
    try:
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError
        sizes = re.fullmatch(r"(\d+)x(\d+)x(\d+) (\d+)", f"{metadata['input']} {metadata['classes']}").groups()
        channels, height, width, classes = map(int, sizes)
        vector_bits = int(metadata["vector"])
        if min(channels, height, width, classes) < 1 or vector_bits not in VECTOR_BITS:
            raise ValueError
        keep = tuple(metadata["keep"].split()) if "keep" in metadata else ()
        choices = [choice_from_code(code) for code in metadata["plan"].split()]
        plan = Plan(metadata["network"], (channels, height, width), classes, {}, keep, vector_bits)
    except (KeyError, ValueError, AttributeError) as error:
        detail = f" ({error})" if isinstance(error, BankwiseError) else ""
        raise BankwiseError(f"damaged: the header does not describe a plan{detail}") from None
    if names_code(plan.network) and not allow_code:
        raise BankwiseError(
            f"its network {plan.network!r} is code of your own; allow_code=True (--allow-code) imports and runs it"
        )
    shape = trace(_blank(plan), plan.network, plan.input_shape, plan.classes, plan.keep, any_output=True)
    if len(choices) != len(shape.layers):
        raise BankwiseError(
            f"the file has {len(choices)} layers, network {plan.network!r} as it is here has {len(shape.layers)}"
        )
    layers = {layer.name: choice for layer, choice in zip(shape.layers, choices, strict=True)}
    plan = Plan(plan.network, plan.input_shape, classes, layers, keep, vector_bits)
    plan.check(shape)
    return plan, shape


def _blank(plan: Plan) -> nn.Module:
    """The plan's network with weights that mean nothing; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        return build(plan.network, classes=plan.classes, in_channels=plan.input_shape[0])
