"""Which images, and how they enter the network: the options and their groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from bankwise.cli.groups import given
from bankwise.search_space.errors import BankwiseError

if TYPE_CHECKING:
    from bankwise.trainers.task import TaskSource

_DATA = "Data"

Data = Annotated[str, Option(help="Data set: [data sets].", rich_help_panel=_DATA)]
OptionalData = Annotated[
    str | None,
    Option(
        help="Data set that calibrates (training images) and measures a classifier, as `search` takes it.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
RecordedData = Annotated[
    str | None,
    Option(
        help="Data set: [data sets]. Default: that of the run, as it recorded it, else digits.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
PricedData = Annotated[
    str | None,
    Option(
        help="Data set whose image shape and classes the network is for. Default: those of a published network, else "
        "digits.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
DataRoot = Annotated[
    Path | None,
    Option(
        help="Folder that holds the data sets. Default: BANKWISE_DATA, else ./data.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    Option(help="Keep that many training images, validation included.", rich_help_panel=_DATA, show_default=False),
]
Validation = Annotated[
    float | None,
    Option(
        help="Share of the training images that validate, between 0 and 1. Default: a sixth.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
ImageSize = Annotated[
    int | None,
    Option(
        help="Side in pixels that the images of a folder are resized to. Default: 64, or what the network takes where "
        "a file or a published network says it.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
Normalization = Annotated[
    str | None,
    Option(
        help="How pixels enter the network: symmetric (in [-1, 1], the default) or imagenet (as torchvision's "
        "pretrained networks take them).",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
Flip = Annotated[
    bool | None,
    Option(
        "--flip/--no-flip",
        help="Whether a mirrored image keeps its label. Default: as the data set says.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
ImageNet = Annotated[
    bool,
    Option("--imagenet", help="Short for --normalization imagenet.", rich_help_panel=_DATA),
]


@dataclass(frozen=True)
class DataOptions:
    """Which images, and how they enter the network."""

    data: Data = "digits"
    data_root: DataRoot = None
    limit: Limit = None
    validation: Validation = None
    image_size: ImageSize = None
    normalization: Normalization = None
    imagenet: ImageNet = False
    flip: Flip = None

    @property
    def asked(self) -> str | None:
        """The normalization, None where none was asked for."""
        if self.imagenet and self.normalization not in (None, "imagenet"):
            raise BankwiseError(f"--imagenet contradicts --normalization {self.normalization}: give one of them")
        return "imagenet" if self.imagenet else self.normalization

    def source(self, network: str, keep: tuple[str, ...] = ()) -> TaskSource:
        """The data description."""
        from bankwise.search_space.normalization import SYMMETRIC
        from bankwise.trainers.task import TaskSource

        return TaskSource(
            network,
            self.data,
            data_root=None if self.data_root is None else str(self.data_root.resolve()),
            limit=self.limit,
            validation=self.validation,
            keep=keep,
            image_size=self.image_size,
            normalization=self.asked or SYMMETRIC,
            flip=self.flip,
        )


@dataclass(frozen=True)
class OptionalDataOptions(DataOptions):
    """The same, where no data need be given."""

    data: OptionalData = None

    def check(self) -> None:
        """BankwiseError for an option of images where none are named."""
        options = given(self, "data", "imagenet", "normalization")
        wrong = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        if self.data is None and wrong:
            raise BankwiseError(f"{', '.join(wrong)}: of images, which --data names")


@dataclass(frozen=True)
class RecordedDataOptions(DataOptions):
    """The same, where a run may say them."""

    data: RecordedData = None

    def over(self, recorded: TaskSource | None) -> TaskSource:
        """What a run recorded, but for the options that are given; the file names the network."""
        if self.data is not None or recorded is None:
            return replace(self, data=self.data or "digits").source(network="")
        changed = given(self, "data", "imagenet", "normalization") | {"normalization": self.asked}
        if self.data_root is not None:
            changed["data_root"] = str(self.data_root.resolve())
        return replace(recorded, **{name: value for name, value in changed.items() if value is not None})


@dataclass(frozen=True)
class PricedDataOptions(DataOptions):
    """The same as `search` takes, where shape and classes alone are looked at."""

    data: PricedData = None

    def check(self) -> None:
        """BankwiseError for what `search` would refuse, as far as that is known without reading images."""
        from bankwise.trainers.data import data_folder
        from bankwise.trainers.data_sets import open_data_set

        if self.data is None and self.image_size is not None:
            raise BankwiseError(f"--image-size {self.image_size} is of the images of a folder: name it by --data")
        source = replace(self, data=self.data or "digits").source(network="")
        open_data_set(source.data, data_folder(source.data_root), source.image_size)
