"""`bankwise nni`: an experiment for `nnictl`, and its best plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bankwise.cli import options

app = typer.Typer(help="Search as an NNI experiment: a folder for `nnictl create`, and the best plan of one.")
_NNI = "NNI"


@app.callback(invoke_without_command=True)
def nni_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _launch(help: str, **names):
    return Option(help=help, rich_help_panel=_NNI, **names)


@app.command()
def init(
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder of the experiment; it is made.")],
    budget: options.Budget,
    network: options.Network = "tiny",
    data: options.Data = "digits",
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    validation: options.Validation = None,
    accounting: options.Accounting = "file",
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    tuner: Annotated[
        str, _launch("BudgetTuner (any strategy of bankwise), or a tuner of NNI: TPE, Random, Evolution, GP, ...")
    ] = "BudgetTuner",
    strategy: Annotated[
        str | None,
        _launch(
            "BudgetTuner's: evolution (default), tpe, random, gradient, sensitivity, rate or uniform.",
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
    seed: options.Seed = 0,
    teacher: Annotated[
        bool,
        Option("--teacher/--no-teacher", help="Train the uncompressed network once, to start and to learn from."),
    ] = True,
    space: options.Space = None,
    first: options.First = None,
    hidden: options.Hidden = None,
    last: options.Last = None,
    keep: options.Keep = None,
    vector_bits: options.VectorBits = None,
    recipe: options.Recipe = None,
    epochs: options.Epochs = None,
    batch: options.Batch = None,
    lr: options.LearningRate = None,
    optimizer: options.Optimizer = None,
    schedule: options.Schedule = None,
    weight_decay: options.WeightDecay = None,
    label_smoothing: options.LabelSmoothing = None,
    distill: options.Distill = None,
    temperature: options.Temperature = None,
    augment: options.Augment = None,
    amp: options.Amp = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Write the folder of an NNI experiment, for `nnictl create --config DIR/config.yml`."""
    import shlex

    from bankwise import nni_folder
    from bankwise.cli import settings
    from bankwise.cli.output import print_json
    from bankwise.searching import SearchSettings
    from search_space.errors import BankwiseError
    from strategies.job import EngineOptions
    from strategies.nni.config import BUDGET_TUNER, Launch

    EngineOptions(port=port)  # an error unless it is a port
    if strategy is not None and tuner != BUDGET_TUNER:
        raise BankwiseError(
            f"--strategy {strategy} is for BudgetTuner; --tuner {tuner} is NNI's and searches by itself"
        )
    experiment = nni_folder.init(
        folder, network, data, budget,
        Launch(tuner, strategy or "evolution", trials, concurrency, assessor),
        settings.make_recipe(
            recipe,
            SearchSettings().recipe,
            dict(
                epochs=epochs, batch=batch, lr=lr, optimizer=optimizer, schedule=schedule, weight_decay=weight_decay,
                label_smoothing=label_smoothing, distill=distill, temperature=temperature, augment=augment, amp=amp,
                threads=threads, seed=seed,
            ),
        ),
        settings.make_space(space, dict(first=first, hidden=hidden, last=last, keep=keep, vector_bits=vector_bits)),
        accounting=accounting,
        max_ram=settings.whole("--max-ram", max_ram, settings.SIZES),
        max_ops=settings.whole("--max-ops", max_ops, settings.COUNTS),
        data_root=data_root, limit=limit, validation=validation,
        trial_epochs=trial_epochs, seed=seed, teacher=teacher, encoding=encoding,
    )  # fmt: skip
    limit_of = experiment.budgeted.budget
    command = f"nnictl create --config {shlex.quote(str(folder / 'config.yml'))} --port {port}"
    if as_json:
        print_json(
            {"folder": str(folder), "budget": budget, "budget_bytes": limit_of.bytes, "accounting": limit_of.accounting}
            | {"encoding": experiment.encoding, "start": command, "page": f"http://localhost:{port}"}
        )
        return
    typer.echo(
        f"{folder}: {trials} trials of {trial_epochs} epochs by {tuner} within {limit_of}\n"
        f"start     {command}\n"
        f"watch     http://localhost:{port}\n"
        f"register  nnictl algo register --meta {shlex.quote(str(folder / 'register.yml'))}   (once, optional)\n"
        f"best plan bankwise nni export {shlex.quote(str(folder))}"
    )


@app.command()
def export(
    experiment: Annotated[str, Argument(metavar="ID|DIR", help="NNI's id of the experiment, or its folder.")],
    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Plan to write, YAML or JSON. Default: DIR/plan.yaml.", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write the best plan of an NNI experiment, running or ended; no NNI process is needed."""
    from bankwise import nni_folder
    from bankwise.cli.output import percent, print_json
    from strategies.nni.results import best

    found = best(experiment)
    path = output or found.folder / "plan.yaml"
    found.plan.save(path)
    told = nni_folder.told(found, path)
    if as_json:
        print_json(told)
        return
    typer.echo(
        f"{path}: accuracy {percent(told['accuracy'])} by a short trial, {told['file_bytes']:,} file bytes, "
        f"{told['paper_bits']:,} paper bits; budget {found.experiment.budgeted.budget}\n"
        f"trials: {told['finished']} finished, {told['failed']} failed, {told['cancelled']} cancelled, "
        f"{told['running']} running\n"
        f"train it in full and export it: {told['train']}"
    )
