"""The shape of a network, found by one forward pass without data: nothing is edited and nothing is computed twice."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.liveness import Recorder
from bankwise.search_space.memory import available
from bankwise.search_space.networks import CannotBuild, build_or_copy
from bankwise.search_space.outputs import described, logits_of
from bankwise.search_space.roles import is_layer, is_norm, sort_modules
from bankwise.search_space.shape import LayerShape, NetworkShape, NormShape


@dataclass
class _Call:
    """One use of a module: its tensors, and its operations as positions [start, end) of the record."""

    x: torch.Tensor
    start: int
    y: torch.Tensor = field(init=False)
    end: int = 0


@dataclass
class _Pass:
    """A recorded forward pass. `calls` are those of layers and batch norms, in the order of their first call."""

    recorder: Recorder
    calls: dict[str, list[_Call]] = field(default_factory=dict)
    output: object = None
    live: list[int] = field(default_factory=list)  # bytes alive at each operation


@typed_arguments("network", "reference", "input_shape", "classes", "keep", "any_output")
def trace(
    network: nn.Module,
    reference: str,
    input_shape: tuple[int, int, int],
    classes: int,
    keep: tuple[str, ...] = (),
    any_output: bool = False,
) -> NetworkShape:
    """The shape of `network` for one image of `input_shape` (channels, height, width); the network stays as it is.

    `reference` tells how to build the network. `keep` are patterns over module paths whose parameters stay in
    floating point. With `any_output` the network may return anything, such as maps or boxes by name, and may stop after
    its last layer, as a detector does that cannot select boxes without values: what has no parameters has no price.

    Raises:
        BankwiseError: the network cannot run on the image, does not give `classes` logits, or holds parameters that no
            layer, norm or kept tensor accounts for.

    >>> from bankwise.search_space.networks import build
    >>> shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    >>> shape.layers[0].weight_shape
    (16, 1, 3, 3)
    """
    for name, parameter in network.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise BankwiseError(f"network {reference!r}: {name} is lazy, it has no size; give its module a size")
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise BankwiseError(
                f"network {reference!r}: {name} is {kind}; networks are trained in float32: use .float()"
            )
    run, traced = _run_somewhere(network, reference, input_shape, any_output)
    if not any_output and not _gives_logits(run.output, classes):
        raise BankwiseError(
            f"network {reference!r} gives {described(run.output)} for one image, expected logits (1, {classes})"
        )
    try:
        roles = sort_modules(traced, keep, run.calls)
    except BankwiseError as error:
        raise BankwiseError(f"network {reference!r}: {error}") from None
    layers = [_layer(path, traced, run, roles.norms) for path in run.calls if path in roles.layers]
    norms = [
        NormShape(path, cast(int, traced.get_submodule(path).num_features)) for path in run.calls if path in roles.norms
    ]
    return NetworkShape(
        reference,
        cast(tuple[int, int, int], tuple(input_shape)),
        classes,
        tuple(layers),
        tuple(norms),
        roles.tensors,
        max(run.live),
        tuple(keep),
        _other_work(run, layers),
        tuple(run.recorder.uncounted),
    )


def _gives_logits(output: object, classes: int) -> bool:
    logits = logits_of(output)
    return logits is not None and tuple(logits.shape) == (1, classes)


class CannotRun(BankwiseError):
    """A forward pass that fails; on the meta device it may be for want of values."""


def shape_of(
    reference: str,
    input_shape: tuple[int, int, int],
    classes: int,
    keep: tuple[str, ...] = (),
    any_output: bool = False,
    module: nn.Module | None = None,
) -> NetworkShape:
    """`trace` of the network that `reference` builds, or of `module` where it is one in memory, for its shapes alone:
    no weight is made, unless the constructor or the forward pass needs values."""

    def on(device: str) -> NetworkShape:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            network = build_or_copy(reference, module, classes=classes, in_channels=input_shape[0])
        return trace(network, reference, input_shape, classes, keep, any_output)

    if module is not None:
        return trace(module, reference, input_shape, classes, keep, any_output)
    try:
        return on("meta")
    except (CannotRun, CannotBuild):
        return on("cpu")


def _run_somewhere(
    network: nn.Module, reference: str, input_shape: tuple[int, int, int], any_output: bool
) -> tuple[_Pass, nn.Module]:
    """A recorded pass and the copy that ran: on the meta device, which costs nothing, or else on the CPU."""
    stored = all(tensor.device.type != "meta" for tensor in [*network.parameters(), *network.buffers()])
    for device in ("meta", "cpu") if stored else ("meta",):
        run = None
        try:
            traced = _copy(network, device).eval()
            run = _Pass(Recorder([*traced.parameters(), *traced.buffers()]))
            _run(run, traced, torch.zeros(1, *input_shape, device=device), any_output)
        except Exception as error:  # whatever a user's forward pass raises; some need values, which meta has not
            failure = error
            if run is not None and run.recorder.bytes > (there := available() // 2):
                raise CannotRun(
                    f"network {reference!r} needs the values of an image to be traced, and its maps take at least "
                    f"{run.recorder.bytes:,} bytes, more than half of those that are there ({there:,}): "
                    "try a smaller image"
                ) from error
            continue
        if device == "cpu":
            _check_other_image(run, traced, reference, input_shape, any_output)
        return run, traced
    size = "x".join(map(str, input_shape))
    raise CannotRun(
        f"network {reference!r} cannot run on an image of {size} (channels x height x width): {error_line(failure)}"
    ) from failure


def _check_other_image(
    run: _Pass, traced: nn.Module, reference: str, input_shape: tuple[int, int, int], any_output: bool
) -> None:
    """A network that looks at values must run the same layers for any, in one order: files list them in it."""
    noise = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0))
    for image in (noise,) if any_output else (noise, noise.abs(), -noise.abs()):  # detectors take their time
        try:
            other = _Pass(Recorder([*traced.parameters(), *traced.buffers()]))
            _run(other, traced, image, any_output)
            same = list(run.calls) == list(other.calls)
        except Exception as error:  # as above
            raise BankwiseError(
                f"network {reference!r} runs on some images and not on others: {error_line(error)}"
            ) from error
        if not same:
            raise BankwiseError(
                f"network {reference!r}: the values of an image decide which layers run, or in what order; "
                "a network is priced, trained and packed as one"
            )


def _copy(network: nn.Module, device: str) -> nn.Module:
    """A copy of the modules over float32 tensors on `device`; tied tensors stay tied."""
    moved: dict[int, object] = {}
    for tensor in [*network.parameters(), *network.buffers()]:
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        new = tensor.detach().to(device=device, dtype=dtype, copy=True)
        moved[id(tensor)] = nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new
    return copy.deepcopy(network, moved)


@torch.no_grad()
def _run(run: _Pass, network: nn.Module, image: torch.Tensor, any_output: bool) -> None:
    """Record the forward pass in `run`."""
    watched, hooks = set(), []
    for path, module in network.named_modules():
        if is_layer(module) or is_norm(module):
            hooks += _record(run, path, module)
            watched.add(path)
    with torch.random.fork_rng(devices=[]), torch.device(image.device), run.recorder:
        try:
            run.output = network(image)
        except Exception:  # as above
            calls = [call for calls in run.calls.values() for call in calls]
            done = calls and all(call.end for call in calls)
            if not (any_output and done and watched == run.calls.keys()):
                raise
            run.output = max(calls, key=lambda call: call.end).y  # somebody was about to read it
        finally:
            for hook in hooks:  # a layer with a hook is not one that can be replaced
                hook.remove()
    run.live = run.recorder.live_bytes(image, run.output)


def _other_work(run: _Pass, layers: list[LayerShape]) -> int:
    """Multiplications outside the calls of the layers."""
    work = list(run.recorder.work)
    for layer in layers:
        for call in run.calls[layer.name]:
            work[call.start : call.end] = [0] * (call.end - call.start)
    return sum(work)


def _record(run: _Pass, path: str, module: nn.Module) -> list[RemovableHandle]:
    """Note every call of `module` in `run`."""

    def before(_: nn.Module, args: tuple[torch.Tensor, ...], kwargs: Mapping[str, torch.Tensor]) -> None:
        x = args[0] if args else kwargs["input"]
        run.calls.setdefault(path, []).append(_Call(x, len(run.recorder.operations)))

    def after(_: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
        call = run.calls[path][-1]
        call.y, call.end = y, len(run.recorder.operations)

    return [module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(after)]


def _layer(path: str, network: nn.Module, run: _Pass, norms: tuple[str, ...]) -> LayerShape:
    calls, module = run.calls[path], network.get_submodule(path)
    if isinstance(module, nn.Linear):
        sizes = Counter((call.x.numel() // module.in_features, 1) for call in calls)
        layer = LayerShape(
            path,
            "linear",
            n=module.out_features,
            c=module.in_features,
            in_size=max(sizes),
            out_size=max(sizes),
            calls=len(calls),
            uses=_uses(sizes),
        )
    else:
        layer = _convolution(path, cast(nn.Conv2d, module), calls)
    norm = _norm_behind(calls, run, norms, network, module)
    return dataclasses.replace(
        layer,
        bias=module.bias is not None,
        normalized=norm is not None,
        norm=norm or "",
        live_bytes=max(max(run.live[call.start : call.end]) for call in calls),
    )


def _convolution(path: str, module: nn.Conv2d, calls: list[_Call]) -> LayerShape:
    largest = max(calls, key=lambda call: call.y.shape[-2] * call.y.shape[-1])
    sizes: Counter[tuple[int, int]] = Counter()
    for call in calls:  # windows of one image count each
        sizes[_pair(call.y.shape[-2:])] += call.x.shape[0] if call.x.dim() == 4 else 1
    return LayerShape(
        path,
        "conv2d",
        n=module.out_channels,
        c=module.in_channels // module.groups,
        kernel=_pair(module.kernel_size),
        groups=module.groups,
        stride=_pair(module.stride),
        padding=_padding(module),
        dilation=_pair(module.dilation),
        in_size=_pair(largest.x.shape[-2:]),
        out_size=_pair(largest.y.shape[-2:]),
        calls=sizes.total(),
        uses=_uses(sizes),
    )


def _uses(sizes: Counter[tuple[int, int]]) -> tuple[tuple[tuple[int, int], int], ...]:
    """The sizes and how often each, where there are several."""
    return tuple(sizes.items()) if len(sizes) > 1 else ()


def _pair(values: Iterable[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def _padding(module: nn.Conv2d) -> tuple[int, int]:
    """'same' pads d (k - 1) in all; where that is odd, the lesser side is given."""
    if module.padding == "valid":
        return (0, 0)
    if module.padding == "same":
        return _pair(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
    return _pair(cast(tuple[int, int], module.padding))


def _norm_behind(
    calls: list[_Call], run: _Pass, norms: Sequence[str], network: nn.Module, layer: nn.Module
) -> str | None:
    """The batch norm, used once, that the layer's one output goes into, channel for filter, if it goes into nothing
    else. A weight that is read by others too, as a tied decoder does, must have its scale itself, and so must one whose
    norm is."""
    if len(calls) != 1 or _read_outside([cast(torch.Tensor, layer.weight)], calls, run):
        return None
    output = calls[0].y
    if output.dim() != (2 if isinstance(layer, nn.Linear) else 4):  # a norm's channels are the second dimension
        return None
    uses = run.recorder.uses(output, calls[0].end)
    for norm in norms:
        if len(run.calls[norm]) == 1 and run.calls[norm][0].x is output:
            call, module = run.calls[norm][0], network.get_submodule(norm)
            alone = all(position in range(call.start, call.end) for position in uses)
            return norm if alone and not _read_outside([*module.parameters(), *module.buffers()], [call], run) else None
    return None


def _read_outside(tensors: Iterable[torch.Tensor], calls: Sequence[_Call], run: _Pass) -> bool:
    """Whether an operation outside these calls reads one of the network's tensors."""
    storages = {run.recorder.storage(tensor) for tensor in tensors}
    return any(
        not storages.isdisjoint(touched)
        for position, touched in enumerate(run.recorder.constants)
        if not any(call.start <= position < call.end for call in calls)
    )
