"""The options, each written once, and the groups of them that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.ranges import SEED, in_range

if TYPE_CHECKING:
    from bankwise.search_space.settings import SpaceSettings
    from bankwise.trainers.recipe import Recipe as TrainingRecipe
    from bankwise.trainers.task import TaskSource

_SPACE, _TRAINING, _LIMITS, _DATA = "What a layer may be", "Training", "Budget and limits", "Data"

Network = Annotated[
    str,
    Option(
        help="Network: [networks] (NAME@0.5: half the channels; NAME@1,0.5,0.5: stage by stage), torchvision:NAME, or "
        "your own package.module:callable."
    ),
]
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
Json = Annotated[bool, Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
ImageNet = Annotated[
    bool,
    Option("--imagenet", help="Short for --normalization imagenet.", rich_help_panel=_DATA),
]
Out = Annotated[Path, Option(help="Folder of the run. Run the same command on it again to resume.")]

_BUDGET_HELP = "Hard budget: 4096, 96KiB, 0.1MB, 0.07bpw (bits a weight) or 100x (smaller than float32)."
Budget = Annotated[str, Option(help=_BUDGET_HELP, rich_help_panel=_LIMITS)]
Budgets = Annotated[
    str,
    Option(
        help=f"{_BUDGET_HELP} Several, as 2KiB,4KiB: a run each in OUT, of one teacher, and one report.",
        rich_help_panel=_LIMITS,
    ),
]
OptionalBudget = Annotated[
    str | None,
    Option(
        help=f"{_BUDGET_HELP} Without it: that of --chip, or the reachable range and the staircase.",
        rich_help_panel=_LIMITS,
    ),
]
_ACCOUNTING_HELP = (
    "What the budget counts: file (every byte of the exported file), device (the constant data of C sources; "
    "device-int8: with int8 activations) or paper (banks and indices alone)."
)
Accounting = Annotated[str, Option(help=_ACCOUNTING_HELP, rich_help_panel=_LIMITS)]
OptionalAccounting = Annotated[
    str | None,
    Option(help=f"{_ACCOUNTING_HELP} Default: file, with --chip device.", rich_help_panel=_LIMITS, show_default=False),
]
Chip = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="The plan fits into the flash and RAM of this microcontroller, beside code, stack, an image and its "
        "logits, or that is an error: [chips].",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
MaxRam = Annotated[
    str | None,
    Option(
        help="Hard limit on the peak activation bytes of the whole network (float32, one image; by "
        "split-transform-merge, which takes most), such as 64KiB. Of accounting device: the arena of the C sources.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
MaxOps = Annotated[
    str | None,
    Option(
        help="Hard limit on the additions and multiplications of an image by split-transform-merge, such as 5M. Of "
        "accounting device: by the C sources.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]

Space = Annotated[
    Path | None,
    Option(
        help="YAML with any of: hidden, depthwise, first, last, layers, max_k, tiles, keep, vector_bits, vectors.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
_KINDS = "KIND[,KIND]"
_ENDS = "stacked,binary,int4,int8"
_HIDDEN = "stacked,binary; from 1 bit of budget a weight sparse, int2, int4 too, from 3 int2 to int8"


def _kinds(which: str, usual: str):
    return Option(
        metavar=_KINDS,
        help=f"Kinds {which} may be: [kinds]. Default: {usual}.",
        rich_help_panel=_SPACE,
        show_default=False,
    )


First = Annotated[str | None, _kinds("the first layer", _ENDS)]
Hidden = Annotated[str | None, _kinds("the layers between", _HIDDEN)]
Last = Annotated[str | None, _kinds("the last layer", _ENDS)]
Keep = Annotated[
    list[str] | None,
    Option(
        metavar="PATTERN",
        help="Modules kept in floating point, outside the search (may be repeated).",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
VectorBits = Annotated[
    int | None,
    Option(
        help="Bits of the folded batch norms, scales and biases: 4, 8 (default), 16 or 32.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
Vectors = Annotated[
    str | None,
    Option(
        metavar="WAY[,WAY]",
        help="How each layer may store scales and shifts: v32, v16, v8, v4 (bits), s8, s4 (one scale a layer), p8, p4 "
        "(scales to powers of two). Within a budget v8,v4,s4 where nothing is said.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]

Seeds = Annotated[int, Option(help="Trainings of the final plan, each with a seed of its own.")]
Seed = Annotated[
    int,
    Option(
        help="Seed of everything: the same seed gives the same result on one kind of machine with as many --threads; "
        "others round otherwise, and a search may find another plan. A run records them."
    ),
]
Recipe = Annotated[
    str | None,
    Option(
        metavar="fast|full|FILE",
        help="full (the default), fast (a short training), or YAML with any field of the training recipe; the options "
        "below override it.",
        rich_help_panel=_TRAINING,
        show_default=False,
    ),
]


def _trained(help: str, **limits):
    return Option(help=help, rich_help_panel=_TRAINING, show_default=False, **limits)


Epochs = Annotated[int | None, _trained("Epochs of a full training. Default: 40.")]
Batch = Annotated[int | None, _trained("Images of a batch. Default: 100.")]
Optimizer = Annotated[str | None, _trained("adamw, or sgd (which wants --lr of about 0.1). Default: adamw.")]
LearningRate = Annotated[
    float | None,
    Option("--lr", help="Peak learning rate. Default: 0.004.", rich_help_panel=_TRAINING, show_default=False),
]
Schedule = Annotated[str | None, _trained("one-cycle or cosine. Default: one-cycle.")]
WeightDecay = Annotated[float | None, _trained("Weight decay. Default: 0.0001.")]
LabelSmoothing = Annotated[float | None, _trained("Label smoothing, 0 to below 1. Default: 0.0.")]
Distill = Annotated[
    float | None, _trained("Share of the uncompressed teacher's term in the loss, 0 to 1. Default: 0.0.")
]
Temperature = Annotated[float | None, _trained("Temperature of the distillation. Default: 4.0.")]
Augment = Annotated[
    bool | None,
    Option(
        "--augment/--no-augment",
        help="Random crops and flips, as the data set allows. Default: augment.",
        rich_help_panel=_TRAINING,
        show_default=False,
    ),
]
Amp = Annotated[
    str | None, _trained("bfloat16 autocast: auto (on a GPU, and on a CPU that has it), on or off. Default: auto.")
]
Threads = Annotated[
    int | None, _trained("CPU threads of torch, on which rounding hangs. Default: as torch finds them.")
]
Device = Annotated[
    str | None, _trained("Where it trains: auto (a GPU where torch finds one), cpu, cuda, cuda:1, mps. Default: auto.")
]

Loss = Annotated[
    str | None,
    _trained(
        "auto (as the labels want), cross-entropy, bce (several labels), mse or your own module:Name. Default: auto."
    ),
]
MetricName = Annotated[
    str | None,
    _trained(
        "What is maximized: auto (as the labels want), accuracy, macro-f1, top-5, r2 (values) or your own module:Name. "
        "Default: auto."
    ),
]
ClassWeights = Annotated[
    str | None, _trained("Weights of the classes in the loss: balanced, or a number each, as 1,2,0.5. Default: alike.")
]

AllowCode = Annotated[
    bool,
    Option(
        "--allow-code",
        help="Import and run code of your own (module:Name) that a file or a run's folder names. What the command line "
        "names itself is imported anyway.",
    ),
]
Run = Annotated[Path, Argument(help="Folder of a finished run.")]


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


@dataclass(frozen=True)
class RecordedDataOptions(DataOptions):
    """The same, where a run may say them."""

    data: RecordedData = None

    def over(self, recorded: TaskSource | None) -> TaskSource:
        """What a run recorded, but for the options that are given; the file names the network."""
        if self.data is not None or recorded is None:
            return replace(self, data=self.data or "digits").source(network="")
        given = _given(self, "data", "imagenet", "normalization") | {"normalization": self.asked}
        if self.data_root is not None:
            given["data_root"] = str(self.data_root.resolve())
        return replace(recorded, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class PricedDataOptions(DataOptions):
    """The same as `search` takes, where shape and classes alone are looked at."""

    data: PricedData = None


@dataclass(frozen=True)
class SpaceOptions:
    """What a layer may be."""

    space: Space = None
    first: First = None
    hidden: Hidden = None
    last: Last = None
    keep: Keep = None
    vector_bits: VectorBits = None
    vectors: Vectors = None
    allow_code: AllowCode = False

    def settings(self) -> SpaceSettings:
        """The file's settings, overridden by the options that are given."""
        from bankwise.cli.settings import make_space

        return make_space(self.space, _given(self, "space", "allow_code"), self.allow_code)


@dataclass(frozen=True)
class RecipeOptions:
    """How a network is trained."""

    recipe: Recipe = None
    epochs: Epochs = None
    batch: Batch = None
    lr: LearningRate = None
    optimizer: Optimizer = None
    schedule: Schedule = None
    weight_decay: WeightDecay = None
    label_smoothing: LabelSmoothing = None
    distill: Distill = None
    temperature: Temperature = None
    augment: Augment = None
    amp: Amp = None
    threads: Threads = None
    device: Device = None
    loss: Loss = None
    metric: MetricName = None
    class_weights: ClassWeights = None

    def made(self, base: TrainingRecipe, seed: int) -> TrainingRecipe:
        """`base`, overridden by the file and then by the options that are given."""
        from bankwise.cli.settings import make_recipe

        in_range(0, SEED, seed=seed)
        return make_recipe(self.recipe, base, _given(self, "recipe") | {"seed": seed})


def _given(group: object, *but: str) -> dict[str, object]:
    """The group's options by name, without `but`."""
    return {item.name: getattr(group, item.name) for item in fields(group) if item.name not in but}
