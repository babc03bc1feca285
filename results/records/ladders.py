"""The records that are tried: data sets, sizes of file, networks to choose among, recipes, what others published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bankwise.trainers.recipe import Recipe

METHODS = ("uniform-stacked", "narrower-1-bit", "tiled")  # what else a user would do, trained likewise
SCORES = ("capture", "rate")  # the closed forms that may propose plans: weighted capture, log rate (strategies.scores)


@dataclass(frozen=True)
class Published:
    """A result of others. `bytes_` count what `counts` says; `source` says where it was read."""

    method: str
    accuracy: float  # %
    bytes_: int
    counts: str
    training: str
    source: str


@dataclass(frozen=True)
class Ladder:
    """Rows of one data set: for each size of file in bytes the networks that are tried on the validation split, each
    with the plan of every one of `scores`; for sizes of `compared` other methods of `strategies.baselines`,
    for those of `longer` the same plan for so many epochs, stand beside it.

    A network is trained in floating point for `floating` epochs, then its child, from those weights, for `short` epochs
    where plans are chosen and for `full` in the end.
    """

    name: str
    data: str
    networks: dict[int, tuple[str, ...]]
    recipe: Recipe
    floating: int
    short: int
    full: int
    seeds: int
    validation: float
    scores: tuple[str, ...] = SCORES
    compared: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    longer: Mapping[int, int] = field(default_factory=dict)
    limit: int | None = None
    goals: tuple[float, ...] = ()  # % whose fewest bytes are asked for
    published: tuple[Published, ...] = ()
    note: str = ""

    def beside(self, size: int) -> list[str]:
        """What stands beside a row: its plan trained for as many epochs as `longer` says, and other methods."""
        return [*([f"{self.longer[size]}-epochs"] if size in self.longer else []), *self.compared.get(size, ())]

    @property
    def key(self) -> str:
        """The name of its cache: trainings by other settings have another. Rows and networks may be added to it."""
        settings = [self.recipe.to_dict(), self.floating, self.short, self.full, self.validation, self.limit]
        return f"{self.name}-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]}"

    def tried_small(self) -> Ladder:
        """The same on few images for an epoch each: whether its command works, not what it is worth."""
        return replace(self, limit=2000, floating=1, short=1, full=1, seeds=2, longer=dict.fromkeys(self.longer, 2))


BITNET = ("weights alone, 16x16 images", "60 to 90 epochs, augmentation", "BitNetMCU, docs/documentation_cnn.md")
MIRACLE = ("coded weights of LeNet-5", "400,000 iterations", "MIRACLE (Havasi et al. 2019), read off a plot")

MNIST = Ladder(
    name="mnist",
    data="mnist",
    networks={
        1500: ("small@0.2", "small@0.25"),
        3200: ("small@0.25", "small@0.35"),
        5400: ("small@0.25", "small@0.35"),
        7300: ("small@0.35", "small@0.5"),
        11000: ("small@0.35", "small@0.5"),
    },
    recipe=Recipe(batch=250, threads=1),
    floating=5,
    short=2,
    full=15,
    seeds=3,
    validation=1 / 12,
    scores=("capture",),
    compared={3200: METHODS},
    longer={1500: 60},
    published=(
        Published("MIRACLE", 99.04, 1500, *MIRACLE),
        Published("MIRACLE", 99.31, 3100, *MIRACLE),
        Published("BitNetMCU", 98.92, 3200, *BITNET),
        Published("BitNetMCU", 99.06, 5400, *BITNET),
        Published("BitNetMCU", 99.28, 7300, *BITNET),
        Published("BitNetMCU", 99.55, 11000, *BITNET),
        Published("Tiled Bit Networks", 99.21, 39_364, "tiles", "100 epochs", "the C example of Gorbett et al. 2024"),
    ),
)

FASHION = Ladder(
    name="fashion-mnist",
    data="fashion-mnist",
    networks={
        1024: ("small@0.15", "small@0.2"),
        2048: ("small@0.2", "small@0.3"),
        4096: ("small@0.3", "small@0.45"),
        8192: ("small@0.45", "small@0.7"),
        16384: ("small@0.7", "small"),
        32768: ("small", "small@1.5"),
        65536: ("small@1.5", "small@2"),
    },
    recipe=Recipe(batch=250, threads=1),
    floating=8,
    short=3,
    full=20,
    seeds=3,
    validation=1 / 12,
    compared={2048: METHODS, 8192: METHODS},
    longer={4096: 60},
    goals=(90.0, 92.0),
    published=(
        Published(
            "uNAS", 90.0, 64_000, "the goal of a search, no result", "45 epochs a candidate", "its configuration"
        ),
    ),
)

CIFAR10 = Ladder(
    name="cifar10",
    data="cifar10",
    networks={
        8192: ("resnet9@0.1875", "resnet9@0.25"),
        16_384: ("resnet9@0.25", "resnet9@0.375"),
        32_768: ("resnet9@0.375", "resnet9@0.5"),
        65_536: ("resnet9@0.5",),
        131_072: ("resnet9",),
    },
    recipe=Recipe(batch=250, threads=1, whiten=True, shift=2),  # what paid in results/recipes
    floating=8,
    short=3,
    full=16,
    seeds=3,
    validation=1 / 10,
    scores=("capture",),
    compared={16_384: METHODS},
    longer={16_384: 48},
    goals=(85.0, 90.0),
    published=(
        Published("MLPerf Tiny, ResNet-8", 85.0, 98_496, "the int8 .tflite file", "500 epochs", "its repository"),
        Published("uNAS", 86.49, 11_400, "second-hand", "130 epochs a candidate", "second-hand"),
        Published("IR-Net, ResNet-20", 90.8, 36_900, "1-bit weights, priced here", "not stated", "its README"),
        Published("MIRACLE, VGG-16", 90.2, 135_000, "coded weights", "250,000 iterations", "read off a plot"),
        Published("MIRACLE, VGG-16", 93.43, 384_000, "coded weights", "250,000 iterations", "read off a plot"),
        Published("coded VGG-16", 90.0, 101_000, "second-hand", "not stated", "second-hand"),
    ),
    note="The arrays hold 93 re-coded images.",
)

TILED = ("tiles", "350 epochs", "the logs of Gorbett et al. 2024")

CIFAR10_LARGE = Ladder(
    name="cifar10-large",
    data="cifar10",
    networks={  # 0.07, 0.135 and 0.258 bits for each of 11,164,352 and of 14,715,584 weights
        97_688: ("resnet18",),
        128_761: ("vgg16",),
        188_398: ("resnet18",),
        248_325: ("vgg16",),
        360_050: ("resnet18",),
        474_578: ("vgg16",),
    },
    recipe=Recipe(batch=250, whiten=True, shift=2),
    floating=40,
    short=1,
    full=80,
    seeds=3,
    validation=1 / 10,
    scores=("capture",),
    compared={97_688: ("tiled",), 188_398: ("tiled",), 360_050: ("tiled",)},
    published=(
        Published("Tiled Bit Networks, ResNet-18", 91.2, 97_688, *TILED),
        Published("Tiled Bit Networks, ResNet-18", 92.1, 188_398, *TILED),
        Published("Tiled Bit Networks, ResNet-18", 93.1, 360_050, *TILED),
    ),
    note="The arrays hold 93 re-coded images.",
)

LADDERS = {ladder.name: ladder for ladder in (MNIST, FASHION, CIFAR10, CIFAR10_LARGE)}
