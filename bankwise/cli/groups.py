"""Groups of options: a command takes a dataclass of them as one parameter, and the command line sees each field."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every parameter that is a dataclass replaced by the fields of that dataclass, its options.

    The fields are `Annotated[type, typer.Option(...)]` with defaults.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    parameters: dict[str, inspect.Parameter] = {}

    def add(name: str, annotation: object, default: object) -> None:
        if name in parameters:
            raise TypeError(f"{command.__name__}: option {name} is there twice")
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters[name] = inspect.Parameter(name, kind, default=default, annotation=annotation)

    for name, parameter in inspect.signature(command).parameters.items():
        if not is_dataclass(hints[name]):
            add(name, hints[name], parameter.default)
            continue
        groups[name] = hints[name]
        inner = typing.get_type_hints(hints[name], include_extras=True)
        for item in fields(hints[name]):
            add(item.name, inner[item.name], inspect.Parameter.empty if item.default is MISSING else item.default)

    @functools.wraps(command)
    def run(**values: object) -> None:
        made = {name: cls(**{item.name: values.pop(item.name) for item in fields(cls)}) for name, cls in groups.items()}
        command(**made, **values)

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    del run.__wrapped__  # type: ignore[attr-defined] - else its own signature would be read
    return run


def given(group: object, *but: str) -> dict[str, object]:
    """The group's options by name, without `but`."""
    return {item.name: getattr(group, item.name) for item in fields(group) if item.name not in but}
