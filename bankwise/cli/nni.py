"""`bankwise nni`: an experiment for `nnictl`, and its best plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bankwise.cli import options
from bankwise.cli.groups import grouped
from bankwise.cli.help import Filled
from bankwise.strategies import DEFAULT

app = typer.Typer(help="Search as an NNI experiment: a folder for `nnictl create`, and the best plan of one.")
_NNI = "NNI"


@app.callback(invoke_without_command=True)
def nni_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _launch(help: str, **names):
    return Option(help=help, rich_help_panel=_NNI, **names)


@app.command(cls=Filled)
@grouped
def init(
    *,
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder of the experiment; it is made.")],
    budget: options.Budget,
    network: options.Network = "tiny",
    data: options.DataOptions,
    accounting: options.Accounting = "file",
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    tuner: Annotated[
        str, _launch("BudgetTuner (any strategy of bankwise), or a tuner of NNI: TPE, Random, Evolution, GP, ...")
    ] = "BudgetTuner",
    strategy: Annotated[
        str | None,
        _launch(
            f"BudgetTuner's: [strategies]. Default: {DEFAULT}.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        _launch("What a tuner of NNI searches: importance (default) or choice.", show_default=False),
    ] = None,
    assessor: Annotated[str, _launch("Ends poor trials early: none, Medianstop or Curvefitting.")] = "none",
    trials: Annotated[int, _launch("Trials that NNI starts.")] = 20,
    concurrency: Annotated[int, _launch("Trials at a time.")] = 1,
    port: Annotated[int, _launch("Port of NNI's web page, for the command that is printed.")] = 8080,
    trial_epochs: Annotated[int, Option(help="Epochs of a trial.")] = 8,
    seed: options.Seed = None,
    teacher: Annotated[
        bool,
        Option("--teacher/--no-teacher", help="Train the uncompressed network once, to start and to learn from."),
    ] = True,
    space: options.SpaceOptions,
    recipe: options.RecipeOptions,
    as_json: options.Json = False,
) -> None:
    """Write the folder of an NNI experiment, for `nnictl create --config DIR/config.yml`."""
    import shlex

    from bankwise import nni_folder
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json, say, tell_images
    from bankwise.search_settings import SearchSettings
    from bankwise.search_space.errors import BankwiseError
    from bankwise.strategies.engines.nni.config import BUDGET_TUNER, Launch
    from bankwise.strategies.engines.on_nni import NniOptions

    NniOptions(port=port)  # an error unless it is a port
    if strategy is not None and tuner != BUDGET_TUNER:
        raise BankwiseError(
            f"--strategy {strategy} is for BudgetTuner; --tuner {tuner} is NNI's and searches by itself"
        )
    layers, chosen = space.settings(), recipe.made(SearchSettings().recipe, seed)
    experiment = nni_folder.init(
        folder,
        data.source(network, layers.keep),
        budget,
        Launch(tuner, strategy or DEFAULT, trials, concurrency, assessor),
        chosen,
        layers,
        accounting=accounting,
        max_ram=settings.size("--max-ram", max_ram),
        max_ops=settings.count("--max-ops", max_ops),
        trial_epochs=trial_epochs,
        seed=chosen.seed,
        teacher=teacher,
        encoding=encoding,
        tell=tell_images,
    )
    limit_of = experiment.budgeted.budget
    command = f"nnictl create --config {shlex.quote(str(folder / 'config.yml'))} --port {port}"
    if as_json:
        print_json(
            {"folder": str(folder), "budget": budget, "budget_bytes": limit_of.bytes, "accounting": limit_of.accounting}
            | {"encoding": experiment.encoding, "start": command, "page": f"http://localhost:{port}"}
        )
        return
    say(
        console(),
        f"{folder}: {trials} trials of {trial_epochs} epochs by {tuner}, budget {limit_of}",
        f"start     {command}",
        f"page      http://localhost:{port}",
        f"register  nnictl algo register --meta {shlex.quote(str(folder / 'register.yml'))}   (once, optional)",
        f"trials    bankwise nni show {shlex.quote(str(folder))}",
        f"best plan bankwise nni export {shlex.quote(str(folder))}",
    )


@app.command()
def show(
    experiment: Annotated[str, Argument(metavar="ID|DIR", help="NNI's id of the experiment, or its folder.")],
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """List the trials of an NNI experiment, running or ended, each with its own plan; no NNI process is needed."""
    from bankwise import nni_folder
    from bankwise.cli.output import console, print_json, table
    from bankwise.shown import metric_name, value_of
    from bankwise.strategies.engines.nni.results import metric, trials

    rows = nni_folder.trial_rows(trials(experiment, allow_code))
    if as_json:
        print_json({"trials": rows})
        return
    measured = metric(experiment, allow_code)
    made = table(
        "trials, the best first", "status:", metric_name(measured), "file bytes", "epochs", "choices or reason:"
    )
    for row in rows:
        size = "-" if row["file_bytes"] is None else f"{row['file_bytes']:,}"
        value = value_of(row["accuracy"], metric=measured)
        made.add_row(row["status"], value, size, str(row["epochs"]), row["reason"] or row["codes"])
    console().print(made)


@app.command()
def export(
    experiment: Annotated[str, Argument(metavar="ID|DIR", help="NNI's id of the experiment, or its folder.")],
    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Plan to write, YAML or JSON. Default: DIR/plan.yaml.", show_default=False),
    ] = None,
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """Write the best plan of an NNI experiment, running or ended; no NNI process is needed."""
    from bankwise import nni_folder
    from bankwise.cli.output import console, print_json, say
    from bankwise.shown import metric_name, value_of
    from bankwise.strategies.engines.nni.results import best

    found = best(experiment, allow_code)
    path = output or found.folder / "plan.yaml"
    nni_folder.best_plan(found).save(path)
    summary = nni_folder.summary(found, path)
    metric = summary["metric"]
    if as_json:
        print_json(summary)
        return
    say(
        console(),
        f"{path}: {metric_name(metric)} {value_of(summary['accuracy'], metric=metric)} by a short trial, "
        f"{summary['file_bytes']:,} file bytes, "
        f"{summary['paper_bits']:,} paper bits; budget {found.experiment.budgeted.budget}",
        f"trials: {summary['finished']} finished, {summary['failed']} failed, {summary['cancelled']} cancelled, "
        f"{summary['running']} running",
        f"train it in full and export it: {summary['train']}",
    )
