"""`bankwise report`: draw runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bankwise.cli import options


def report(
    runs: Annotated[
        list[Path],
        Argument(metavar="RUN...", help="Folders of finished runs, set side by side; or a conversion's."),
    ],
    out: Annotated[
        Path | None,
        Option(help="The page to write; needed for several runs. Default: report.html in the run.", show_default=False),
    ] = None,
    allow_code: options.AllowCode = False,
) -> None:
    """Draw a self-contained HTML page of one run or several."""
    from bankwise.cli.output import console, say
    from bankwise.report import write_report

    say(console(), write_report(runs, out, allow_code))
