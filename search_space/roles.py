"""What each module of a network is to the price: a layer to compress, a batch norm to fold, or tensors kept in float.

Nothing with parameters is passed over: what is none of these is an error that names it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import cast

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.same_forward import runs_as
from bankwise.search_space.shape import INTEGERS, TensorShape

LAYERS = (nn.Conv2d, nn.Linear)
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)

FLOAT_MODULES = (nn.LayerNorm, nn.GroupNorm, nn.Embedding, nn.PReLU, nn.InstanceNorm1d, nn.InstanceNorm2d)
STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}  # the buffers of a batch norm
COUNTER = "num_batches_tracked"  # which evaluation does not read
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
        return self._used([one for one in self._patterns if any(fnmatchcase(prefix, one) for prefix in prefixes)])

    def named(self, path: str) -> bool:
        """Whether a pattern matches the path itself."""
        return self._used([pattern for pattern in self._patterns if fnmatchcase(path, pattern)])

    def _used(self, hits: list[str]) -> bool:
        for pattern in hits:
            self.unused.pop(pattern, None)
        return bool(hits)


def is_layer(module: nn.Module) -> bool:
    """A Conv2d or Linear that runs as torch's own, with a weight that is a plain parameter and no other state."""
    kind = _kind(module, LAYERS)
    return kind is not None and not _otherwise(module, kind)


def is_norm(module: nn.Module) -> bool:
    """A batch norm that evaluation turns into a scale and a shift: one with running statistics. An activation may
    follow in it, as in timm's BatchNormAct2d."""
    kind = _kind(module, BATCH_NORMS)
    if kind is None or module.running_mean is None or module._buffers.keys() - STATISTICS:
        return False
    size = cast(int, module.num_features)
    image = (2, size, 2, 2) if kind is nn.BatchNorm2d else (2, size)
    return module._parameters.keys() <= {"weight", "bias"} and runs_as(module, kind, image, then=True)


