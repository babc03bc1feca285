"""Networks by reference: our own, torchvision's, or a user's factory."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence

from torch import nn

from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import error_line, import_object
from bankwise.search_space.memory import Bounded, NotEnoughMemory, available
from bankwise.search_space.networks.inverted import mobilenet_v2
from bankwise.search_space.networks.resnet import resnet18, resnet20, resnet56
from bankwise.search_space.networks.resnet8 import resnet8
from bankwise.search_space.networks.resnet9 import resnet9
from bankwise.search_space.networks.segnet import segnet
from bankwise.search_space.networks.separable import dscnn, mobilenet_v1
from bankwise.search_space.networks.small import small, tiny
from bankwise.search_space.networks.vgg import vgg16, vgg_small
from bankwise.search_space.torchvision_import import CountsHaveValues, import_torchvision

# Each with its number of stages, of which each may have a width of its own, and with the blocks of each stage where
# there may be fewer or more.
_NETWORKS: dict[str, tuple[Callable[..., nn.Module], int, tuple[int, ...] | None]] = {
    "tiny": (tiny, 3, None),
    "small": (small, 3, None),
    "vgg_small": (vgg_small, 3, None),
    "vgg16": (vgg16, 5, None),
    "resnet20": (resnet20, 3, (3, 3, 3)),
    "resnet56": (resnet56, 3, (9, 9, 9)),
    "resnet18": (resnet18, 4, (2, 2, 2, 2)),
    "resnet8": (resnet8, 3, (1, 1, 1)),
    "resnet9": (resnet9, 3, (1, 0, 1)),
    "dscnn": (dscnn, 1, (4,)),
    "mobilenet_v1": (mobilenet_v1, 5, (1, 2, 2, 6, 2)),
    "mobilenet_v2": (mobilenet_v2, 7, (1, 2, 3, 4, 3, 3, 1)),
    "segnet": (segnet, 5, None),
}
DEEPEST = 100  # blocks of a stage
IN_MEMORY = "in-memory"  # the reference of a network that was given as a module
DENSE = ("segnet",)  # give a class for every pixel: they are converted, not trained here


class CannotBuild(BankwiseError):
    """A constructor that fails; on the meta device it may be for want of values."""


def network_names() -> list[str]:
    """The classifiers that come with the project."""
    return [name for name in _NETWORKS if name not in DENSE]


def stages(name: str) -> int:
    """The number of stages of one of `network_names()`."""
    return _NETWORKS[name][1]


def usual_depths(name: str) -> tuple[int, ...] | None:
    """The blocks of each stage of one of `network_names()`; None where it comes in one depth."""
    return _NETWORKS[name][2]


def deep_names() -> list[str]:
    """Those of `network_names()` whose stages may have fewer or more blocks."""
    return [name for name in network_names() if usual_depths(name)]


def one_depth(reference: str) -> BankwiseError:
    """The error for a network whose blocks are asked for, but has none to choose."""
    return BankwiseError(f"network {reference!r} comes in one depth; those with others: {', '.join(deep_names())}")


def names_code(reference: str) -> bool:
    """Whether building the network imports and runs a user's own code."""
    return ":" in reference and not reference.startswith("torchvision:")


