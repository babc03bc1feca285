"""`bankwise train`: train one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import options


def train(
    plan: Annotated[Path, Option(help="Plan to train, YAML or JSON; it names the network.")],
    out: options.Out,
    data: options.Data = "digits",
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    validation: options.Validation = None,
    teacher: Annotated[
        bool,
        Option("--teacher/--no-teacher", help="First train an uncompressed network a seed, to start and learn from."),
    ] = True,
    seeds: options.Seeds = 1,
    seed: options.Seed = 0,
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
    """Train one plan, pack it and measure the file."""
    import dataclasses

    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json, results_table
    from bankwise.cli.progress import Display
    from bankwise.searching import SearchSettings
    from bankwise.training import train_plan
    from search_space.plan import Plan

    base = SearchSettings().recipe
    chosen = settings.make_recipe(
        recipe,
        base if teacher else dataclasses.replace(base, distill=0.0),
        dict(
            epochs=epochs, batch=batch, lr=lr, optimizer=optimizer, schedule=schedule, weight_decay=weight_decay,
            label_smoothing=label_smoothing, distill=distill, temperature=temperature, augment=augment, amp=amp,
            threads=threads, seed=seed,
        ),
    )  # fmt: skip
    with Display() as display:
        summary = train_plan(
            Plan.read(plan), data, out, chosen,
            seeds=seeds, seed=seed, teacher=teacher,
            data_root=data_root, limit=limit, validation=validation, watch=display,
        )  # fmt: skip
    if as_json:
        print_json(summary)
        return
    screen = console()
    screen.print(results_table(summary))
    screen.print(f"model {summary['model']}", highlight=False, markup=False, soft_wrap=True)
