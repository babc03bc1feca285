"""`bankwise convert`: a trained network under a budget, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bankwise.cli import options

_ASIDE = {"show_default": False}


def convert(
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
    data: Annotated[
        str | None,
        Option(
            help="Data set that calibrates (training images) and measures a classifier, as `search` takes it.", **_ASIDE
        ),
    ] = None,
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    validation: options.Validation = None,
    split: Annotated[str, Option(help="Images to measure on: test or validation.")] = "test",
    imagenet: options.ImageNet = False,
    input: Annotated[
        str | None, Option(metavar="CxHxW", help="Image shape, where neither data nor network tells it.", **_ASIDE)
    ] = None,
    classes: Annotated[int | None, Option(min=1, help="Classes, likewise.", **_ASIDE)] = None,
    kinds: Annotated[
        str | None,
        Option(
            metavar="KIND[,KIND]",
            help="What layers may become: composite, int2 to int8, binary, stacked, sparse. Default: all; those with a "
            "bank only where int2 is over the budget.",
            **_ASIDE,
        ),
    ] = None,
    keep: options.Keep = None,
    vector_bits: Annotated[int, Option(help="Bits of the folded batch norms, scales and biases: 8, 16 or 32.")] = 16,
    as_json: options.Json = False,
) -> None:
    """Compress a trained network without training it: every layer's best fit within the budget, exactly."""
    from bankwise import converting
    from bankwise.cli import settings
    from bankwise.cli.output import console, print_json
    from bankwise.cli.plan_tables import print_offer
    from bankwise.cli.progress import Steps
    from search_space.errors import BankwiseError
    from search_space.vector import VECTOR_BITS

    if vector_bits not in VECTOR_BITS:
        raise BankwiseError(f"--vector-bits {vector_bits} is not one of {', '.join(map(str, VECTOR_BITS))}")
    trained = converting.open_trained(
        model, weights=weights, checkpoint=checkpoint, data=data, data_root=data_root, limit=limit,
        validation=validation, input_shape=None if input is None else settings.input_shape(input), classes=classes,
        keep=tuple(keep or ()), imagenet=imagenet,
    )  # fmt: skip
    if out is None:
        out = Path(f"{trained.shape.network.replace(':', '-')}.bankwise")
    wanted = None if kinds is None else [kind.strip() for kind in kinds.split(",")]
    with Steps() as steps:
        told = converting.convert(
            trained, budget, out, kinds=wanted, vector_bits=vector_bits, split=split, watch=steps
        )  # fmt: skip
    if as_json:
        print_json(told)
        return
    print_offer(told, trained.shape, console())
    for line in _lines(told):
        typer.echo(line)


def _lines(told: dict) -> list[str]:
    from bankwise.cli.output import percent

    source = "random, only sizes mean anything" if told["trained"] == "random" else f"from {told['trained']}"
    lines = [
        f"weights {source}; nothing was trained",
        f"bits a weight: {told['weight_bits_per_weight']:.3f} of weights, {told['file_bits_per_weight']:.3f} of file",
    ]
    if told["data"] is not None:
        before, after = percent(told["uncompressed"]["accuracy"]), percent(told["accuracy"])
        lines.append(
            f"accuracy on {told['images']:,} {told['split']} images of {told['data']}: {before} before, {after} after "
            "(the file read back)"
        )
    lines.append(f"model {told['model']}: {told['file_bytes']:,} bytes, as planned; {told['seconds']:.0f} seconds")
    return lines
