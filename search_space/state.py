"""What a file does not hold must be what a new build of the network makes anew.

A file holds the layers, norms and kept tensors of a shape. A network may have more: buffers of whole numbers,
buffers that are no part of its state dict, tensors that are plain attributes. Where these are drawn by a constructor,
changed by loaded weights or by a training, the network that is read back would be another one.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_flatten

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import ramp
from bankwise.search_space.networks import build
from bankwise.search_space.outputs import finite_logits
from bankwise.search_space.roles import COUNTER, keep_hint
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.vector import kept_codes

State = dict[str, torch.Tensor]
_TOLERANCE = 1e-4  # of outputs, relative to the largest


def unstored(network: nn.Module, shape: NetworkShape) -> State:
    """Copies of all tensors of `network` that no file of `shape` holds, by path: buffers and plain attributes."""
    held = {*(layer.name for layer in shape.layers), *(norm.name for norm in shape.norms)}
    inside = tuple(f"{layer.name}." for layer in shape.layers)  # what stands for a layer has parts of its own
    tensors = {tensor.name for tensor in shape.tensors}
    found: State = {}
    for path, module in network.named_modules():
        if path in held or path.startswith(inside):
            continue
        for name, value in [*module._buffers.items(), *_attributes(module)]:
            full = f"{path}.{name}" if path else name
            if value is not None and full not in tensors and name != COUNTER:
                found[full] = value.detach().cpu().clone()
    return found


def _attributes(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors and arrays that are attributes of the module, or in lists and dictionaries that are."""
    internal = vars(nn.Module()).keys()
    for name, value in vars(module).items():
        if name in internal:
            continue
        leaves = [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor | np.ndarray)]
        for number, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor) or leaf.dtype.kind in "biuf":
                yield name if len(leaves) == 1 else f"{name}[{number}]", torch.as_tensor(leaf)


def check_unchanged(network: nn.Module, shape: NetworkShape, before: State, what: str) -> None:
    """Raise BankwiseError where a persistent buffer that no file holds is not as it was `before` (`unstored`); `what`
    says what changed it."""
    persistent = network.state_dict()
    for name in _changed(network, shape, before):
        if name in persistent:
            kind = f"{str(persistent[name].dtype).removeprefix('torch.')}, {tuple(persistent[name].shape)}"
            raise BankwiseError(
                f"network {shape.network!r}: buffer {name} ({kind}) {what}; no file holds it, unless it is kept: "
                + keep_hint([name])
            )


def check_outputs(
    mine: nn.Module, theirs: nn.Module, shape: NetworkShape, images: torch.Tensor, before: State, what: str
) -> None:
    """Raise BankwiseError where two networks give other logits in evaluation, with the state of `mine` that files hold
    in both. What is in no state dict may differ where nothing depends on it, as a cache does. `before` is the
    `unstored` state of `theirs`, `what` begins the error."""
    theirs.load_state_dict(mine.state_dict(), strict=False)
    here, there = finite_logits(mine, images), finite_logits(theirs, images)
    if here is None or there is None:
        return
    scale = max(float(here.abs().max()), 1e-6)
    if here.shape == there.shape and (here - there).abs().max() <= _TOLERANCE * scale:
        return
    names = _changed(mine, shape, before)
    differs = f"{', '.join(names)} differs" if names else "it draws or counts something that no tensor shows"
    raise BankwiseError(
        f"network {shape.network!r}: {what}: {differs}, and no file holds it; "
        "make it a persistent buffer and keep it, or the same in every build"
    )


def _changed(network: nn.Module, shape: NetworkShape, before: State) -> list[str]:
    after = unstored(network, shape)
    both = before.keys() & after.keys()
    return [name for name in {**before, **after} if name not in both or not _equal(before[name], after[name])]


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


def check_kept(network: nn.Module, shape: NetworkShape) -> None:
    """Raise BankwiseError where a kept tensor has a value that its place in a file does not hold."""
    state = network.state_dict()
    for tensor in shape.tensors:
        try:
            kept_codes(tensor, state[tensor.name])
        except BankwiseError as error:
            raise BankwiseError(f"network {shape.network!r}: {error}") from None


@torch.no_grad()
def shift(network: nn.Module) -> None:
    """Shift its parameters a little, always alike: a layer that begins at 0 hides all before it."""
    for parameter in filter(torch.is_floating_point, network.parameters()):
        parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))


def check_rebuilt(network: nn.Module, shape: NetworkShape, outputs: bool = True) -> None:
    """Compare `network` with another build of it, by another seed: persistent buffers that no file holds must be the
    same, and with an equal state dict the outputs too (`outputs`: where these are logits).

    Raises:
        BankwiseError: where they are not, with the name of what differs.
    """
    with _other_seed():
        other = build(shape.network, classes=shape.classes, in_channels=shape.input_shape[0]).cpu()
    before = unstored(other, shape)
    check_unchanged(network, shape, before, "is not what a new build of the network has")
    if not outputs:
        return
    mine = copy.deepcopy(network).cpu()
    shift(mine)
    what = "two builds with equal parameters give different outputs"
    check_outputs(mine, other, shape, ramp(shape.input_shape), before, what)


@contextmanager
def _other_seed(seed: int = 99991) -> Iterator[None]:
    """Python's, NumPy's and torch's random numbers begin elsewhere; the caller's states come back at the end."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0]), np.random.set_state(states[1])