def build(reference: str, *, classes: int, in_channels: int) -> nn.Module:
    """The network that `reference` names, with fresh weights, for `classes` classes and `in_channels` input channels.

    NAME             one of `network_names()`, or of DENSE
    NAME@WIDTH       the same with its channels multiplied by WIDTH; NAME@W1,W2,... by one for each stage
    NAME@WIDTHdDEPTH the same with DEPTH blocks in each stage, or D1,D2,...; NAME@dDEPTH at the usual width. A stage of
                     0 blocks is left out
    torchvision:NAME a classifier, a detector or a segmentation network of torchvision
    MODULE:CALLABLE  a user's factory (or nn.Module class), importable from the current directory too; it is given
                     `num_classes` and `in_channels` where its signature names them

    Raises:
        BankwiseError: there is no such network, it cannot be built, or takes more than half of the memory that is
            there: whatever is done with it needs a copy.
    """
    try:
        with Bounded(f"network {reference!r}", available() // 2):
            return _build(reference, classes, in_channels)
    except BankwiseError:
        raise
    except Exception as error:  # sizes that no tensor has
        raise CannotBuild(f"network {reference!r} cannot be built: {error_line(error)}") from error


def _build(reference: str, classes: int, in_channels: int) -> nn.Module:
    if reference == IN_MEMORY:
        raise BankwiseError(
            "the network was given as a module in memory, which no reference builds: give that module again, "
            "as in load(path, network=module)"
        )
    if reference.startswith("torchvision:"):
        return _torchvision(reference.removeprefix("torchvision:"), classes, in_channels)
    if names_code(reference):
        return _users(reference, classes, in_channels)
    name, at, width = reference.partition("@")
    if name not in _NETWORKS:
        raise unknown("network", name, [*_NETWORKS, "torchvision:NAME", "package.module:callable"])
    widths, depths = _sizes(reference, width) if at else ((1.0,), None)
    further = {} if depths is None else {"depths": depths}
    try:
        return _NETWORKS[name][0](classes, in_channels, widths, **further)
    except NotEnoughMemory:
        raise
    except BankwiseError as error:
        raise BankwiseError(f"network {reference!r}: {error}") from None


def build_or_copy(reference: str, network: nn.Module | None, *, classes: int, in_channels: int) -> nn.Module:
    """A copy of `network`, the module that `reference` stands for, where it is given, else what `build` gives."""
    if network is not None:
        return copy.deepcopy(network)
    return build(reference, classes=classes, in_channels=in_channels)


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
    widths, depths = _sizes(reference, before) if at else ((1.0,), None)
    return at_depths(at_widths(name, [width * one for one in widths]), depths)


def at_depths(reference: str, depths: Sequence[int] | None) -> str:
    """The reference of the network with so many blocks in each stage: resnet20@0.5 and (2, 2, 2) give resnet20@0.5d2;
    None: as many as it has."""
    if depths is None:
        return reference
    shown = depths[:1] if len(set(depths)) == 1 else depths
    return f"{reference}{'' if '@' in reference else '@'}d{','.join(map(str, shown))}"


def _sizes(reference: str, text: str) -> tuple[tuple[float, ...], tuple[int, ...] | None]:
    """The widths and the depths that stand behind a network's name."""
    shown, marker, blocks = text.partition("d")
    widths = (1.0,) if marker and not shown else tuple(_width(reference, one) for one in shown.split(","))
    return widths, _depths(reference, blocks) if marker else None


def _depths(reference: str, text: str) -> tuple[int, ...]:
    name = reference.partition("@")[0]
    usual = _NETWORKS[name][2]
    if usual is None:
        raise one_depth(reference)
    given = text.split(",")
    if not all(one.isascii() and one.isdecimal() and len(one) < 9 and int(one) <= DEEPEST for one in given):
        raise BankwiseError(f"network {reference!r}: depths are whole numbers from 0 to {DEEPEST}, not {text!r}")
    if len(given) not in (1, len(usual)):
        raise BankwiseError(
            f"network {reference!r}: {len(given)} depths for a network of {len(usual)} stages: give one, or one for "
            "each stage"
        )
    return tuple(map(int, given)) * (len(usual) // len(given))


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
    network: nn.Module
    try:
        network = models.get_model(name, **options)
    except NotImplementedError:  # RegNet computes its widths with tensors, which have no values on the meta device
        with CountsHaveValues():
            network = models.get_model(name, **options)
    return network


def _users(reference: str, classes: int, in_channels: int) -> nn.Module:
    factory = import_object("network", reference, "function or class", "package.module:callable")
    module, _, path = reference.partition(":")
    if not callable(factory) or isinstance(factory, nn.Module):
        raise BankwiseError(
            f"network {reference!r}: {module!r} has no function or class {path!r} that builds an nn.Module"
        )
    return made_by(factory, reference, classes, in_channels)


def made_by(factory: Callable[..., object], reference: str, classes: int, in_channels: int) -> nn.Module:
    """The module that a user's `factory` makes of what it takes of `num_classes` and `in_channels`. Raises CannotBuild
    where it fails, BankwiseError where it makes anything else."""
    path = getattr(factory, "__qualname__", type(factory).__name__)
    offered = {"num_classes": classes, "in_channels": in_channels}
    try:
        accepted = inspect.signature(factory).parameters
        network = factory(**{key: value for key, value in offered.items() if key in accepted})
    except NotEnoughMemory:
        raise
    except Exception as error:
        raise CannotBuild(f"network {reference!r}: {path} failed ({error_line(error)})") from error
    if not isinstance(network, nn.Module):
        raise BankwiseError(
            f"network {reference!r}: {path} must return an nn.Module, it returned {type(network).__name__}"
        )
    return network
