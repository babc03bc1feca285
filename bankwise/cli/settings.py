"""From options and YAML files to the settings of a search: strict, with errors that name the key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import yaml

from search_space.errors import BankwiseError, unknown
from search_space.space import SpaceSettings
from search_space.vector import VECTOR_BITS
from trainers.recipe import Recipe

SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def whole(option: str, text: str | None, units: Mapping[str, int]) -> int | None:
    """A positive whole number with a unit, such as 64KiB or 5M."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    factors = {name.lower(): factor for name, factor in units.items()}
    value = int(Decimal(match[1]) * factors[match[2].lower()]) if match and match[2].lower() in factors else 0
    if value < 1:
        known = ", ".join(name for name in units if name)
        raise BankwiseError(f"{option} {text!r} is not a positive number, alone or with one of {known}")
    return value


def numbers(option: str, text: str | None) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise BankwiseError(f"{option} {text!r} is not numbers with commas between them, such as 0.25,0.5,1") from None


def input_shape(text: str) -> tuple[int, int, int]:
    """CHANNELSxHEIGHTxWIDTH, such as 3x224x224."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text.strip())
    if match is None:
        raise BankwiseError(f"--input {text!r} is not CHANNELSxHEIGHTxWIDTH, such as 3x224x224")
    return int(match[1]), int(match[2]), int(match[3])


def read_mapping(what: str, path: Path, keys: Sequence[str]) -> dict:
    """A YAML (or JSON) file that maps some of `keys`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BankwiseError(f"cannot read the {what} file {str(path)!r}: {reason}") from None
    except yaml.YAMLError as error:
        raise BankwiseError(f"{what} file {str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BankwiseError(f"{what} file {str(path)!r} is not a mapping with any of the keys {', '.join(keys)}")
    for key in values:
        if key not in keys:
            raise BankwiseError(f"{what} file {str(path)!r}: {unknown('key', key, keys)}")
    return values


def make_recipe(path: Path | None, base: Recipe, options: Mapping[str, object]) -> Recipe:
    """`base`, overridden by the file and then by the options that are not None."""
    values = {} if path is None else read_mapping("recipe", path, list(base.to_dict()))
    return Recipe.from_dict(
        base.to_dict() | values | {key: value for key, value in options.items() if value is not None}
    )


def make_space(path: Path | None, options: Mapping[str, object]) -> SpaceSettings:
    """The space of the file, overridden by the options that are not None: first, hidden, last, keep, vector_bits."""
    names = [field.name for field in dataclasses.fields(SpaceSettings)]
    values = {} if path is None else read_mapping("space", path, names)
    values |= {key: value for key, value in options.items() if value is not None}
    return SpaceSettings(**{key: _READERS[key](key, value) for key, value in values.items()})


def _words(key: str, value: object) -> tuple[str, ...]:
    """A list of words, or one text with commas."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise BankwiseError(f"{key}: {value!r} is not a list of names")
    return tuple(word.strip() for word in words)


def _layers(key: str, value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise BankwiseError(f"{key}: {value!r} is not a mapping from layer patterns to kinds")
    return {str(pattern): _words(f"{key}: {pattern}", kinds) for pattern, kinds in value.items()}


def _tiles(key: str, value: object) -> tuple[tuple[int, int], ...]:
    tiles = []
    for word in _words(key, value):
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word)
        if match is None:
            raise BankwiseError(f"{key}: {word!r} is not HEIGHTxWIDTH, such as 3x3 or 1x3")
        tiles.append((int(match[1]), int(match[2])))
    return tuple(tiles)


def _bank(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BankwiseError(f"{key}: {value!r} is not a whole number")
    return value


def _bits(key: str, value: object) -> int:
    if value not in VECTOR_BITS or isinstance(value, bool):
        raise BankwiseError(f"{key}: {value!r} is not one of {', '.join(map(str, VECTOR_BITS))}")
    return value


_READERS = {
    "hidden": _words,
    "first": _words,
    "last": _words,
    "layers": _layers,
    "max_k": _bank,
    "tiles": _tiles,
    "keep": _words,
    "vector_bits": _bits,
}
