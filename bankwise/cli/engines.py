"""The options of the engines: a field of an engine's options class is an option of `bankwise search`."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from bankwise.cli.help import Filled

if TYPE_CHECKING:
    from bankwise.strategies.engines import Engine

_KEY = "engine options"


class WithEngineOptions(Filled):
    """A command that takes the options of every engine too; of a user's own, where --engine names it.

    They are made when the command is used: no other command line loads the engines.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        ctx.meta[_KEY] = _parameters(_engines(args))
        return super().parse_args(ctx, args)

    def get_params(self, ctx: typer.Context) -> list:
        return [*super().get_params(ctx), *ctx.meta.get(_KEY, ())]

    def invoke(self, ctx: typer.Context) -> object:
        ctx.meta[_KEY] = {parameter.name: ctx.params.pop(parameter.name) for parameter in ctx.meta[_KEY]}
        return super().invoke(ctx)


def engine_options(context: typer.Context) -> dict[str, object]:
    """The options that were given, for `bankwise.strategies.engines.make_engine`."""
    return {name: value for name, value in context.meta[_KEY].items() if value not in (None, "none")}


def _engines(arguments: Sequence[str]) -> list[type[Engine]]:
    """Those of the project, and the user's own one that the arguments name."""
    from bankwise.strategies.engines import ENGINES, engine_class

    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--engine=") else [word])]
    named = [name for before, name in zip(words, words[1:], strict=False) if before == "--engine" and ":" in name]
    return [*ENGINES, *(engine_class(name) for name in named[-1:])]


def _parameters(engines: Sequence[type[Engine]]) -> list:
    """The options of the command line for all fields of the engines' options; none has a default there."""
    helps: dict[str, dict[str, list[str]]] = {}  # of every field: its help texts, and the engines that have it so
    hints: dict[str, object] = {}
    for engine in engines:
        kinds = typing.get_type_hints(engine.Options)
        for item in dataclasses.fields(engine.Options):
            usual = "" if item.default in (None, dataclasses.MISSING) else f" Default: {item.default}."
            text = str(item.metadata.get("help", "")) + usual
            helps.setdefault(item.name, {}).setdefault(text, []).append(engine.name)
            hints[item.name] = _kind(kinds[item.name])
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                hints[name] | None, Option(help=_help(texts), rich_help_panel="Engine", show_default=False)
            ],
        )
        for name, texts in helps.items()
    ]

    def options(**values: object) -> None:
        """Never called: typer makes the options of its signature."""

    options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(options)
    return list(typer.main.get_command(app).params)


def _kind(hint: object) -> object:
    """The type of a field that may be None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(one for one in typing.get_args(hint) if one is not type(None))
    return hint


def _help(texts: dict[str, list[str]]) -> str:
    return " ".join(f"({', '.join(engines)}) {text}" for text, engines in texts.items())
