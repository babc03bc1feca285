"""The shape of a network, found by one forward pass without data: nothing is edited and nothing is computed twice."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from search_space.errors import BankwiseError
from search_space.liveness import Recorder
from search_space.roles import is_layer, is_norm, sort_modules
from search_space.shape import LayerShape, NetworkShape, NormShape


@dataclass
class _Call:
    """One use of a module: its tensors, and its operations as positions [start, end) of the record."""

    x: torch.Tensor
    start: int
    y: torch.Tensor | None = None
    end: int = 0


@dataclass
class _Pass:
    """A recorded forward pass. `calls` are those of layers and batch norms, in the order of their first call."""

    recorder: Recorder
    calls: dict[str, list[_Call]] = field(default_factory=dict)
    output: object = None
    live: list[int] = field(default_factory=list)  # bytes alive at each operation


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
    floating point. BankwiseError where the network cannot run on the image, does not give `classes` logits, or holds
    parameters that no layer, norm or kept tensor accounts for.

    With `any_output` it may give what it likes, maps or boxes by name say, and may stop behind its last layer, as a
    detector does that cannot select boxes without values: what has no parameters has no price.
    """
    for name, parameter in network.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise BankwiseError(f"network {reference!r}: {name} is lazy, it has no size; give its module a size")
    run, traced = _run_somewhere(network, reference, input_shape, any_output)
    if not any_output and not _gives_logits(run.output, classes):
        raise BankwiseError(
            f"network {reference!r} gives {_described(run.output)} for one image, expected logits (1, {classes})"
        )
    try:
        roles = sort_modules(traced, keep, run.calls)
    except BankwiseError as error:
        raise BankwiseError(f"network {reference!r}: {error}") from None
    layers = [_layer(path, traced.get_submodule(path), run, roles.norms) for path in run.calls if path in roles.layers]
    norms = [NormShape(path, traced.get_submodule(path).num_features) for path in run.calls if path in roles.norms]
    return NetworkShape(
        reference, tuple(input_shape), classes, tuple(layers), tuple(norms), roles.tensors, max(run.live), tuple(keep)
    )


def norms_behind(network: nn.Module, shape: NetworkShape) -> dict[str, str]:
    """The batch norm that consumes each normalized layer: {layer's name: norm's name}."""
    run, _ = _run_somewhere(network, shape.network, shape.input_shape, True)
    norms = [norm.name for norm in shape.norms]
    return {layer.name: _norm_behind(run.calls[layer.name], run, norms) for layer in shape.layers if layer.normalized}


def _gives_logits(output: object, classes: int) -> bool:
    return isinstance(output, torch.Tensor) and tuple(output.shape) == (1, classes)


def _described(output: object) -> str:
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__


def _run_somewhere(
    network: nn.Module, reference: str, input_shape: tuple[int, int, int], any_output: bool
) -> tuple[_Pass, nn.Module]:
    """A recorded pass and the copy that ran: on the meta device, which costs nothing, or else on the CPU."""
    stored = all(tensor.device.type != "meta" for tensor in [*network.parameters(), *network.buffers()])
    for device in ("meta", "cpu") if stored else ("meta",):
        try:
            traced = _copy(network, device).eval()
            return _run(traced, torch.zeros(1, *input_shape, device=device), any_output), traced
        except Exception as error:  # whatever a user's forward pass raises; some need values, which meta has not
            failure = error
    size = "x".join(map(str, input_shape))
    reason = f"{type(failure).__name__}: {failure}".partition("\n")[0]
    raise BankwiseError(
        f"network {reference!r} cannot run on an image of {size} (channels x height x width): {reason}"
    ) from failure


def _copy(network: nn.Module, device: str) -> nn.Module:
    """A copy of the modules over float32 tensors on `device`; tied tensors stay tied."""
    moved: dict[int, object] = {}
    for tensor in [*network.parameters(), *network.buffers()]:
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        new = tensor.detach().to(device=device, dtype=dtype, copy=True)
        moved[id(tensor)] = nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new
    return copy.deepcopy(network, moved)


@torch.no_grad()
def _run(network: nn.Module, image: torch.Tensor, any_output: bool) -> _Pass:
    run = _Pass(Recorder([*network.parameters(), *network.buffers()]))
    watched = set()
    for path, module in network.named_modules():
        if is_layer(module) or is_norm(module):
            _watch(run, path, module)
            watched.add(path)
    with torch.random.fork_rng(devices=[]), torch.device(image.device), run.recorder:
        try:
            run.output = network(image)
        except Exception:  # as above
            calls = [call for calls in run.calls.values() for call in calls]
            done = calls and all(call.y is not None for call in calls)
            if not (any_output and done and watched == run.calls.keys()):
                raise
            run.output = max(calls, key=lambda call: call.end).y  # somebody was about to read it
    run.live = run.recorder.live_bytes(image, run.output)
    return run


def _watch(run: _Pass, path: str, module: nn.Module) -> None:
    """Note every call of `module` in `run`."""

    def before(_: nn.Module, args: tuple[torch.Tensor, ...], kwargs: Mapping[str, torch.Tensor]) -> None:
        x = args[0] if args else kwargs["input"]
        run.calls.setdefault(path, []).append(_Call(x, len(run.recorder.operations)))

    def after(_: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
        call = run.calls[path][-1]
        call.y, call.end = y, len(run.recorder.operations)

    module.register_forward_pre_hook(before, with_kwargs=True)
    module.register_forward_hook(after)


def _layer(path: str, module: nn.Module, run: _Pass, norms: tuple[str, ...]) -> LayerShape:
    """Where the calls see different sizes the largest is given, so that work and memory are never underestimated."""
    calls = run.calls[path]
    common = {
        "name": path,
        "bias": module.bias is not None,
        "normalized": _norm_behind(calls, run, norms) is not None,
        "live_bytes": max(max(run.live[call.start : call.end]) for call in calls),
    }
    if isinstance(module, nn.Linear):
        sizes = [(call.x.numel() // module.in_features, 1) for call in calls]
        return LayerShape(
            kind="linear",
            n=module.out_features,
            c=module.in_features,
            in_size=max(sizes),
            out_size=max(sizes),
            calls=len(calls),
            **common,
        )
    largest = max(calls, key=lambda call: call.y.shape[-2] * call.y.shape[-1])
    return LayerShape(
        kind="conv2d",
        n=module.out_channels,
        c=module.in_channels // module.groups,
        kernel=module.kernel_size,
        groups=module.groups,
        stride=module.stride,
        padding=_padding(module),
        dilation=module.dilation,
        in_size=tuple(largest.x.shape[-2:]),
        out_size=tuple(largest.y.shape[-2:]),
        calls=sum(call.x.shape[0] if call.x.dim() == 4 else 1 for call in calls),  # windows of one image count each
        **common,
    )


def _padding(module: nn.Conv2d) -> tuple[int, int]:
    """'same' pads d (k - 1) in all; where that is odd, the lesser side is given."""
    if module.padding == "valid":
        return (0, 0)
    if module.padding == "same":
        return tuple(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
    return module.padding


def _norm_behind(calls: list[_Call], run: _Pass, norms: Sequence[str]) -> str | None:
    """The batch norm, used once, that the layer's one output goes into, if it goes into nothing else."""
    if len(calls) != 1:
        return None
    uses = run.recorder.uses(calls[0].y, calls[0].end)
    for norm in norms:
        if len(run.calls[norm]) == 1 and run.calls[norm][0].x is calls[0].y:
            within = range(run.calls[norm][0].start, run.calls[norm][0].end)
            return norm if all(position in within for position in uses) else None
    return None
