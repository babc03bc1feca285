"""One strict reader: frozen dataclasses from the plain values of a JSON or YAML file, and back.

`read` checks every key and every type and converts nothing but lists to tuples and whole numbers to floats. What is
wrong is one line: the path of the key, its value, and what would be right.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import numbers
import types
import typing
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bankwise.search_space.errors import MOST_INTEGER_BITS, BankwiseError, short, unknown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Place = tuple["str | int", ...]  # of a value: keys of mappings and indices of lists

_MOST_VALUES = 10**6  # in one file; aliases of YAML can stand for many more than were written
_MOST_DEPTH = 64

_RIGHT = {  # pydantic's type of an error: what would be right
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "finite_number": "a finite number", "bool_type": "true or false",
    "string_type": "text", "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping",
    "mapping_type": "a mapping", "dataclass_type": "a mapping", "none_required": "null",
    "callable_type": "a function",
}  # fmt: skip


def read(cls: type[T], values: object, what: str) -> T:
    """The dataclass `cls` (its fields may be dataclasses too) from plain values; fields left out take their defaults.

    `what` names the values in errors, such as "recipe". Raises BankwiseError for an unknown, missing or ill-typed key.
    """
    from pydantic import ValidationError

    values = plain(values, what)
    if not isinstance(values, Mapping):
        raise BankwiseError(f"{what}: {short(values)} is not a mapping with the keys {', '.join(_keys(cls))}")
    try:
        made: T = _adapter(cast(Hashable, cls)).validate_json(json.dumps([values]), strict=True)[0]
        return made
    except ValidationError as error:
        raise _one_line(error, cls, values, what) from None


def read_known(cls: type[T], values: object, what: str) -> T:
    """The same of those keys that `cls` has: the values may have others, which are left alone."""
    if isinstance(values, Mapping):
        values = {key: values[key] for key in _keys(cls) if key in values}
    return read(cls, values, what)


def typed(hint: Any, value: object, what: str) -> Any:
    """`value`, given in Python, if it is of the type `hint`; a list becomes a tuple and a whole number a float where
    that is wanted, NumPy's whole numbers become Python's.

    `what` names it in errors. Raises BankwiseError for a value of another type.

    >>> typed(tuple[float, ...], [1, 0.5], "widths")
    (1.0, 0.5)
    """
    from pydantic import ValidationError

    if isinstance(value, list) and typing.get_origin(hint) is tuple:
        value = tuple(value)
    if isinstance(value, numbers.Integral) and not isinstance(value, int):
        value = int(value)
    try:
        return _adapter(hint, in_python=True).validate_python([value], strict=True)[0]
    except ValidationError as error:
        raise _one_line(error, hint, value, what) from None


def typed_fields(cls: type, values: Mapping[str, object], what: str) -> dict[str, Any]:
    """The same for values of fields of the dataclass `cls`."""
    hints = _hints(cls)
    return {name: typed(hints[name], value, f"{what} {name}") for name, value in values.items()}


def check_types(made: Any, what: str) -> None:
    """The same for all fields of a frozen dataclass that is being made, from its `__post_init__`."""
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    for name, value in typed_fields(type(made), values, what).items():
        object.__setattr__(made, name, value)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def read_file(path: str | Path, what: str) -> Any:
    """The plain values in a YAML file, or a JSON file where the name ends so; None from an empty YAML file.

    Raises BankwiseError, in one line, where the file cannot be read or holds anything else.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError for a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise BankwiseError(f"cannot read the {what} {str(path)!r}: {reason}") from None
    return _parsed(text, f"{what} {str(path)!r}", "JSON" if path.suffix == ".json" else "YAML")


def parse_json(text: bytes, what: str) -> Any:
    """The plain values in a JSON text, which errors call `what`. Raises BankwiseError, in one line, for other texts."""
    return _parsed(text, what, "JSON")


