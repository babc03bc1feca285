"""`bankwise report`: draw runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Folders of finished runs, to be set side by side.")],
    out: Annotated[
        Path | None,
        Option(help="The page to write; needed for several runs. Default: report.html in the run.", show_default=False),
    ] = None,
) -> None:
    """Draw a self-contained HTML page of one run or several."""
    from bankwise.report import write_report

    typer.echo(write_report(runs, out))
