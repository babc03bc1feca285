"""The options, each written once: what several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

_SPACE, _TRAINING, _LIMITS = "What a layer may be", "Training", "Budget and limits"

Network = Annotated[
    str,
    Option(
        help="Network: tiny, small, vgg_small, vgg16, resnet20, resnet56, resnet18 (NAME@0.5: half the channels; "
        "NAME@1,0.5,0.5: stage by stage), "
        "torchvision:NAME, or your own package.module:callable."
    ),
]
Data = Annotated[
    str,
    Option(help="Data set: digits (embedded), mnist, fashion-mnist, cifar10, cifar100, imagefolder:PATH or npz:PATH."),
]
DataRoot = Annotated[
    Path | None,
    Option(help="Folder that holds the data sets. Default: BANKWISE_DATA, else ./data.", show_default=False),
]
Limit = Annotated[int | None, Option(help="Keep that many training images, validation included.", show_default=False)]
Validation = Annotated[
    float | None,
    Option(help="Share of the training images that validate, between 0 and 1. Default: a sixth.", show_default=False),
]
Json = Annotated[bool, Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
ImageNet = Annotated[
    bool,
    Option("--imagenet", help="Feed images as torchvision's pretrained networks take them, not in [-1, 1]."),
]
Out = Annotated[Path, Option(help="Folder of the run. Run the same command on it again to resume.")]

_BUDGET_HELP = "Hard budget: 4096, 96KiB, 0.1MB, 0.07bpw (bits a weight) or 100x (smaller than float32)."
Budget = Annotated[str, Option(help=_BUDGET_HELP, rich_help_panel=_LIMITS)]
OptionalBudget = Annotated[
    str | None,
    Option(help=f"{_BUDGET_HELP} Without it: the reachable range and the staircase.", rich_help_panel=_LIMITS),
]
Accounting = Annotated[
    str,
    Option(
        help="What the budget counts: file (every byte of the exported file) or paper (banks and indices alone).",
        rich_help_panel=_LIMITS,
    ),
]
MaxRam = Annotated[
    str | None,
    Option(
        help="Hard limit on the activation bytes of a layer run by split-transform-merge, such as 64KiB.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
MaxOps = Annotated[
    str | None,
    Option(
        help="Hard limit on the additions and multiplications of an image by split-transform-merge, such as 5M.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]

Space = Annotated[
    Path | None,
    Option(
        help="YAML with any of: hidden, first, last, layers, max_k, tiles, keep, vector_bits.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]
_KINDS = "KIND[,KIND]"


def _kinds(which: str):
    return Option(
        metavar=_KINDS,
        help=f"Kinds {which} may be: stacked, sparse, binary, tiled, subbit, int2 to int8, composite, float16, "
        "float32.",
        rich_help_panel=_SPACE,
        show_default=False,
    )


First = Annotated[str | None, _kinds("the first layer")]
Hidden = Annotated[str | None, _kinds("the layers between")]
Last = Annotated[str | None, _kinds("the last layer")]
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
        help="Bits of the folded batch norms, scales and biases: 8 (default), 16 or 32.",
        rich_help_panel=_SPACE,
        show_default=False,
    ),
]

Seeds = Annotated[int, Option(help="Trainings of the final plan, each with a seed of its own.")]
Seed = Annotated[int, Option(help="Seed of everything: the same seed gives the same result.")]
Recipe = Annotated[
    Path | None,
    Option(
        help="YAML with any field of the training recipe; the options below override it.",
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
Amp = Annotated[str | None, _trained("bfloat16 autocast: auto (on a GPU), on or off. Default: auto.")]
Threads = Annotated[int | None, _trained("CPU threads of torch. Default: as torch finds them.")]

Run = Annotated[Path, Argument(help="Folder of a finished run.")]