def _parsed(text: bytes, what: str, form: str) -> Any:
    load = _load_json if form == "JSON" else _load_yaml
    try:
        values = load(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise BankwiseError(f"{what} is not text") from None
    except _Refused as error:
        raise BankwiseError(f"{what}: {error}") from None
    except RecursionError:
        raise BankwiseError(f"{what} is not {form}: it is nested too deep") from None
    except Exception as error:  # PyYAML raises many kinds for damaged text
        raise BankwiseError(f"{what} is not {form}: {' '.join(str(error).split())[:300]}") from None
    return plain(values, what)


class _Refused(Exception):
    """The text is YAML or JSON, and yet does not say one thing of a bearable size."""


def _given_twice(key: str, line: int | None = None) -> _Refused:
    """Which of the values is meant is not known."""
    return _Refused(f"the key {short(key)} is given twice{'' if line is None else f' in line {line}'}")


def _not_a_number(text: str) -> float:
    raise _Refused(f"{text} is not a finite number")


def _load_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_pairs, parse_constant=_not_a_number)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _given_twice(key)
        values[key] = value
    return values


def _load_yaml(text: str) -> Any:
    """What `yaml.safe_load` gives, which takes the last of two values of a key."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_size(root)
        _check_keys(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_size(root: Any) -> None:
    """Raises _Refused where the YAML node `root`, with every alias written out, has too many values or holds itself."""
    sizes: dict[int, int] = {}
    waiting = [(root, False)]
    while waiting:  # children first
        node, done = waiting.pop()
        if node.id == "scalar" or (id(node) in sizes and not done):
            if sizes.get(id(node)) == 0:
                raise _Refused("it is nested too deep: an alias stands within what it names")
            continue
        inner = node.value if node.id == "sequence" else [part for pair in node.value for part in pair]
        if not done:
            sizes[id(node)] = 0
            waiting += [(node, True), *((part, False) for part in inner)]
            continue
        sizes[id(node)] = 1 + sum(sizes.get(id(part), 1) for part in inner)
        if sizes[id(node)] > _MOST_VALUES:
            raise _Refused(f"it has too many values: more than {_MOST_VALUES:,} with its aliases written out")


def _check_keys(root: Any) -> None:
    """Raises _Refused where a mapping below the YAML node `root` has a key twice. Merged ones may be overridden."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or node.id == "scalar":
            continue
        seen.add(id(node))
        if node.id == "sequence":
            waiting += node.value
            continue
        keys = set()
        for key, value in node.value:
            waiting += [key, value]
            if key.id != "scalar" or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in keys:
                raise _given_twice(key.value, key.start_mark.line + 1)
            keys.add((key.tag, key.value))


def to_dict(value: object) -> Any:
    """The fields of a dataclass as JSON-ready values: mappings, lists, text and numbers. `read` gives it back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_dict(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def plain(values: object, what: str) -> Any:
    """A copy of `values` with text as keys, of mappings, lists, text, numbers, true, false and null alone.

    Raises BankwiseError for anything else (a date, a list that holds itself), and for more than a file can mean.
    """
    count = 0

    def copy(value: object, path: Place) -> Any:
        nonlocal count
        count += 1
        if count > _MOST_VALUES or len(path) > _MOST_DEPTH:
            raise BankwiseError(f"{what}: {short(values)} is nested too deep or has too many values")
        if isinstance(value, Mapping):
            return mapping(value, path)
        if isinstance(value, (list, tuple)):
            return [copy(item, (*path, index)) for index, item in enumerate(value)]
        if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, int) and value.bit_length() <= MOST_INTEGER_BITS:
            return value
        if isinstance(value, str) and _encodable(value):
            return value
        if isinstance(value, float):
            raise BankwiseError(f"{_named(what, path)}: {value} is not a finite number")
        hint = "a number of at most 150 digits" if isinstance(value, int) else "text (write it in quotes) or a number"
        raise BankwiseError(f"{_named(what, path)}: {short(value)} is not {hint}")

    def mapping(value: Mapping[str, Any], path: Place) -> dict[str, Any]:
        made = {}
        for key, item in value.items():
            number = isinstance(key, (int, float)) and not isinstance(key, bool)
            if not number and not (isinstance(key, str) and _encodable(key)):
                raise BankwiseError(f"{_named(what, path)}: the key {short(key)} is not text; write it in quotes")
            text = short(key) if number else key
            if text in made:
                raise BankwiseError(f"{_named(what, path)}: the key {short(text)} is there twice")
            made[text] = copy(item, (*path, text))
        return made

    return copy(values, ())


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _adapter(cls: Hashable, in_python: bool = False) -> TypeAdapter[Any]:
    """Within a list, since pydantic takes no configuration for a plain dataclass itself. Values in Python may be of any
    class, and their infinities are left to whoever looks at their range."""
    from pydantic import ConfigDict, TypeAdapter

    listed: Any = list.__class_getitem__(cls)
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=in_python, arbitrary_types_allowed=in_python)
    return TypeAdapter(listed, config=config)


def _one_line(error: Any, cls: type, values: object, what: str) -> BankwiseError:
    """The first of pydantic's errors; where a value may be of several types, what each of them wants."""
    errors = [(_inside(values, one["loc"][1:]), one) for one in error.errors(include_url=False)]
    path, first = errors[0]
    kind, named = first["type"], _named(what, path)
    if kind == "value_error":
        cause = first["ctx"]["error"]
        if not path and isinstance(cause, BankwiseError):
            return cause
        return BankwiseError(f"{named}: {cause}")
    if kind == "unexpected_keyword_argument":
        return unknown(f"{_named(what, path[:-1])} key", path[-1], _keys(_hint_at(cls, path[:-1])))
    if kind == "missing" and isinstance(first["loc"][-1], str):
        return BankwiseError(f"{named} lacks the key {first['loc'][-1]!r}")
    return BankwiseError(f"{named}: {short(_value_at(values, path))} is not {_right(errors, path, cls)}")


