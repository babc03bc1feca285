"""`bankwise plan`: networks and plans, priced and not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import options
from bankwise.cli.groups import grouped

_ASIDE = {"show_default": False}


@grouped
def plan(
    *,
    network: Annotated[
        str | None, Option(help="Network, as `search` takes it. Default: that of --plan-file, else tiny.", **_ASIDE)
    ] = None,
    budget: options.OptionalBudget = None,
    data: options.PricedDataOptions,
    input: Annotated[
        str | None, Option(metavar="CxHxW", help="Image shape in place of the data set's, such as 3x224x224.", **_ASIDE)
    ] = None,
    classes: Annotated[int | None, Option(help="Classes, in place of the data set's.", **_ASIDE)] = None,
    plan_file: Annotated[
        Path | None, Option(help="Price this plan (YAML or JSON), in place of the best one.", **_ASIDE)
    ] = None,
    choices: Annotated[
        str | None, Option(metavar="LAYER", help="Also price every choice of this layer.", **_ASIDE)
    ] = None,
    accounting: options.OptionalAccounting = None,
    chip: options.Chip = None,
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    space: options.Space = None,
    first: options.First = None,
    hidden: options.Hidden = None,
    last: options.Last = None,
    keep: options.Keep = None,
    vector_bits: options.VectorBits = None,
    vectors: options.Vectors = None,
    out: Annotated[Path | None, Option(help="Write the plan there, YAML or JSON.", **_ASIDE)] = None,
    allow_code: options.AllowCode = False,
    wide: Annotated[
        bool, Option("--wide", help="Names, choices and the bytes of parts written out, however wide the table.")
    ] = False,
    as_csv: Annotated[
        bool,
        Option("--csv", help="Print one table as CSV: the choices of --choices, else the plan, else the staircase."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Price a network: its smallest and largest plan, the best plan of a budget, its staircase. Trains nothing."""
    import dataclasses

    from bankwise import planning
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_csv, print_json
    from bankwise.cli.plan_tables import csv_rows, print_report
    from bankwise.inputs import traced
    from bankwise.plan_report import choice_dict, choice_prices
    from bankwise.search_space.budget import Budget
    from bankwise.search_space.errors import BankwiseError
    from bankwise.search_space.images import Images
    from bankwise.search_space.imports import code_in_files
    from bankwise.search_space.normalization import SYMMETRIC, check_normalization
    from bankwise.search_space.plan import Plan
    from bankwise.search_space.ranges import in_range

    forms = {"--wide": wide, "--csv": as_csv, "--json": as_json}
    asked_forms = [name for name, value in forms.items() if value]
    if len(asked_forms) > 1:
        raise BankwiseError(f"{' and '.join(asked_forms)} are different forms of the same: give one of them")
    if plan_file is not None:
        searched = dict(choices=choices, max_ram=max_ram, max_ops=max_ops, space=space, first=first, hidden=hidden,
                        last=last, keep=keep, vector_bits=vector_bits, vectors=vectors)  # fmt: skip
        for name, value in searched.items():
            if value is not None:
                raise BankwiseError(f"--{name.replace('_', '-')} is for finding a plan: --plan-file gives one")
    with code_in_files(allow_code, [network]):
        given = None if plan_file is None else Plan.read(plan_file, allow_code=True)
    if out is not None and budget is None and chip is None and given is None:
        raise BankwiseError("--out writes a plan: give a --budget to find one")
    in_range(1, classes=classes)
    allowed = settings.make_space(
        space, dict(first=first, hidden=hidden, last=last, keep=keep, vector_bits=vector_bits, vectors=vectors),
        allow_code,
    )  # fmt: skip
    data.check()
    images = given if data.data is None else None  # a plan says what its images are
    shape = traced(
        network if network is not None else given.network if given is not None else "tiny",
        data.data,
        data.data_root,
        settings.input_shape(input) if input is not None else images and images.input_shape,
        classes or (images and images.classes),
        allowed.keep if given is None else given.keep,
        data.image_size,
    )
    check_normalization(data.asked or SYMMETRIC, shape.input_shape[0])
    rows = {}
    if given is not None:
        counted = accounting or ("file" if chip is None else "device")
        limit = None if budget is None else Budget.parse(budget, shape, counted)
        report = planning.price_plan(shape, given, limit, budget)
        if chip is not None:
            report = planning.on_chip(report, planning.fit_of_plan(shape, given, chip, counted))
    else:
        report = planning.plan(
            shape, budget, space=allowed, accounting=accounting,
            max_ram=settings.size("--max-ram", max_ram), max_ops=settings.count("--max-ops", max_ops),
            chip=chip,
        )  # fmt: skip
        if choices is not None:
            rows = {choices: choice_prices(report.space, choices)}
    if out is not None:
        asked = Images(data.asked) if data.asked is not None else report.plan.images
        dataclasses.replace(report.plan, images=asked).save(out)
    path = next((str(path) for path in (out, plan_file) if path is not None), None)
    if as_json:
        made = {layer: [choice_dict(row) for row in found] for layer, found in rows.items()}
        print_json(report.to_dict() | {"plan": path} | ({"choices": made} if made else {}))
    elif as_csv:
        print_csv(csv_rows(report, next(iter(rows.values()), None)))
    else:
        print_report(report, path, rows, console(), wide)