def _kind(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> type[nn.Module] | None:
    return next((kind for kind in kinds if isinstance(module, kind)), None)


def _otherwise(module: nn.Module, kind: type[nn.Module]) -> str:
    """What makes a subclass or object other than the `kind` of layer that could be replaced; "" for none."""
    own = {name for name, parameter in module._parameters.items() if parameter is not None}
    if more := [*(own - {"weight", "bias"}), *module._buffers, *module._modules]:
        return f"it has {more[0]} beside weight and bias"
    if "weight" not in own:
        return "its weight is no parameter"
    if _has_hooks(module):
        return "a hook runs with it"
    return "" if runs_as(module, kind, _image(module)) else "its forward is another"


def _image(module: nn.Module) -> tuple[int, ...]:
    """The shape of an input that a convolution or linear layer takes."""
    if isinstance(module, nn.Linear):
        return 2, module.in_features
    conv = cast(nn.Conv2d, module)
    height, width = (2 * d * k + s for d, k, s in zip(conv.dilation, conv.kernel_size, conv.stride, strict=True))
    return 2, conv.in_channels, height, width


def _has_hooks(module: nn.Module) -> bool:
    """Whether something else runs with it; a layer that is replaced would lose it."""
    return any(hooks for name, hooks in vars(module).items() if name.endswith("_hooks") and "state_dict" not in name)


def sort_modules(network: nn.Module, keep: tuple[str, ...], called: Collection[str]) -> Roles:
    """The role of every module. `called` are the paths of the layers and norms that the forward pass used.

    `keep` are patterns over module paths (all parameters and floating buffers below are kept), over the paths of
    parameters that a module other than a layer or norm owns itself, and over those of buffers of whole numbers.
    """
    kept = _Keep(keep)
    roles: dict[str, list[str]] = {"layer": [], "norm": []}
    tensors: dict[str, torch.Tensor] = {}
    obstacles: list[_Obstacle] = []
    persistent = network.state_dict().keys()
    for path, module in network.named_modules():
        parameters = dict(module.named_parameters(path, recurse=False, remove_duplicate=False))
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise BankwiseError(f"{_described(path, module)} has an extra state, which no file holds; make it a buffer")
        role = "layer" if is_layer(module) else "norm" if is_norm(module) else ""
        if kept(path) or isinstance(module, (*FLOAT_MODULES, *BATCH_NORMS)) and not role:
            tensors |= parameters | _stored_buffers(persistent, path, module, kept)
        elif role and path in called:
            roles[role].append(path)
        elif role:
            obstacles.append(_Obstacle(path, f"{_described(path, module)} is never called in the forward pass"))
        else:
            unkept = [name for name in parameters if not kept(name)]
            obstacles += _obstacles(path, module, unkept)
            tensors |= {name: value for name, value in parameters.items() if name not in unkept}
            tensors |= _stored_buffers(persistent, path, module, kept)
    obstacles = [one for one in obstacles if not any(one.path.startswith(f"{other.path}.") for other in obstacles)]
    if obstacles:
        raise BankwiseError(_message(network, obstacles))
    if kept.unused:
        raise BankwiseError(f"keep pattern {next(iter(kept.unused))!r} matches no module and no parameter to keep")
    _check_shared(network, tensors)
    shapes: dict[int, TensorShape] = {}
    for name, tensor in tensors.items():
        shapes.setdefault(id(tensor), _tensor_shape(name, tensor))  # a shared tensor is stored once
    return Roles(tuple(roles["layer"]), tuple(roles["norm"]), tuple(shapes.values()))


def _stored_buffers(persistent: Collection[str], path: str, module: nn.Module, kept: _Keep) -> dict[str, torch.Tensor]:
    """Persistent buffers: floating ones, and those of whole numbers that a pattern names; most constructors make these
    anew (`bankwise.search_space.state` refuses others)."""
    buffers = module.named_buffers(path, recurse=False, remove_duplicate=False)
    return {
        name: value
        for name, value in buffers
        if name in persistent and (value.is_floating_point() or not name.endswith(COUNTER) and kept.named(name))
    }


def _tensor_shape(name: str, tensor: torch.Tensor) -> TensorShape:
    """Raises:
    BankwiseError: its type is none that a file holds, such as complex numbers.
    """
    dtype = "float" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    if dtype != "float" and dtype not in INTEGERS:
        raise BankwiseError(f"{name} is {dtype}, which no file holds: floating point, {', '.join(INTEGERS)} are")
    return TensorShape(name, tuple(tensor.shape), dtype)


def _obstacles(path: str, module: nn.Module, names: list[str]) -> list[_Obstacle]:
    """Parameters `names` that `module` owns and nobody can price: as one module, or one by one beside other modules."""
    if not names:
        return []
    inside = any(True for child in module.children() for _ in child.parameters())
    if path and (not inside or type(module).__module__.startswith("torch.nn.")):
        return [_Obstacle(path, f"{_described(path, module)} {_why_not(module)}")]
    sizes = {name: module.get_parameter(name.removeprefix(f"{path}.")).numel() for name in names}
    owner = type(module).__name__
    why = "belongs to no conv2d, linear layer or norm"
    return [_Obstacle(name, f"{name} ({size:,} parameters of {owner} itself) {why}") for name, size in sizes.items()]


def _why_not(module: nn.Module) -> str:
    """Why a module with parameters is nothing that can be priced."""
    kind = _kind(module, LAYERS)
    if kind is None:
        return "is no conv2d, linear layer or norm that can be priced"
    own = type(module)
    whose = "" if own is kind else f"a subclass ({own.__module__}.{own.__qualname__}) of "
    return f"is {whose}torch's {kind.__name__} that does not run as it does: {_otherwise(module, kind)}"


def keep_hint(names: Iterable[str]) -> str:
    """How a user says that these stay as they are: options of a command line.

    >>> keep_hint(["head", "*.gamma"])
    "--keep head --keep '*.gamma'"
    """
    return " ".join(f"--keep {shlex.quote(name)}" for name in names)


def _described(path: str, module: nn.Module) -> str:
    return f"{path} ({type(module).__name__}, {sum(p.numel() for p in module.parameters()):,} parameters)"


def _message(network: nn.Module, obstacles: list[_Obstacle]) -> str:
    patterns = _patterns(network, [obstacle.path for obstacle in obstacles])
    shown = keep_hint(patterns[:SHOWN_PATTERNS]) + (" ..." if len(patterns) > SHOWN_PATTERNS else "")
    more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
    return f"{obstacles[0].why}{more}; it can be kept in floating point: {shown}"


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
                    + keep_hint([owner_path or owner, path or name])
                )
