"""How a network is trained: the options and their group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from bankwise.cli.groups import given
from bankwise.search_space.ranges import SEED, in_range

if TYPE_CHECKING:
    from bankwise.trainers.recipe import Recipe as TrainingRecipe

_TRAINING = "Training"

Seeds = Annotated[int, Option(help="Trainings of the final plan, each with a seed of its own.")]
SideBySide = Annotated[
    int | None,
    Option(
        help="Full trainings at a time, each in a process of its own; changes no result. Default: on the CPU as many "
        "as its cores have threads for, else 1.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    Option(
        help="Seed of everything: the same seed gives the same result on one kind of machine with as many --threads; "
        "others round otherwise, and a search may find another plan. A run records them. Default: that of the recipe "
        "file, else 0.",
        show_default=False,
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
    int | None, _trained("CPU threads of torch, on which rounding hangs. Default: as many as batches keep busy.")
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

    def made(self, base: TrainingRecipe, seed: int | None) -> TrainingRecipe:
        """`base`, overridden by the file and then by the options that are given; `seed` is one of these."""
        from bankwise.cli.settings import make_recipe

        in_range(0, SEED, seed=seed)
        found = make_recipe(self.recipe, base, given(self, "recipe") | {"seed": seed})
        in_range(0, SEED, seed=found.seed)
        return found
