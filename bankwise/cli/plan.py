"""`bankwise plan`: what a budget buys, priced and not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import options

_ASIDE = {"show_default": False}


def plan(
    network: Annotated[
        str | None, Option(help="Network, as `search` takes it. Default: that of --plan-file, else tiny.", **_ASIDE)
    ] = None,
    budget: options.OptionalBudget = None,
    data: Annotated[
        str | None,
        Option(
            help="Data set whose image shape and classes the network is for. Default: those of a published network, "
            "else digits.",
            **_ASIDE,
        ),
    ] = None,
    data_root: options.DataRoot = None,
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
    accounting: options.Accounting = "file",
    max_ram: options.MaxRam = None,
    max_ops: options.MaxOps = None,
    space: options.Space = None,
    first: options.First = None,
    hidden: options.Hidden = None,
    last: options.Last = None,
    keep: options.Keep = None,
    vector_bits: options.VectorBits = None,
    out: Annotated[Path | None, Option(help="Write the plan there, YAML or JSON.", **_ASIDE)] = None,
    as_json: options.Json = False,
) -> None:
    """Price a network: the reachable range, the best plan of a budget, its staircase. Trains nothing."""
    from bankwise import offer
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json
    from bankwise.cli.plan_tables import print_offer
    from bankwise.inputs import traced
    from bankwise.planning import Planner
    from search_space.budget import Budget
    from search_space.errors import BankwiseError
    from search_space.plan import Plan
    from search_space.space import SearchSpace

    given = None if plan_file is None else Plan.read(plan_file)
    if out is not None and budget is None and given is None:
        raise BankwiseError("--out writes a plan: give a --budget to find one")
    if classes is not None and classes < 1:
        raise BankwiseError(f"--classes {classes} must be at least 1")
    allowed = settings.make_space(
        space, dict(first=first, hidden=hidden, last=last, keep=keep, vector_bits=vector_bits)
    )  # fmt: skip
    images = given if data is None else None  # a plan says what its images are
    shape = traced(
        network or (given.network if given is not None else "tiny"),
        data,
        data_root,
        settings.input_shape(input) if input is not None else images and images.input_shape,
        classes or (images and images.classes),
        allowed.keep if given is None else given.keep,
    )
    limit = None if budget is None else Budget.parse(budget, shape, accounting)
    told = offer.describe(shape)
    if given is not None:
        told |= offer.priced(shape, given)
        if limit is not None:
            offer.held(shape, given, limit)
            told |= offer.within(limit, budget)
        made = given
    else:
        found = SearchSpace(shape, allowed)
        planner = Planner(
            found,
            accounting if limit is None else limit.accounting,
            settings.whole("--max-ram", max_ram, settings.SIZES),
            settings.whole("--max-ops", max_ops, settings.COUNTS),
        )
        made = None
        if limit is not None:
            made, bought = offer.bought(planner, limit, budget)
            told |= bought
        told |= offer.reach(planner)
        if choices is not None:
            told["choices"] = {choices: offer.choices(found, choices)}
    if out is not None:
        made.save(out)
    told["plan"] = next((str(path) for path in (out, plan_file) if path is not None), None)
    if as_json:
        print_json(told)
    else:
        print_offer(told, shape, console())
