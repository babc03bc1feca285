"""A layer as nni.nas sees it: one labelled choice among its bank settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from nni.mutable import Categorical, Sample
from nni.mutable.utils import label as fixed_label
from nni.nas.nn.pytorch import MutableModule
from torch import nn

from bankwise.search_space.families import Choice, choice_from_code
from bankwise.search_space.layer import GeneratedLayer, take_sizes
from bankwise.search_space.shape import LayerShape
from bankwise.strategies.budgeted import BudgetedSpace


@dataclass(frozen=True, eq=False)
class Search:
    """What the layers of one space share: all its choices, where the logits of each layer's choices start, whether the
    weights in the layers are a trained teacher's, and the seed of a supernet's random numbers."""

    space: BudgetedSpace
    start: Mapping[str, np.ndarray]
    taught: bool
    seed: int

    def __deepcopy__(self, memo: dict[str, Any]) -> Search:
        return self  # nothing in it changes


class BankLayer(MutableModule):
    """A categorical over the codes of the layer's choices, labelled with the layer's name.

    Until it is frozen or mutated into a supernet's layer it runs `original`, the uncompressed layer.
    """

    def __init__(self, original: nn.Module, shape: LayerShape, search: Search):
        super().__init__()
        self.original, self.shape, self.search = original, shape, search
        take_sizes(self, original)
        codes = [choice.code() for choice in self.choices]
        # A label made beforehand is taken as it is: names of layers may hold what NNI forbids in a new one.
        self.choice = self.add_mutable(Categorical(codes, label=fixed_label(shape.name)))

    @property
    def weight(self) -> torch.Tensor:
        """That of the uncompressed layer."""
        return cast(torch.Tensor, self.original.weight)

    @property
    def label(self) -> str:
        return str(self.choice.label)

    @property
    def choices(self) -> list[Choice]:
        return self.search.space.choices(self.search.space.space.names.index(self.shape.name))

    @property
    def padding_mode(self) -> str:
        return str(getattr(self.original, "padding_mode", "zeros"))

    def freeze(self, sample: Sample) -> GeneratedLayer:
        """The trainable layer of the sample's choice, fitted to the weights here."""
        layer = GeneratedLayer(
            self.shape, choice_from_code(self.choice.freeze(sample), allow_code=True), self.padding_mode
        )
        layer.start_from(self.weight.detach(), cast("torch.Tensor | None", self.original.bias))
        return layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.original(x)
        return out
