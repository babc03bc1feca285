"""`bankwise export`: write a run's packed model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bankwise.cli import options


def export(
    run: options.Run,
    output: Annotated[
        Path | None, Option("--output", "-o", help="File to write. Default: RUN/model.bankwise.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        Option(help="Which final training, from 0. Default: the best on validation.", show_default=False),
    ] = None,
) -> None:
    """Write the packed model of a finished run, from its files or checkpoints."""
    from bankwise.exporting import export as export_run

    path = export_run(run, output, seed)
    typer.echo(f"{path}: {path.stat().st_size:,} bytes")
