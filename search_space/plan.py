"""A plan: a choice for every layer, the per-layer config. Versioned, and the same through YAML or JSON and back."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.families import Choice, choice_from_dict
from bankwise.search_space.families.choice import MOST
from bankwise.search_space.files import write_text
from bankwise.search_space.images import Images
from bankwise.search_space.imports import check_permitted, code_in_files
from bankwise.search_space.networks import names_code
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.strict import read, read_file
from bankwise.search_space.vector import VECTOR_BITS

PLAN_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """`layers` maps each layer's name to its choice, in the network's order.

    `network` is the reference that builds it, `keep` the patterns of modules kept in floating point, `vector_bits` the
    bits of the folded batch norms, scales and biases. `images` says what images it was trained on, where it was; plans
    that differ in that alone are equal.

    >>> from bankwise.search_space.families import choice_from_dict
    >>> layers = {"fc": choice_from_dict({"family": "float", "bits": 32})}
    >>> plan = Plan("mine:make", (1, 8, 8), 10, layers)
    >>> Plan.from_dict(plan.to_dict()) == plan
    True
    """

    network: str
    input_shape: tuple[int, int, int]
    classes: int
    layers: Mapping[str, Choice]
    keep: tuple[str, ...] = ()
    vector_bits: int = 8
    images: Images | None = field(default=None, compare=False)

    @property
    def codes(self) -> dict[str, str]:
        """The code of every layer's choice, such as S32.4.3x3."""
        return {name: choice.code() for name, choice in self.layers.items()}

    @property
    def named_code(self) -> tuple[str, ...]:
        """The references that may be code of the user's own."""
        families = {choice.reference() for choice in self.layers.values()}
        return self.network, *(name for name in families if name is not None)

    @property
    def text(self) -> str:
        """One line, for logs: `0.0=B 1.0=S4.8.1x3`."""
        return " ".join(f"{name}={code}" for name, code in self.codes.items())

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": PLAN_VERSION,
            "network": self.network,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "keep": list(self.keep),
            "vector_bits": self.vector_bits,
            **({} if self.images is None else {"images": self.images.to_dict()}),
            "layers": {name: choice.to_dict() for name, choice in self.layers.items()},
        }

    @classmethod
    def from_dict(cls, values: object, allow_code: bool = False) -> Plan:
        """The plan of `to_dict`; `allow_code` as `choice_from_dict` takes it.

        Raises:
            BankwiseError: in one line, for anything else.
        """
        version = values.get("version", PLAN_VERSION) if isinstance(values, Mapping) else PLAN_VERSION
        if type(version) is not int or version != PLAN_VERSION:
            raise BankwiseError(f"plan version: {short(version)} is not known; this release reads {PLAN_VERSION}")
        stored = read(_Stored, values, "plan")
        layers = {}
        for name, choice in stored.layers.items():
            try:
                layers[name] = choice_from_dict(choice, allow_code)
            except BankwiseError as error:
                raise BankwiseError(f"layer {name!r}: {error}") from None
        return cls(
            stored.network, stored.input_shape, stored.classes, layers, stored.keep, stored.vector_bits, stored.images
        )

    def check(self, shape: NetworkShape) -> None:
        """Raise BankwiseError unless the plan is for this network and every choice can be."""
        for pattern in self.keep:
            if [pattern] != pattern.split():  # the file's header lists the patterns with spaces between
                raise BankwiseError(f"keep: {pattern!r} is not a pattern without spaces; write ? for a space")
        for what, mine, wanted in (
            ("network", self.network, shape.network),
            ("input_shape", self.input_shape, shape.input_shape),
            ("classes", self.classes, shape.classes),
            ("keep", self.keep, shape.keep),
        ):
            if mine != wanted:
                raise BankwiseError(f"the plan is for {what} {mine!r}, not for {wanted!r}")
        names = [layer.name for layer in shape.layers]
        for name in self.layers:
            if name not in names:
                raise unknown("layer", name, names)
        for layer in shape.layers:
            if layer.name not in self.layers:
                raise BankwiseError(f"the plan has no choice for layer {layer.name!r} of network {shape.network!r}")
            try:
                choice = self.layers[layer.name]
                choice.check(layer)
                if choice.vectors is not None and not choice.has_vectors(layer):
                    raise BankwiseError(f"vectors={choice.vectors}: it has no batch norm of its own, scale or bias")
            except BankwiseError as error:
                raise BankwiseError(f"layer {layer.name!r}: {error}") from None

    def to_yaml(self) -> str:
        lines = self.to_dict()
        layers = lines.pop("layers")
        head = yaml.safe_dump(lines, sort_keys=False, default_flow_style=None, width=120)
        body = yaml.safe_dump(layers, sort_keys=False, default_flow_style=None, width=10**6)  # one line a layer
        return f"{head}layers:\n{textwrap.indent(body, '  ')}"

    def save(self, path: str | Path) -> None:
        """Write YAML, or JSON where the name ends so."""
        path = Path(path)
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n" if path.suffix == ".json" else self.to_yaml())

    @classmethod
    def read(cls, path: str | Path, allow_code: bool = False) -> Plan:
        """The plan in a YAML or JSON file. A network or family of the user's own that it names needs `allow_code`.

        Raises:
            BankwiseError: the file is not a plan; in one line that names it.
        """
        values = read_file(path, "plan")
        try:
            with code_in_files(allow_code):
                plan = cls.from_dict(values, allow_code=True)
                if names_code(plan.network):
                    check_permitted("network", plan.network)
            return plan
        except BankwiseError as error:
            raise BankwiseError(f"{str(path)!r}: {error}") from None


@dataclass(frozen=True)
class _Stored:
    """A plan as files hold it: every key but `images` is needed."""

    version: int
    network: str
    input_shape: tuple[int, int, int]
    classes: int
    keep: tuple[str, ...]
    vector_bits: int
    layers: Mapping[str, Any]
    images: Images | None = None

    def __post_init__(self) -> None:
        if not all(1 <= size < MOST for size in self.input_shape):
            raise BankwiseError(
                f"plan input_shape: {short(list(self.input_shape))} is not [channels, height, width], each at least 1 "
                "and below 10^9"
            )
        if not 1 <= self.classes < MOST:
            raise BankwiseError(f"plan classes: {short(self.classes)} is not a positive whole number below 10^9")
        if self.vector_bits not in VECTOR_BITS:
            raise BankwiseError(f"plan vector_bits: {short(self.vector_bits)} is not one of {VECTOR_BITS}")
