"""Help texts that list what there is: filled in when help is shown, so that no command line loads all of it."""

from __future__ import annotations

import typer
from typer.core import TyperCommand


def _filled(text: str) -> str:
    if "[strategies]" in text:
        from bankwise.strategies import USERS, strategy_names

        text = text.replace("[strategies]", f"{', '.join(strategy_names())}, or your own {USERS}")
    if "[kinds" in text:
        from bankwise.search_space.families import FAMILIES, kinds_of

        own = ", or a family of your own as package.module:Name"
        converted = [family for family in FAMILIES if family.conversion != "never"]
        text = text.replace("[kinds]", kinds_of(FAMILIES) + own).replace("[kinds converted]", kinds_of(converted) + own)
    if "[data sets]" in text:
        from bankwise.trainers.data_sets import data_set_help

        text = text.replace("[data sets]", data_set_help())
    if "[engines]" in text:
        from bankwise.strategies.engines import ENGINES

        text = text.replace(
            "[engines]", ", ".join(f"{engine.name} ({engine.help})" for engine in ENGINES) + ", or your own module:Name"
        )
    if "[networks]" in text:
        from bankwise.search_space.networks import network_names

        text = text.replace("[networks]", ", ".join(network_names()))
    if "[targets]" in text:
        from bankwise.search_space.targets import TARGETS

        known = [f"{target.name} ({target.help})" for target in TARGETS]
        text = text.replace("[targets]", f"{', '.join(known)}, or your own package.module:Class")
    if "[chips]" in text:
        from bankwise.search_space.targets.c.chips import CHIPS

        text = text.replace("[chips]", ", ".join(chip.name for chip in CHIPS))
    return text


class Filled(TyperCommand):
    """A command whose help texts may name [strategies], [kinds], [kinds converted], [data sets], [engines],
    [networks], [targets] and [chips]."""

    def format_help(self, ctx: typer.Context, formatter) -> None:
        for parameter in self.params:
            if getattr(parameter, "help", None):
                parameter.help = _filled(parameter.help)
        super().format_help(ctx, formatter)
