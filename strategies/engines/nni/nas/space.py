"""The search space as nni.nas sees it: a network whose every compressible layer is a labelled choice."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from nni.mutable import Sample
from nni.nas.nn.pytorch import ModelSpace
from torch import nn

from bankwise.search_space.layer import build_child, replace_module
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas.layer import BankLayer, Search
from bankwise.strategies.engines.nni.nas.source import SpaceSource
from bankwise.strategies.engines.nni.nas.supernet import SharedBankLayer
from bankwise.strategies.frontier import cut_to_frontier
from bankwise.strategies.scores import log_capture
from bankwise.trainers.task import Task


class BankSpace(ModelSpace):
    """All plans of `source` (a `SpaceSource` as a dict); `BankSpace.of` makes it for a task and a space.

    A sample within the budget freezes to its child network, one over it to the child of the plan nearest to it within
    the budget: no strategy of NNI trains a network that is too large. A child tells its plan in the attribute
    `bankwise_plan`.

    `task` gives the network and, where it has one, the teacher whose weights children and supernet start from; without
    it the network is built by its reference. NNI makes the space anew in the process of a trial, without the task.
    With `closed_form` the logits of a differentiable search start at the closed-form scores of the choices
    (`bankwise.strategies.scores.log_capture`), else at about zero.
    """

    def __init__(self, source: Mapping[str, Any], closed_form: bool = True, task: Task | None = None):
        super().__init__()
        read = SpaceSource(**source)
        network, shape = read.build() if task is None else (task.network, task.shape)
        teacher = None if task is None else task.teacher
        self.seed, self.budgeted = read.seed, read.space(shape)
        self._plain = (network, teacher)  # in a tuple: they are no modules of the space
        self.network = copy.deepcopy(network)
        if teacher is not None:
            self.network.load_state_dict(teacher.state_dict())
        rows = log_capture(self.budgeted) if closed_form else map(np.zeros, self.budgeted.sizes)
        start = dict(zip(self.budgeted.space.names, rows, strict=True))
        search = Search(self.budgeted, start, teacher is not None, read.seed)
        for layer in shape.layers:
            _replace(self.network, layer, search)

    @classmethod
    def of(
        cls, task: Task, space: BudgetedSpace, most: int | None = None, seed: int = 0, closed_form: bool = True
    ) -> BankSpace:
        """The plans of `space`, with about `most` efficient choices of each layer (`cut_to_frontier`), or with all."""
        source = SpaceSource.of(space if most is None else cut_to_frontier(space, most), seed)
        return cls(source=source.to_dict(), closed_form=closed_form, task=task)

    def save_init_arguments(self, *args: Any, **kwargs: Any) -> None:
        """What another process makes the space from: all but the task."""
        super().save_init_arguments(*args, **{name: value for name, value in kwargs.items() if name != "task"})

    @classmethod
    def create_fixed_module(
        cls, sample: Sample, source: Mapping[str, Any], closed_form: bool = True, task: Task | None = None
    ) -> nn.Module:
        """The child of the sample, made without the space: what the process of a trial does."""
        read = SpaceSource(**source)
        network, shape = read.build() if task is None else (task.network, task.shape)
        plan = _plan(read.space(shape), sample)
        return _told(build_child(network, shape, plan, read.seed, None if task is None else task.teacher), plan)

    @property
    def shape(self) -> NetworkShape:
        return self.budgeted.space.shape

    def plan(self, sample: Sample) -> Plan:
        """The plan that the sample freezes to, within the budget."""
        return _plan(self.budgeted, sample)

    def freeze(self, sample: Sample) -> nn.Module:
        """The child; of a supernet, with its shared weights. Its batch norm statistics are those of the supernet:
        estimate them anew for the child (`bankwise.trainers.evaluate.recalibrate`)."""
        self.validate(sample)
        plan = self.plan(sample)
        layers = {name: self.network.get_submodule(name) for name in plan.layers}
        if all(isinstance(layer, BankLayer) for layer in layers.values()):
            network, teacher = self._plain
            return _told(build_child(network, self.shape, plan, self.seed, teacher), plan)
        child = copy.deepcopy(self.network)
        for name, layer in layers.items():
            trained = cast(SharedBankLayer, layer)
            replace_module(child, name, trained.freeze({name: plan.layers[name].code()}))
        return _told(child, plan)

    def extra_oneshot_hooks(self, strategy: object) -> list[Any]:
        """NNI's one-shot strategies ask here how to turn the layers into those of a supernet."""
        return [SharedBankLayer.mutate]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(x)
        return out


def _plan(space: BudgetedSpace, sample: Mapping[str, Any]) -> Plan:
    """The sample may hold other labels besides the layers', such as those of an evaluator."""
    return space.plan(PlanEncoding(space).decode({name: sample[name] for name in space.space.names if name in sample}))


def _told(child: nn.Module, plan: Plan) -> nn.Module:
    told: Any = child
    told.bankwise_plan = plan
    return child


def _replace(network: nn.Module, layer: LayerShape, search: Search) -> None:
    """Put a BankLayer at every place of the layer: one each, since NNI sees a module once in each parent."""
    original = network.get_submodule(layer.name)
    for parent in list(network.modules()):
        for leaf in [leaf for leaf, child in parent._modules.items() if child is original]:
            setattr(parent, leaf, BankLayer(original, layer, search))
