"""`bankwise search`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from bankwise.cli import options
from bankwise.cli.engines import engine_options
from bankwise.cli.groups import grouped
from bankwise.strategies import DEFAULT


@grouped
def search(
    *,
    context: typer.Context,
    budget: options.Budgets,
    out: options.Out,
    network: options.Network = "tiny",
    data: options.DataOptions,
    accounting: options.Accounting = "file",
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    strategy: Annotated[str, Option(help="What proposes plans: [strategies].")] = DEFAULT,
    engine: Annotated[str, Option(help="Where trials run: [engines].", rich_help_panel="Engine")] = "local",
    trials: Annotated[int, Option(help="Plans to try by short trainings.")] = 16,
    uniform_trials: Annotated[int, Option(help="Uniform plans to try alike, as the baseline.")] = 4,
    finalists: Annotated[int, Option(help="Plans of each that are trained in full; the best of all is exported.")] = 2,
    finalist_seeds: Annotated[int, Option(help="Full trainings of each finalist; their mean chooses.")] = 2,
    seeds: options.Seeds = 3,
    seed: options.Seed = None,
    trial_epochs: Annotated[int, Option(help="Epochs of a trial.")] = 8,
    time: Annotated[
        str | None,
        Option(
            metavar="TIME",
            help="When all is to be done, such as 2h or 90m from the first start: no trial is begun that would leave "
            "too little for the full trainings. Of several budgets each has it.",
            show_default=False,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        Option(
            metavar="N",
            help="Begin no trial after N in a row that were no better than the best before them. Default: make all.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        Option(
            metavar="LOG",
            help="Log to tensorboard, wandb or mlflow, or keep an optuna study for its dashboard (may be repeated).",
            show_default=False,
        ),
    ] = None,
    widths: Annotated[
        str | None,
        Option(
            metavar="W[,W]",
            help="Multipliers of channels, such as 0.25,0.5,1: search the width of every stage before the plan.",
            show_default=False,
        ),
    ] = None,
    depths: Annotated[
        str | None,
        Option(
            metavar="D[,D]",
            help="Numbers of blocks, such as 1,2,3: search the depth of every stage before the plan.",
            show_default=False,
        ),
    ] = None,
    architecture_epochs: Annotated[
        int | None,
        Option(
            help="Epochs of each of the two trainings by which a width or a depth is tried. Default: those of a trial.",
            show_default=False,
        ),
    ] = None,
    side_by_side: options.SideBySide = None,
    space: options.SpaceOptions,
    recipe: options.RecipeOptions,
    as_json: options.Json = False,
) -> None:
    """Find the best plan within a hard byte budget, train it and export it."""
    from bankwise import searching
    from bankwise.budgets import front, parted, search_budgets
    from bankwise.cli import settings
    from bankwise.cli.output import as_planned, budgets_table, console, print_json, results_table, say
    from bankwise.cli.progress import Display
    from bankwise.report import write_report
    from bankwise.search_space.imports import code_in_files
    from bankwise.side_by_side import usual

    layers, training = space.settings(), recipe.made(searching.SearchSettings().recipe, seed)
    chosen = searching.SearchSettings(
        strategy=strategy,
        engine=engine,
        trials=trials,
        uniform_trials=uniform_trials,
        finalists=finalists,
        finalist_seeds=finalist_seeds,
        seeds=seeds,
        seed=training.seed,
        trial_epochs=trial_epochs,
        recipe=training,
        space=layers,
        max_ram=settings.size("--max-ram", max_ram),
        max_ops=settings.count("--max-ops", max_ops),
        widths=settings.numbers("--widths", widths),
        depths=settings.counts("--depths", depths),
        architecture_epochs=architecture_epochs,
        time=settings.seconds("--time", time),
        patience=patience,
    )
    budgets = parted(budget)
    source = data.source(network, layers.keep)
    further = {
        "accounting": accounting,
        "options": engine_options(context),
        "log": tuple(log or ()),
        "side_by_side": usual(chosen.recipe) if side_by_side is None else side_by_side,
    }
    if len(budgets) > 1:
        with Display() as display:
            results = search_budgets(network, source, budgets, out, chosen, on_progress=display, **further)
        with code_in_files(False, chosen.named_code(source)):
            page = write_report([result.folder for result in results], out / "report.html", allow_code=True)
        if as_json:
            print_json({"runs": [result.to_dict() for result in results], "front": front(results), "report": str(page)})
            return
        screen = console()
        screen.print(budgets_table([result.to_dict() for result in results], front(results)))
        say(screen, f"report {page}")
        return
    with Display() as display:
        result = searching.search(network, source, budget, out, chosen, on_progress=display, **further)
    summary = result.to_dict()
    with code_in_files(False, chosen.named_code(source)):
        page = write_report([out], allow_code=True)
    if as_json:
        print_json(summary | {"report": str(page)})
        return
    screen = console()
    screen.print(results_table(summary))
    say(
        screen,
        f"budget {summary['budget']} = {summary['budget_bytes']:,} bytes ({summary['accounting']} accounting); "
        f"file {summary['file_bytes']:,} bytes, {as_planned(summary)}",
        *([f"search: {summary['ended']}"] if result.ended_early else []),
        *([summary["unspent"]] if summary["unspent"] else []),
        f"model {summary['model']}",
        f"plan {summary['plan']}",
        f"report {page}",
    )
