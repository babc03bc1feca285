"""What a training will do, done once before it: no network fails behind the first hours, or is packed as another."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.layer import build_child
from bankwise.search_space.outputs import described, logits_of
from bankwise.search_space.packed import check_packed
from bankwise.search_space.plan import Plan
from bankwise.search_space.state import check_kept, check_outputs, check_rebuilt, check_unchanged, unstored
from bankwise.search_space.strides import sliced_strides
from bankwise.trainers.data import ImageData
from bankwise.trainers.device import chosen_device
from bankwise.trainers.layout import layout
from bankwise.trainers.loss import make_loss
from bankwise.trainers.metric import find_metric
from bankwise.trainers.precision import in_bfloat16
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import Task

IMAGES = 2  # as few as batch norm trains on


def rehearse(task: Task, plan: Plan) -> Recipe:
    """The task's recipe as its network can be trained by it: with `channels_last` off where the network or a child of
    `plan` fails on maps in that layout.

    The network and the child go forward and backward on two images, and the child is packed and read back. What no
    file holds must be the same in another build of the network (`search_space.state`).

    Raises:
        BankwiseError: where any of these fails, or the recipe's device is not there, in one line.
    """
    chosen_device(task.recipe.device)
    check_kept(task.network, task.shape)
    if task.module is None:
        check_rebuilt(task.network, task.shape)
    child = build_child(task.network, task.shape, plan, 0)
    recipe = task.recipe
    for model in (task.network, child):
        recipe = _trained(model, task, recipe)
    check_packed(child, child, task.shape, plan, _few(task.data)[0], task.module)
    return recipe


def _trained(model: nn.Module, task: Task, recipe: Recipe) -> Recipe:
    """The recipe in whose layout a copy of `model` can be trained."""
    try:
        _step(copy.deepcopy(model), task, recipe.channels_last)
        return recipe
    except BankwiseError:
        raise
    except Exception as error:  # whatever a user's forward pass raises
        failure = error
    if recipe.channels_last:
        try:
            _step(copy.deepcopy(model), task, False)
            return dataclasses.replace(recipe, channels_last=False)
        except BankwiseError:
            raise
        except Exception as error:  # as above
            failure = error
    raise BankwiseError(
        f"network {task.shape.network!r} cannot be trained with its layers replaced: {error_line(failure)}"
        if model is not task.network
        else f"network {task.shape.network!r} cannot be trained: {error_line(failure)}"
    ) from failure


def _step(model: nn.Module, task: Task, channels_last: bool) -> None:
    """One forward and backward pass as in training, and one forward pass as in validation."""
    fresh, model = copy.deepcopy(model).cpu(), model.cpu()
    images, labels = _few(task.data)
    before = unstored(model, task.shape)
    with torch.random.fork_rng(devices=[]), layout(model, channels_last), sliced_strides(model):
        torch.manual_seed(0)
        for training in (True, False):
            model.train(training)
            maps = images.contiguous(memory_format=torch.channels_last) if training and channels_last else images
            with torch.autocast("cpu", torch.bfloat16, enabled=training and in_bfloat16(task.recipe.amp, "cpu")):
                output = model(maps)
            logits = logits_of(output)
            if logits is None or logits.shape != (len(images), task.data.classes):
                raise BankwiseError(
                    f"network {task.shape.network!r} gives {described(output)} "
                    f"{'in training' if training else 'in evaluation'}, "
                    f"expected logits {(len(images), task.data.classes)}"
                )
            if training:
                make_loss(task.recipe, task.data)(logits.float(), labels).backward()
            else:
                find_metric(task.recipe.metric, task.data.kind)(logits.detach().float(), labels)
    check_unchanged(model, task.shape, before, "changes in training")
    what = "a training changes its outputs beside its parameters"
    check_outputs(model, fresh, task.shape, images, before, what)


def _few(data: ImageData) -> tuple[torch.Tensor, torch.Tensor]:
    picks = torch.arange(IMAGES) % len(data.train_y)
    return data.to_input(data.train_x[picks]), data.train_y[picks]
