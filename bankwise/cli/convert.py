"""`bankwise convert`: a trained network under a budget, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bankwise.cli import options
from bankwise.cli.groups import grouped

_ASIDE = {"show_default": False}


@grouped
def convert(
    *,
    budget: options.Budget,
    model: Annotated[
        str | None,
        Argument(
            help="Network: torchvision:NAME (detectors and segmentation networks too), segnet, a name that `search` "
            "takes, or your own package.module:callable. Default: that of --checkpoint.",
            **_ASIDE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            help="FILE.bankwise to write, or a folder for file, plan and summary. Default: ./NAME.bankwise.", **_ASIDE
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        Option(
            help="Trained weights: a state dict saved by torch.save or as .safetensors. Else random ones.", **_ASIDE
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, Option(help="A run's folder: convert the uncompressed network that it trained.", **_ASIDE)
    ] = None,
    data: options.OptionalDataOptions,
    split: Annotated[str, Option(help="Images to measure on: test or validation.")] = "test",
    input: Annotated[
        str | None, Option(metavar="CxHxW", help="Image shape, where neither data nor network says it.", **_ASIDE)
    ] = None,
    classes: Annotated[int | None, Option(help="Classes, likewise.", **_ASIDE)] = None,
    kinds: Annotated[
        str | None,
        Option(
            metavar="KIND[,KIND]",
            help="What layers may become: [kinds converted]. Default: all; "
            "those with a bank only where int2 is over the budget.",
            **_ASIDE,
        ),
    ] = None,
    keep: options.Keep = None,
    vector_bits: Annotated[int, Option(help="Bits of the folded batch norms, scales and biases: 4, 8, 16 or 32.")] = 16,
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """Compress a trained network without training it: every layer's best fit under the budget."""
    from bankwise import converting, trained
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json, say, tell_images
    from bankwise.cli.plan_tables import print_report
    from bankwise.cli.progress import Steps
    from bankwise.search_space.errors import BankwiseError
    from bankwise.search_space.ranges import in_range
    from bankwise.search_space.vector import VECTOR_BITS

    in_range(1, classes=classes)
    data.check()
    if data.data is None and split != "test":
        raise BankwiseError(f"--split {split}: of images, which --data names")
    if vector_bits not in VECTOR_BITS:
        raise BankwiseError(f"--vector-bits {vector_bits} is not one of {', '.join(map(str, VECTOR_BITS))}")
    opened = trained.open_trained(
        model,
        weights=weights,
        checkpoint=checkpoint,
        data=None if data.data is None else data.source(model or ""),  # a run names its network
        input_shape=None if input is None else settings.input_shape(input),
        classes=classes,
        keep=tuple(keep or ()),
        normalization=data.asked,
        allow_code=allow_code,
    )
    if out is None:
        out = Path(f"{opened.shape.network.replace(':', '-')}.bankwise")
    wanted = None if kinds is None else [kind.strip() for kind in kinds.split(",")]
    with Steps() as steps:
        done = converting.convert(
            opened, None, budget, out, kinds=wanted, vector_bits=vector_bits, split=split, on_progress=steps
        )
    result = done.to_dict()
    if as_json:
        print_json(result)
        return
    screen = console()
    if opened.data is not None:
        tell_images(*opened.data.lines())
    print_report(done.report, result["plan"], {}, screen)
    say(screen, *_lines(result))


def _lines(result: dict) -> list[str]:
    from bankwise.cli.output import as_planned
    from bankwise.shown import metric_name, value_of

    source = "random, only sizes mean anything" if result["trained"] == "random" else f"from {result['trained']}"
    lines = [
        f"weights {source}; nothing was trained",
        f"bits a weight: {result['weight_bits_per_weight']:.3f} of weights, "
        f"{result['file_bits_per_weight']:.3f} of file",
    ]
    if result["data"] is not None:
        metric = result["metric"]
        pair = result["uncompressed"]["accuracy"], result["accuracy"]
        before, after = (value_of(value, metric=metric) for value in pair)
        lines.append(
            f"{metric_name(metric)} on {result['images']:,} {result['split']} images of {result['data']}: "
            f"{before} before, {after} after (the file read back)"
        )
    lines.append(
        f"model {result['model']}: {result['file_bytes']:,} bytes, {as_planned(result)}; "
        f"{result['seconds']:.0f} seconds"
    )
    return lines
