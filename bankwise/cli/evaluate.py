"""`bankwise evaluate`: the accuracy of an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bankwise.cli import options
from bankwise.cli.groups import grouped


@grouped
def evaluate(
    *,
    model: Annotated[Path, Argument(help="Folder of a run or a conversion, or an exported file.")],
    data: options.RecordedDataOptions,
    split: Annotated[str, Option(help="Images to measure on: test or validation.")] = "test",
    metric: Annotated[
        str | None,
        Option(
            help="What to measure: accuracy, macro-f1, top-5, r2 (values) or your own module:Name. Default: as the "
            "run, else as the labels want.",
            show_default=False,
        ),
    ] = None,
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """Read an exported file back and measure it."""
    from bankwise.cli.output import console, print_json, say, tell_images
    from bankwise.reading_back import data_of
    from bankwise.reading_back import evaluate as measure
    from bankwise.shown import metric_name, value_of

    source = data.over(data_of(model))
    result = measure(model, source, split, metric=metric, normalization=data.asked, allow_code=allow_code).to_dict()
    if as_json:
        print_json(result)
        return
    tell_images(f"{split} images: {result['origin']}")
    say(
        console(),
        f"{result['model']}: {metric_name(result['metric'])} "
        f"{value_of(result['accuracy'], metric=result['metric'])} on "
        f"{result['images']:,} {split} images of "
        f"{result['data']}; "
        f"{result['file_bytes']:,} file bytes, {result['paper_bits']:,} paper bits "
        f"({result['paper_bits_per_weight']:.4f} a compressed weight), "
        f"uncompressed {result['uncompressed']['bytes']:,} bytes",
    )
