"""From options and YAML files to the settings of a search: strict, with errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bankwise.search_space import strict
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.ranges import in_range
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.sizes import parse_bytes, parse_count
from bankwise.trainers.presets import PRESETS
from bankwise.trainers.recipe import Recipe


def size(option: str, text: str | None) -> int | None:
    """Bytes with a unit, such as 64KiB; None where the option is not given."""
    return None if text is None else parse_bytes(text, option)


def count(option: str, text: str | None) -> int | None:
    """A count with a unit, such as 5M; None where the option is not given."""
    return None if text is None else parse_count(text, option)


def seconds(option: str, text: str | None) -> float | None:
    """Seconds of a time such as 90s, 30m, 2h or 1h30m; None where the option is not given."""
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d{1,6}(?:\.\d+)?)h)?(?:(\d{1,8}(?:\.\d+)?)m)?(?:(\d{1,9}(?:\.\d+)?)s)?", text.strip())
    found = (
        sum(float(part or 0) * size for part, size in zip(parts.groups(), (3600, 60, 1), strict=True)) if parts else 0
    )
    if not found:
        raise BankwiseError(f"{option} {text!r} is not a time such as 90s, 30m, 2h or 1h30m")
    return found


def numbers(option: str, text: str | None) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise BankwiseError(f"{option} {text!r} is not numbers with commas between them, such as 0.25,0.5,1") from None


def counts(option: str, text: str | None) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    parts = [] if text is None else text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() and len(part) < 9 for part in parts):
        raise BankwiseError(f"{option} {text!r} is not whole numbers with commas between them, such as 1,2,3")
    return tuple(map(int, parts))


def input_shape(text: str) -> tuple[int, int, int]:
    """CHANNELSxHEIGHTxWIDTH, such as 3x224x224."""
    match = re.fullmatch(r"([1-9][0-9]{0,18})x([1-9][0-9]{0,18})x([1-9][0-9]{0,18})", text.strip())
    if match is None:
        raise BankwiseError(f"--input {text!r} is not CHANNELSxHEIGHTxWIDTH, such as 3x224x224")
    sizes = tuple(map(int, match.groups()))
    in_range(1, **dict(zip(("channels", "height", "width"), sizes, strict=True)))
    return sizes


def make_recipe(recipe: str | Path | None, base: Recipe, options: Mapping[str, object]) -> Recipe:
    """`base`, overridden by the preset (`trainers.presets`) or the file, and then by the options that are not None."""
    return Recipe.from_dict(base.to_dict() | _recipe_keys(recipe) | _given(options))


def _recipe_keys(recipe: str | Path | None) -> dict[str, object]:
    """Those of the preset of that name, else of the file."""
    if recipe is None:
        return {}
    if str(recipe) in PRESETS:
        return dict(PRESETS[str(recipe)])
    if isinstance(recipe, str) and not Path(recipe).exists() and re.fullmatch(r"[\w-]+", recipe):
        raise unknown("recipe", recipe, [*PRESETS, "a YAML file"])
    return _read_keys("recipe", Path(recipe), Recipe.from_dict)


def make_space(path: Path | None, options: Mapping[str, object], allow_code: bool = False) -> SpaceSettings:
    """The space of the file, overridden by the options that are not None: first, hidden, last, keep, vector_bits,
    vectors. Families of the user's own that the file names are imported with `allow_code` alone."""
    with code_in_files(allow_code):
        values = {} if path is None else _read_keys("space", path, SpaceSettings.from_dict)
    return SpaceSettings.from_dict(values | _given(options))


def _read_keys(what: str, path: Path, read: Callable[[object], object]) -> dict[str, object]:
    """The keys of a YAML (or JSON) file, which `read` takes; none of an empty one."""
    values = strict.read_file(path, f"{what} file")
    try:
        read({} if values is None else values)
    except BankwiseError as error:
        raise BankwiseError(f"{what} file {str(path)!r}: {error}") from None
    return dict(values or {})


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}
