"""Targets: the forms in which a trained plan is deployed. A new one is a file or folder here and a line in TARGETS."""

from __future__ import annotations

from torch import nn

from bankwise.search_space.errors import unknown
from bankwise.search_space.imports import import_class
from bankwise.search_space.targets.c.target import CTarget
from bankwise.search_space.targets.file.target import FileTarget
from bankwise.search_space.targets.onnx.target import OnnxPlainTarget, OnnxTarget
from bankwise.search_space.targets.target import Sizes, Target, Written

TARGETS: tuple[type[Target], ...] = (FileTarget, CTarget, OnnxTarget, OnnxPlainTarget)


def make_target(name: str, network: nn.Module | None = None) -> Target:
    """The target of that name, or the one that a user names `package.module:Class`; `network` is as `Target` takes it.

    Raises BankwiseError where there is none, or the class is no `Target`.
    """
    if ":" in name:
        cls: type[Target] = import_class("target", name, Target)
        return cls(network)
    for target in TARGETS:
        if target.name == name:
            return target(network)
    raise unknown("target", name, [*(target.name for target in TARGETS), "package.module:Class"])


__all__ = ["TARGETS", "Sizes", "Target", "Written", "make_target"]
