"""Networks by reference: our own, torchvision's, or a user's factory."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter

import torch
from torch import nn

from search_space.errors import BankwiseError, unknown
from search_space.networks.blocks import Width
from search_space.networks.resnet import resnet18, resnet20, resnet56
from search_space.networks.segnet import segnet
from search_space.networks.small import small, tiny
from search_space.networks.vgg import vgg16, vgg_small
from search_space.torchvision_import import import_torchvision

# Each with its number of stages, of which each may have a width of its own.
_NETWORKS: dict[str, tuple[Callable[[int, int, Width], nn.Module], int]] = {
    "tiny": (tiny, 3),
    "small": (small, 3),
    "vgg_small": (vgg_small, 3),
    "vgg16": (vgg16, 5),
    "resnet20": (resnet20, 3),
    "resnet56": (resnet56, 3),
    "resnet18": (resnet18, 4),
    "segnet": (segnet, 5),
}
DENSE = ("segnet",)  # give a class for every pixel: they are converted, not trained here


def network_names() -> list[str]:
    """The classifiers that come with the project."""
    return [name for name in _NETWORKS if name not in DENSE]


def stages(name: str) -> int:
    """The number of stages of one of `network_names()`."""
    return _NETWORKS[name][1]


def names_code(reference: str) -> bool:
    """Whether building the network imports and runs a user's own code."""
    return ":" in reference and not reference.startswith("torchvision:")


def build(reference: str, *, classes: int, in_channels: int) -> nn.Module:
    """The network that `reference` names, with fresh weights, for `classes` classes and `in_channels` input channels.

    NAME             one of `network_names()`, or of DENSE
    NAME@WIDTH       the same with its channels multiplied by WIDTH; NAME@W1,W2,... by one for each stage
    torchvision:NAME a classifier, a detector or a segmentation network of torchvision
    MODULE:CALLABLE  a user's factory (or nn.Module class), importable from the current directory too; it is given
                     `num_classes` and `in_channels` where its signature names them
    """
    if reference.startswith("torchvision:"):
        return _torchvision(reference.removeprefix("torchvision:"), classes, in_channels)
    if names_code(reference):
        return _users(reference, classes, in_channels)
    name, at, width = reference.partition("@")
    if name not in _NETWORKS:
        raise unknown("network", name, [*_NETWORKS, "torchvision:NAME", "package.module:callable"])
    widths = _widths(reference, width) if at else (1.0,)
    try:
        return _NETWORKS[name][0](classes, in_channels, widths)
    except BankwiseError as error:
        raise BankwiseError(f"network {reference!r}: {error}") from None


def at_widths(name: str, widths: Sequence[float]) -> str:
    """The reference of the network `name` with a multiplier of channels for each stage, or one for all: small and
    (0.5, 0.5, 0.5) give small@0.5, (1, 1, 1) small, (1, 0.5, 2) small@1,0.5,2."""
    shown = widths[:1] if len(set(widths)) == 1 else widths
    text = ",".join(f"{width:g}" for width in shown)
    return name if text == "1" else f"{name}@{text}"


def at_width(reference: str, width: float) -> str:
    """The reference of the same network with its channels multiplied by `width`: small and 0.5 give small@0.5."""
    name, at, before = reference.partition("@")
    if name not in _NETWORKS:
        raise BankwiseError(f"network {reference!r} comes in one width; those with others: {', '.join(_NETWORKS)}")
    return at_widths(name, [width * one for one in (_widths(reference, before) if at else (1.0,))])


def _widths(reference: str, text: str) -> tuple[float, ...]:
    return tuple(_width(reference, one) for one in text.split(","))


def _width(reference: str, text: str) -> float:
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not 0 < width < math.inf:
        raise BankwiseError(f"network {reference!r}: a width must be a number above 0 such as 0.5, not {text!r}")
    return width


def _torchvision(name: str, classes: int, in_channels: int) -> nn.Module:
    models = import_torchvision().models
    others = [name for module in (models.detection, models.segmentation) for name in models.list_models(module=module)]
    names = [*models.list_models(module=models), *others]
    if name not in names:
        raise unknown("torchvision network", name, names)
    if in_channels != 3:
        raise BankwiseError(f"network 'torchvision:{name}' takes 3 input channels, the data have {in_channels}")
    options: dict[str, object] = {"weights": None, "num_classes": classes}
    if name in others:
        options["weights_backbone"] = None  # which torchvision would download
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}  # auxiliary classifiers serve training alone
    try:
        return models.get_model(name, **options)
    except NotImplementedError:  # RegNet computes its widths with tensors, which have no values on the meta device
        with torch.device("cpu"):
            network = models.get_model(name, **options)
        return network.to(torch.get_default_device())


def _users(reference: str, classes: int, in_channels: int) -> nn.Module:
    module_name, _, path = reference.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` does; a console script leaves it out
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BankwiseError(
            f"network {reference!r}: cannot import {module_name!r} ({_line(error)}); expected package.module:callable"
        ) from error
    try:
        factory = attrgetter(path)(module)
    except AttributeError:
        factory = None
    if not callable(factory) or isinstance(factory, nn.Module):
        raise BankwiseError(
            f"network {reference!r}: {module_name!r} ({module.__file__}) has no function or class {path!r} "
            "that builds an nn.Module"
        )
    offered = {"num_classes": classes, "in_channels": in_channels}
    accepted = inspect.signature(factory).parameters
    try:
        network = factory(**{key: value for key, value in offered.items() if key in accepted})
    except Exception as error:
        raise BankwiseError(f"network {reference!r}: {path} failed ({_line(error)})") from error
    if not isinstance(network, nn.Module):
        raise BankwiseError(
            f"network {reference!r}: {path} must return an nn.Module, it returned {type(network).__name__}"
        )
    return network


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
