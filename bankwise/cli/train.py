"""`bankwise train`: train one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import options
from bankwise.cli.groups import grouped


@grouped
def train(
    *,
    plan: Annotated[Path, Option(help="Plan to train, YAML or JSON; it names the network.")],
    out: options.Out,
    data: options.DataOptions,
    teacher: Annotated[
        bool,
        Option("--teacher/--no-teacher", help="First train an uncompressed network a seed, to start and learn from."),
    ] = True,
    seeds: options.Seeds = 1,
    seed: options.Seed = None,
    side_by_side: options.SideBySide = None,
    recipe: options.RecipeOptions,
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """Train one plan, pack it and measure the file."""
    import dataclasses

    from bankwise.cli.output import console, print_json, results_table, say
    from bankwise.cli.progress import Display
    from bankwise.search_settings import SearchSettings
    from bankwise.search_space.plan import Plan
    from bankwise.side_by_side import usual
    from bankwise.training import train_plan

    base = SearchSettings().recipe
    chosen = recipe.made(base if teacher else dataclasses.replace(base, distill=0.0), seed)
    given = Plan.read(plan, allow_code)
    with Display() as display:
        result = train_plan(
            given, data.source(given.network, given.keep), out, chosen,
            seeds=seeds, seed=chosen.seed, teacher=teacher, on_progress=display,
            side_by_side=usual(chosen) if side_by_side is None else side_by_side,
        )  # fmt: skip
    summary = result.to_dict()
    if as_json:
        print_json(summary)
        return
    screen = console()
    screen.print(results_table(summary))
    say(screen, f"model {summary['model']}")
