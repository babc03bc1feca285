"""The loss of a training by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line
from bankwise.search_space.outputs import logits_of
from bankwise.trainers.data import ImageData
from bankwise.trainers.labels import CLASSES, LABELS, VALUES
from bankwise.trainers.metric import AUTO, users_function
from bankwise.trainers.recipe import LOSSES, Recipe

KINDS = dict(zip(LOSSES, (CLASSES, LABELS, VALUES), strict=True))  # of labels that each is for
BALANCED = "balanced"
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def training_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    images: torch.Tensor,
    teacher: nn.Module | None,
    own: Loss,
) -> torch.Tensor:
    """(1 - d) L + d T^2 KL(teacher || student) at temperature T (Hinton et al. 2015, section 2); L alone without a
    teacher, L being the loss `own` (`make_loss`). `logits` (N, classes) are float, of `images` (N, C, H, W)."""
    loss = own(logits, labels)
    if teacher is None:
        return loss
    weight, temperature = recipe.distill, recipe.temperature
    with torch.no_grad():
        taught = logits_of(teacher(images))
        assert taught is not None  # as the student's
        taught = functional.log_softmax(taught.float() / temperature, 1)
    student = functional.log_softmax(logits / temperature, 1)
    divergence = functional.kl_div(student, taught, reduction="batchmean", log_target=True)
    return (1 - weight) * loss + weight * temperature**2 * divergence


def make_loss(recipe: Recipe, data: ImageData) -> Loss:
    """The recipe's loss of outputs float32 (N, outputs) and labels, a mean over the images, for the data's labels.

    Raises BankwiseError for a loss of other labels, and for what the recipe says that its loss does not take: class
    weights, label smoothing, a teacher's classes.
    """
    kind = data.kind
    usual = {kinds: name for name, kinds in KINDS.items()}
    name = usual[kind] if recipe.loss == AUTO else recipe.loss
    if recipe.distill and kind != CLASSES:
        raise BankwiseError(f"recipe distill is {recipe.distill}: a teacher teaches classes, and labels are {kind}")
    if recipe.label_smoothing and name != "cross-entropy":
        raise BankwiseError(
            f"recipe label_smoothing is {recipe.label_smoothing}: only cross-entropy has it, not {name}"
        )
    if recipe.class_weights is not None and name not in ("cross-entropy", "bce"):
        raise BankwiseError(f"recipe class_weights is for cross-entropy and bce, not for {name}")
    if ":" in name:
        return _Users(name)
    if KINDS[name] != kind:
        raise BankwiseError(f"loss {name!r} is for labels that are {KINDS[name]}, not {kind}: use {usual[kind]}")
    weights = class_weights(recipe, data)
    if name == "mse":
        return functional.mse_loss
    if name == "bce":
        return partial(_bce, weights=weights)
    return partial(_cross_entropy, weights=weights, smoothing=recipe.label_smoothing)


def class_weights(recipe: Recipe, data: ImageData) -> torch.Tensor | None:
    """The recipe's weight of each class or label, float32 (classes,).

    "balanced": N / (classes n) for a class with n of the N training images (King & Zeng 2001, as scikit-learn has it),
    so that all classes weigh alike; of labels, the images without it over those with it, for those with it.
    """
    if recipe.class_weights is None:
        return None
    labels = data.train_y
    if recipe.class_weights == BALANCED:
        if data.kind == CLASSES:
            counts = torch.bincount(labels, minlength=data.classes).clamp(min=1)
            return len(labels) / (data.classes * counts.float())
        there = labels.float().sum(0).clamp(min=1)
        return (len(labels) - there) / there
    weights = torch.tensor([float(part) for part in recipe.class_weights.split(",")])
    if len(weights) != data.classes:
        raise BankwiseError(
            f"recipe class_weights has {len(weights)} weights, and there are {data.classes} {data.kind}"
        )
    return weights


def _cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """The mean over the images, not over the weights: so that a batch may be shared out."""
    if weights is None:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    weights = weights.to(logits.device)
    return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing, reduction="none").mean()


def _bce(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    weights = None if weights is None else weights.to(logits.device)
    return functional.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weights)


class _Users:
    """A user's own loss."""

    def __init__(self, name: str):
        self.name, self.function = name, users_function("loss", name)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        try:
            loss = self.function(logits, labels)
        except BankwiseError:
            raise
        except Exception as error:  # whatever it raises
            raise BankwiseError(f"loss {self.name!r} failed: {error_line(error)}") from error
        if not isinstance(loss, torch.Tensor) or loss.dim() or not loss.requires_grad and logits.requires_grad:
            given = f"a tensor {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            given = "a number that no weight changes" if given == "a tensor ()" else given
            raise BankwiseError(f"loss {self.name!r} gives {given}, must give one number, a mean over the images")
        return loss
