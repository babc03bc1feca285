"""The options, each written once, and the groups of them that several commands share."""

from bankwise.cli.options.data import DataOptions, DataRoot, OptionalDataOptions, PricedDataOptions, RecordedDataOptions
from bankwise.cli.options.general import AllowCode, Json, Network, Out, Run
from bankwise.cli.options.limits import (
    Accounting,
    Budget,
    Budgets,
    Chip,
    MaxOps,
    MaxRam,
    OptionalAccounting,
    OptionalBudget,
)
from bankwise.cli.options.space import First, Hidden, Keep, Last, Space, SpaceOptions, VectorBits, Vectors
from bankwise.cli.options.training import RecipeOptions, Seed, Seeds, SideBySide

__all__ = [
    "Accounting",
    "AllowCode",
    "Budget",
    "Budgets",
    "Chip",
    "DataOptions",
    "DataRoot",
    "First",
    "Hidden",
    "Json",
    "Keep",
    "Last",
    "MaxOps",
    "MaxRam",
    "Network",
    "OptionalAccounting",
    "OptionalBudget",
    "OptionalDataOptions",
    "Out",
    "PricedDataOptions",
    "RecipeOptions",
    "RecordedDataOptions",
    "Run",
    "Seed",
    "Seeds",
    "SideBySide",
    "Space",
    "SpaceOptions",
    "VectorBits",
    "Vectors",
]
