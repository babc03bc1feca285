"""What every target shares: a trained child as the codes of its parts, and an ordinary network from codes.

`pack` turns a trained child into codes, `assemble` turns codes into an ordinary network; exporters evaluate what
`assemble` gives, so a file that is read back gives the same logits bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import nn

from bankwise.search_space.layer import GeneratedLayer
from bankwise.search_space.modules import layer_at, norm_at
from bankwise.search_space.networks import build_or_copy
from bankwise.search_space.norms import folded_norm
from bankwise.search_space.parts import norm_vectors
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.vector import kept_codes, kept_values

PlanCodes = Mapping[tuple[str, str], torch.Tensor]  # (owner, part) -> int64 codes


class OwnCodes(Mapping[str, torch.Tensor]):
    """The parts of one owner: codes that are still packed stay so until they are asked for."""

    def __init__(self, codes: PlanCodes, owner: str):
        self._codes, self._owner = codes, owner
        self._names = [name for other, name in codes if other == owner]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._codes[self._owner, name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@torch.no_grad()
def pack(child: nn.Module, shape: NetworkShape, plan: Plan) -> dict[tuple[str, str], torch.Tensor]:
    """The codes of every part of a trained child (as built by `build_child`)."""
    codes: dict[tuple[str, str], torch.Tensor] = {}
    for layer in shape.layers:
        generated = cast(GeneratedLayer, child.get_submodule(layer.name))
        codes |= {(layer.name, name): value.cpu() for name, value in generated.basis.codes().items()}
        stored = plan.layers[layer.name].stored(plan.vector_bits)
        for name, storage in (("scale", stored.scale), ("bias", stored.shift)):
            vector = getattr(generated, name)
            if vector is not None:
                codes |= _owned(layer.name, storage.codes(name, vector.detach().cpu()))
    vectors = norm_vectors(shape, plan)
    for norm in shape.norms:
        scale, shift = (one.cpu() for one in folded_norm(norm_at(child, norm.name)))
        codes |= _owned(norm.name, vectors[norm.name].scale.codes("norm.scale", scale))
        codes |= _owned(norm.name, vectors[norm.name].shift.codes("norm.shift", shift))
    state = child.state_dict()
    for tensor in shape.tensors:
        codes[tensor.name, "kept"] = kept_codes(tensor, state[tensor.name].cpu())
    return codes


def _owned(owner: str, codes: Mapping[str, torch.Tensor]) -> dict[tuple[str, str], torch.Tensor]:
    return {(owner, name): value for name, value in codes.items()}


@torch.no_grad()
def assemble(network: nn.Module, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> nn.Module:
    """`network` itself, of ordinary torch modules, in evaluation mode, with the weights that `codes` hold: a second one
    beside it might be too much."""
    network = network.cpu().eval()
    for layer in shape.layers:
        layer_at(network, layer.name).bias = None
    for norm in shape.norms:
        folded = norm_at(network, norm.name)
        folded.eps = 0.0
        folded.running_mean.zero_()
        folded.running_var.fill_(1.0)
        folded.affine = True
    kept = {tensor.name: kept_values(tensor, codes[tensor.name, "kept"]) for tensor in shape.tensors}
    for name, value in layer_tensors(network, shape, plan, codes):
        owner, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(owner), leaf, nn.Parameter(value.contiguous(), requires_grad=False))
    if kept:
        network.load_state_dict(kept, strict=False)
    return network.requires_grad_(False)


def layer_tensors(
    network: nn.Module, shape: NetworkShape, plan: Plan, codes: PlanCodes
) -> Iterator[tuple[str, torch.Tensor]]:
    """What `codes` hold of layers and folded norms, one after another: (name in the network, values)."""
    for layer in shape.layers:
        choice, mine = plan.layers[layer.name], OwnCodes(codes, layer.name)
        weight = choice.weight(layer, mine)
        if "scale" in mine:
            scale = choice.stored(plan.vector_bits).scale.values("scale", mine, layer.n)
            weight = weight * scale.reshape(-1, 1, 1, 1)
        yield path(layer.name, "weight"), weight.reshape(layer_at(network, layer.name).weight.shape)
        if "bias" in mine:
            yield path(layer.name, "bias"), choice.stored(plan.vector_bits).shift.values("bias", mine, layer.n)
    vectors = norm_vectors(shape, plan)
    for norm in shape.norms:
        mine, stored = OwnCodes(codes, norm.name), vectors[norm.name]
        yield path(norm.name, "weight"), stored.scale.values("norm.scale", mine, norm.channels)
        yield path(norm.name, "bias"), stored.shift.values("norm.shift", mine, norm.channels)


def path(module: str, name: str) -> str:
    """The name in the network of the tensor `name` of a module, which may be the network itself."""
    return f"{module}.{name}" if module else name


def blank(plan: Plan, network: nn.Module | None = None) -> nn.Module:
    """The plan's network, or a copy of `network` in memory, with weights that mean nothing; the caller's random state
    is left alone."""
    with torch.random.fork_rng(devices=[]):
        return build_or_copy(plan.network, network, classes=plan.classes, in_channels=plan.input_shape[0])
