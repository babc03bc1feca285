"""`bankwise evaluate`: what an exported file reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bankwise.cli import options


def evaluate(
    model: Annotated[Path, Argument(help="Exported file, such as RUN/model.bankwise.")],
    data: options.Data = "digits",
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    validation: options.Validation = None,
    split: Annotated[str, Option(help="Images to measure on: test or validation.")] = "test",
    allow_code: Annotated[
        bool,
        Option("--allow-code", help="Import and run the user's own network (module:callable) that the file names."),
    ] = False,
    imagenet: options.ImageNet = False,
    as_json: options.Json = False,
) -> None:
    """Read an exported file back and measure it."""
    from bankwise.cli.output import percent, print_json
    from bankwise.reading_back import evaluate_file

    result = evaluate_file(
        model, data, split,
        data_root=data_root, limit=limit, validation=validation, allow_code=allow_code, imagenet=imagenet,
    )  # fmt: skip
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{model}: accuracy {percent(result['accuracy'])} on {result['images']:,} {split} images of {result['data']}; "
        f"{result['file_bytes']:,} file bytes, {result['paper_bits']:,} paper bits "
        f"({result['paper_bits_per_weight']:.4f} a weight), uncompressed {result['uncompressed']['bytes']:,} bytes"
    )
