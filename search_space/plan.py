"""A plan: a choice for every layer, the per-layer config. Versioned, and the same through YAML or JSON and back."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from search_space.basis import Choice, choice_from_dict
from search_space.errors import BankwiseError, unknown
from search_space.files import write_text
from search_space.shape import NetworkShape
from search_space.vector import VECTOR_BITS

PLAN_VERSION = 1
_KEYS = ("version", "network", "input_shape", "classes", "keep", "vector_bits", "layers")


@dataclass(frozen=True)
class Plan:
    """`layers` maps each layer's name to its choice, in the network's order.

    `network` is the reference that builds it, `keep` the patterns of modules kept in floating point, `vector_bits` the
    bits of the folded batch norms, scales and biases.
    """

    network: str
    input_shape: tuple[int, int, int]
    classes: int
    layers: Mapping[str, Choice]
    keep: tuple[str, ...] = ()
    vector_bits: int = 8

    def to_dict(self) -> dict:
        return {
            "version": PLAN_VERSION,
            "network": self.network,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "keep": list(self.keep),
            "vector_bits": self.vector_bits,
            "layers": {name: choice.to_dict() for name, choice in self.layers.items()},
        }

    @classmethod
    def from_dict(cls, values: object) -> Plan:
        if not isinstance(values, Mapping):
            raise BankwiseError(f"a plan is a mapping with the keys {', '.join(_KEYS)}, not {type(values).__name__}")
        if type(values.get("version")) is not int or values["version"] != PLAN_VERSION:
            raise BankwiseError(f"version: {values.get('version')!r} is not known; this release reads {PLAN_VERSION}")
        for key in values:
            if key not in _KEYS:
                raise unknown("plan key", key, _KEYS)
        for key in _KEYS:
            if key not in values:
                raise BankwiseError(f"the plan lacks the key {key!r}")
        if not isinstance(values["network"], str):
            raise BankwiseError(f"network: {values['network']!r} is not the name of a network")
        input_shape = values["input_shape"]
        if not (isinstance(input_shape, list) and len(input_shape) == 3 and all(_positive(v) for v in input_shape)):
            raise BankwiseError(f"input_shape: {input_shape!r} is not [channels, height, width]")
        if not _positive(values["classes"]):
            raise BankwiseError(f"classes: {values['classes']!r} is not a positive whole number")
        if not _positive(values["vector_bits"]) or values["vector_bits"] not in VECTOR_BITS:
            raise BankwiseError(f"vector_bits: {values['vector_bits']!r} is not one of {VECTOR_BITS}")
        if not isinstance(values["layers"], Mapping):
            raise BankwiseError(f"layers: {values['layers']!r} is not a mapping from layer names to choices")
        keep = values["keep"]
        if not isinstance(keep, list) or not all(isinstance(pattern, str) for pattern in keep):
            raise BankwiseError(f"keep: {keep!r} is not a list of module name patterns")
        layers = {}
        for name, choice in values["layers"].items():
            try:
                layers[str(name)] = choice_from_dict(choice)
            except BankwiseError as error:
                raise BankwiseError(f"layer {name!r}: {error}") from None
        return cls(
            values["network"], tuple(input_shape), values["classes"], layers,
            tuple(keep), values["vector_bits"],
        )  # fmt: skip

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
                self.layers[layer.name].check(layer)
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
    def read(cls, path: str | Path) -> Plan:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BankwiseError(f"cannot read the plan {str(path)!r}: {reason}") from None
        try:
            values = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise BankwiseError(f"{str(path)!r} is not YAML or JSON: {' '.join(str(error).split())}") from None
        try:
            return cls.from_dict(values)
        except BankwiseError as error:
            raise BankwiseError(f"plan {str(path)!r}: {error}") from None


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
