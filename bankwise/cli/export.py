"""`bankwise export`: write a run's packed model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bankwise.cli import options


def export(
    run: options.Run,
    output: Annotated[
        Path | None,
        Option(
            "--out",
            "--output",
            "-o",
            help="Where to. Default: RUN/model.bankwise, RUN/model.onnx and so on, or RUN/TARGET for several files; of "
            "another seed RUN/model-SEED.bankwise and so on.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        Option(help="Which final training, from 0. Default: the best on validation.", show_default=False),
    ] = None,
    target: Annotated[str, Option(help="Form of the model: [targets].")] = "file",
    activations: Annotated[
        str, Option(help="Of C sources: float32, or int8 with scales from training images.")
    ] = "float32",
    name: Annotated[
        str | None,
        Option(help="Of C sources: what files and functions begin with. Default: the network's.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        Option(help="Data set for int8: [data sets]. Default: that of the run, as recorded.", show_default=False),
    ] = None,
    data_root: options.DataRoot = None,
    allow_code: options.AllowCode = False,
) -> None:
    """Write the trained model of a finished run, from its files or checkpoints."""
    from bankwise.cli.output import console, say
    from bankwise.exporting import export as export_run
    from bankwise.on_device import DeviceAccuracy, described
    from bankwise.shown import metric_name, value_of

    def told(found: DeviceAccuracy) -> None:
        say(
            console(),
            f"{metric_name(found.metric)} on {found.images:,} test images of {found.data}: on the device "
            f"{value_of(found.device, metric=found.metric)}, of the file {value_of(found.file, metric=found.metric)}",
        )

    given = None if data is None and data_root is None else described(run, data, data_root)
    path = export_run(
        run, output, seed, target=target, allow_code=allow_code, activations=activations, data=given, name=name,
        on_accuracy=told,
    )  # fmt: skip
    files = [path] if path.is_file() else sorted(one for one in path.iterdir() if one.is_file())
    say(console(), *(f"{file}: {file.stat().st_size:,} bytes" for file in files))
