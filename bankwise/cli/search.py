"""`bankwise search`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import engines, options


def search(
    budget: options.Budget,
    out: options.Out,
    network: options.Network = "tiny",
    data: options.Data = "digits",
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    validation: options.Validation = None,
    accounting: options.Accounting = "file",
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    strategy: Annotated[
        str, Option(help="uniform, random, rate, sensitivity, gradient, evolution or tpe.")
    ] = "evolution",
    engine: Annotated[str, Option(help="Where trials run: local, nni or ray.", rich_help_panel="Engine")] = "local",
    workers: engines.Workers = 1,
    final_workers: engines.FinalWorkers = None,
    address: engines.Address = None,
    resources: engines.Resources = None,
    scheduler: engines.Scheduler = None,
    port: Annotated[int, Option(help="Of NNI's web page, while it runs.", rich_help_panel="Engine")] = 8080,
    trials: Annotated[int, Option(help="Plans to try by short trainings.")] = 16,
    uniform_trials: Annotated[int, Option(help="Uniform plans to try alike, as the baseline.")] = 4,
    finalists: Annotated[int, Option(help="Plans of each that are trained in full; the best of all is exported.")] = 2,
    finalist_seeds: Annotated[int, Option(help="Full trainings of each finalist; their mean chooses.")] = 2,
    seeds: options.Seeds = 3,
    seed: options.Seed = 0,
    trial_epochs: Annotated[int, Option(help="Epochs of a trial.")] = 8,
    widths: Annotated[
        str | None,
        Option(
            metavar="W[,W]",
            help="Multipliers of channels, such as 0.25,0.5,1: search the width of every stage before the plan.",
            show_default=False,
        ),
    ] = None,
    width_epochs: Annotated[
        int | None,
        Option(help="Epochs of each of a width's two trainings. Default: those of a trial.", show_default=False),
    ] = None,
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
    """Find the best plan within a hard byte budget, train it and export it."""
    from bankwise import searching
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json, results_table
    from bankwise.cli.progress import Display

    spread = engines.engine_options(workers, address, resources, scheduler, port=port, final_workers=final_workers)
    chosen = searching.SearchSettings(
        strategy=strategy,
        engine=engine,
        trials=trials,
        uniform_trials=uniform_trials,
        finalists=finalists,
        finalist_seeds=finalist_seeds,
        seeds=seeds,
        seed=seed,
        trial_epochs=trial_epochs,
        recipe=settings.make_recipe(
            recipe,
            searching.SearchSettings().recipe,
            dict(
                epochs=epochs,
                batch=batch,
                lr=lr,
                optimizer=optimizer,
                schedule=schedule,
                weight_decay=weight_decay,
                label_smoothing=label_smoothing,
                distill=distill,
                temperature=temperature,
                augment=augment,
                amp=amp,
                threads=threads,
                seed=seed,
            ),
        ),  # fmt: skip
        space=settings.make_space(
            space, dict(first=first, hidden=hidden, last=last, keep=keep, vector_bits=vector_bits)
        ),
        max_ram=settings.whole("--max-ram", max_ram, settings.SIZES),
        max_ops=settings.whole("--max-ops", max_ops, settings.COUNTS),
        widths=settings.numbers("--widths", widths),
        width_epochs=width_epochs,
    )
    with Display() as display:
        summary = searching.search(
            network,
            data,
            budget,
            out,
            chosen,
            accounting=accounting,
            data_root=data_root,
            limit=limit,
            validation=validation,
            watch=display,
            options=spread,
        )
    page = _report(out)
    if as_json:
        print_json(summary | {"report": str(page)})
        return
    screen = console()
    screen.print(results_table(summary))
    screen.print(
        f"budget {summary['budget']} = {summary['budget_bytes']:,} bytes ({summary['accounting']} accounting); "
        f"file {summary['file_bytes']:,} bytes, as planned\n"
        f"model {summary['model']}\nplan {summary['plan']}\nreport {page}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _report(out: Path) -> Path:
    from bankwise.report import write_report

    return write_report([out])