def _right(errors: list[tuple[Place, Any]], path: Place, cls: type) -> str:
    wanted = []
    for other, one in errors:
        if other != path:
            continue
        if one["type"] in ("missing", "too_long"):
            wanted.append(f"a list of {len(typing.get_args(_hint_at(cls, path)))} values")
        elif one["type"] == "literal_error":
            wanted.append(f"one of {one['ctx']['expected']}")
        elif one["type"] == "dataclass_exact_type":
            wanted.append(f"a {one['ctx']['class_name']}")
        elif one["type"] == "is_instance_of":
            wanted.append(f"a {one['ctx']['class']}")
        elif one["type"] == "dataclass_type":
            wanted.append(f"a mapping with the keys {', '.join(_keys(_hint_at(cls, path)))}")
        else:
            wanted.append(_RIGHT.get(one["type"], f"right ({one['msg']})"))
    return " or ".join(dict.fromkeys(wanted))


def _inside(values: Any, location: Place) -> Place:
    """The part of pydantic's location that leads into the values: not the type that was tried, nor what is missing."""
    path: list[str | int] = []
    for step in location:
        listed = isinstance(values, (list, tuple))
        known = values if isinstance(values, dict) else dict(enumerate(values if listed else ()))
        if step in known:
            values = known[step]
            path.append(step)
    return tuple(path)


def _value_at(values: Any, path: Place) -> Any:
    return functools.reduce(lambda value, step: value[step], path, values)


def _named(what: str, path: Place) -> str:
    """The value's name, such as `experiment space.layers['4.*'][0]`."""
    text = "".join(f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{short(step)}]" for step in path)
    return f"{what} {text[1:]}" if text.startswith(".") else f"{what}{text}"


def _keys(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init] if dataclasses.is_dataclass(cls) else []


def _hint_at(hint: Any, path: Place) -> Any:
    """The type of the value at `path` of a value of type `hint`: of a union the dataclass or container in it."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        hint = next(
            (one for one in typing.get_args(hint) if dataclasses.is_dataclass(one) or typing.get_args(one)), Any
        )
        origin = typing.get_origin(hint)
    if not path:
        return hint
    step, arguments = path[0], typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        inner = typing.get_type_hints(hint).get(str(step), Any)
    elif origin is tuple and Ellipsis not in arguments and isinstance(step, int):
        inner = arguments[step] if step < len(arguments) else Any
    else:
        inner = arguments[isinstance(step, str)] if len(arguments) > isinstance(step, str) else Any
    return _hint_at(inner, path[1:])
