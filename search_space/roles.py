"""What each module of a network is to the price: a layer to compress, a batch norm to fold, or tensors kept in float.

Nothing with parameters is passed over: what is none of these is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate

import torch
from torch import nn

from search_space.errors import BankwiseError
from search_space.shape import TensorShape

FLOAT_MODULES = (nn.LayerNorm, nn.GroupNorm, nn.Embedding, nn.PReLU, nn.InstanceNorm1d, nn.InstanceNorm2d)
SHOWN_PATTERNS = 8


@dataclass(frozen=True)
class Roles:
    """Paths of the layers and of the batch norms, and the tensors kept as they are."""

    layers: tuple[str, ...]
    norms: tuple[str, ...]
    tensors: tuple[TensorShape, ...]


@dataclass(frozen=True)
class _Obstacle:
    path: str
    why: str


class _Keep:
    """Patterns (fnmatch) over paths; a path is kept with everything that holds it."""

    def __init__(self, patterns: tuple[str, ...]):
        self.unused = dict.fromkeys(patterns)
        self._patterns = patterns

    def __call__(self, path: str) -> bool:
        prefixes = ["", *accumulate(path.split("."), "{}.{}".format)]
        hits = [pattern for pattern in self._patterns if any(fnmatchcase(prefix, pattern) for prefix in prefixes)]
        for pattern in hits:
            self.unused.pop(pattern, None)
        return bool(hits)


def is_layer(module: nn.Module) -> bool:
    """A Conv2d or Linear whose forward pass is torch's own and whose weight is a plain parameter."""
    if not isinstance(module, (nn.Conv2d, nn.Linear)):
        return False
    own = {name for name, _ in module.named_parameters(recurse=False)}
    return type(module).forward in (nn.Conv2d.forward, nn.Linear.forward) and {"weight"} <= own <= {"weight", "bias"}


def is_norm(module: nn.Module) -> bool:
    """A batch norm that evaluation turns into a scale and a shift: one with running statistics."""
    plain = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and type(module).forward is nn.BatchNorm2d.forward
    return plain and module.running_mean is not None


def sort_modules(network: nn.Module, keep: tuple[str, ...], called: Collection[str]) -> Roles:
    """The role of every module. `called` are the paths of the layers and norms that the forward pass used.

    `keep` are patterns over module paths (all parameters and floating buffers below are kept) and over the paths of
    parameters that a module other than a layer or norm owns itself.
    """
    kept = _Keep(keep)
    roles: dict[str, list[str]] = {"layer": [], "norm": []}
    tensors: dict[str, torch.Tensor] = {}
    obstacles: list[_Obstacle] = []
    persistent = network.state_dict().keys()
    for path, module in network.named_modules():
        parameters = dict(module.named_parameters(path, recurse=False, remove_duplicate=False))
        role = "layer" if is_layer(module) else "norm" if is_norm(module) else ""
        if kept(path) or isinstance(module, (*FLOAT_MODULES, nn.BatchNorm1d, nn.BatchNorm2d)) and not role:
            tensors |= parameters | _stored_buffers(persistent, path, module)
        elif role and path in called:
            roles[role].append(path)
        elif role:
            obstacles.append(_Obstacle(path, f"{_described(path, module)} is never called in the forward pass"))
        else:
            unkept = [name for name in parameters if not kept(name)]
            obstacles += _obstacles(path, module, unkept)
            tensors |= {name: value for name, value in parameters.items() if name not in unkept}
            tensors |= _stored_buffers(persistent, path, module)
    obstacles = [one for one in obstacles if not any(one.path.startswith(f"{other.path}.") for other in obstacles)]
    if obstacles:
        raise BankwiseError(_told(network, obstacles))
    if kept.unused:
        raise BankwiseError(f"keep pattern {next(iter(kept.unused))!r} matches no module and no parameter to keep")
    _check_shared(network, tensors)
    shapes: dict[int, TensorShape] = {}
    for name, tensor in tensors.items():
        shapes.setdefault(id(tensor), TensorShape(name, tuple(tensor.shape)))  # a shared tensor is stored once
    return Roles(tuple(roles["layer"]), tuple(roles["norm"]), tuple(shapes.values()))


def _stored_buffers(persistent: Collection[str], path: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """Persistent floating buffers. Integer ones (counters, relative position indices) the constructor makes anew."""
    buffers = module.named_buffers(path, recurse=False, remove_duplicate=False)
    return {name: value for name, value in buffers if name in persistent and value.is_floating_point()}


def _obstacles(path: str, module: nn.Module, names: list[str]) -> list[_Obstacle]:
    """Parameters `names` that `module` owns and nobody can price: as one module, or one by one beside other modules."""
    if not names:
        return []
    inside = any(True for child in module.children() for _ in child.parameters())
    if path and (not inside or type(module).__module__.startswith("torch.nn.")):
        return [_Obstacle(path, f"{_described(path, module)} is no conv2d, linear layer or norm that can be priced")]
    sizes = {name: module.get_parameter(name.removeprefix(f"{path}.")).numel() for name in names}
    owner = type(module).__name__
    why = "belongs to no conv2d, linear layer or norm"
    return [_Obstacle(name, f"{name} ({size:,} parameters of {owner} itself) {why}") for name, size in sizes.items()]


def _described(path: str, module: nn.Module) -> str:
    return f"{path} ({type(module).__name__}, {sum(p.numel() for p in module.parameters()):,} parameters)"


def _told(network: nn.Module, obstacles: list[_Obstacle]) -> str:
    patterns = _patterns(network, [obstacle.path for obstacle in obstacles])
    shown = ", ".join(patterns[:SHOWN_PATTERNS]) + (", ..." if len(patterns) > SHOWN_PATTERNS else "")
    more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
    return f"{obstacles[0].why}{more}; it can be kept in floating point: keep {shown}"


def _patterns(network: nn.Module, paths: list[str]) -> list[str]:
    """Few patterns that match `paths` and nothing else."""
    below = tuple(f"{path}." for path in paths)
    others = [name for name, _ in [*network.named_modules(), *network.named_parameters(remove_duplicate=False)]]
    others = [name for name in others if name not in paths and not name.startswith(below)]
    patterns: dict[str, None] = {}
    for path in paths:
        if any(fnmatchcase(path, pattern) for pattern in patterns):
            continue
        wider = ["*." + path.rpartition(".")[2], re.sub(r"\d+", "*", path)]
        exact = [
            pattern
            for pattern in wider
            if sum(fnmatchcase(one, pattern) for one in paths) > 1
            and not any(fnmatchcase(other, pattern) for other in others)
        ]
        patterns[exact[0] if exact else path] = None
    return list(patterns)


def _check_shared(network: nn.Module, tensors: Collection[str]) -> None:
    """Two layers cannot generate one shared weight; kept tensors may be shared."""
    first: dict[int, tuple[str, str]] = {}  # parameter -> its path, and its module's
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            owner, owner_path = first.setdefault(id(parameter), (name, path))
            if owner != name and not {owner, name} <= set(tensors):
                raise BankwiseError(
                    f"{owner} and {name} are one shared parameter; it can be kept in floating point: "
                    f"keep {owner_path or owner}, {path or name}"
                )
