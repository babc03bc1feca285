"""The options that say how an engine spreads the trials, and what becomes of them."""

from __future__ import annotations

import re
from typing import Annotated

from typer import Option

from search_space.errors import BankwiseError, unknown

_ENGINE = "Engine"
RESOURCES = {"cpu": "cpus", "gpu": "gpus"}


def _spread(help: str):
    return Option(help=help, rich_help_panel=_ENGINE, show_default=False)


Workers = Annotated[int, Option(help="Trials at a time.", rich_help_panel=_ENGINE)]
FinalWorkers = Annotated[
    int | None, _spread("On Ray: processes that train one final network together. Default: as many as --workers.")
]
Address = Annotated[
    str | None, _spread("Ray cluster: auto (of this machine) or HOST:PORT. Default: started for the search.")
]
Resources = Annotated[str | None, _spread("Of each trial on Ray, fractions allowed: cpu=1,gpu=0.25. Default: cpu=1.")]
Scheduler = Annotated[str | None, _spread("Ends poor trials early on Ray: asha, hyperband, median or none (default).")]


def resources(text: str | None) -> dict[str, float]:
    """NAME=NUMBER[,NAME=NUMBER] to the fields of `EngineOptions`."""
    found: dict[str, float] = {}
    for part in (text or "").split(",") if text is not None else ():
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*", part)
        if match is None:
            raise BankwiseError(f"--resources {text!r} is not NAME=NUMBER[,NAME=NUMBER], such as cpu=1,gpu=0.25")
        if match[1] not in RESOURCES:
            raise unknown("resource", match[1], RESOURCES)
        found[RESOURCES[match[1]]] = float(match[2])
    return found


def engine_options(workers: int, address: str | None, of_a_trial: str | None, scheduler: str | None, **more: object):
    from strategies.job import EngineOptions

    return EngineOptions(workers, address, scheduler=scheduler, **resources(of_a_trial), **more)
