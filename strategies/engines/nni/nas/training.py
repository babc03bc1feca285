"""How a supernet trains inside NNI's one-shot strategies: the project's data and recipe as a Lightning evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nni.nas.evaluator.pytorch import DataLoader, Lightning, LightningModule, Trainer
from torch import nn
from torch.utils.data import TensorDataset

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.normalization import to_input
from bankwise.trainers.augment import Augmentation
from bankwise.trainers.data import ImageData
from bankwise.trainers.device import chosen_device
from bankwise.trainers.loss import make_loss, training_loss
from bankwise.trainers.metric import find_metric
from bankwise.trainers.optimization import make_optimizer, make_schedule
from bankwise.trainers.precision import in_bfloat16
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.split import stratified_split


class RecipeModule(LightningModule):
    """A training step by `recipe` on a batch of uint8 images (B, C, H, W) and labels (B,). The recipe's `threads` and
    `channels_last` stay as they are."""

    def __init__(self, data: ImageData, recipe: Recipe, teacher: nn.Module | None = None):
        super().__init__()
        if recipe.distill and teacher is None:
            raise BankwiseError(f"recipe distill is {recipe.distill}: give a teacher to learn from, or set it to 0")
        self.recipe, self.flip = recipe, data.flip
        self.crop = recipe.crop(data.crop)
        self.normalization, self.own_loss = data.normalization, make_loss(recipe, data)
        # in a tuple: it is not trained
        self._teacher = (teacher.eval(),) if teacher is not None and recipe.distill else ()
        self.draws = torch.Generator().manual_seed(recipe.seed)
        self.metric = find_metric(recipe.metric, data.kind)
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []

    def to_input(self, pixels: torch.Tensor) -> torch.Tensor:
        return to_input(pixels, self.normalization)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model(x)
        return out

    def on_fit_start(self) -> None:
        for teacher in self._teacher:
            teacher.to(self.trainer.strategy.root_device)

    def on_fit_end(self) -> None:
        for teacher in self._teacher:
            teacher.cpu()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        pixels, labels = batch
        if self.recipe.augment:
            draws = Augmentation.draw(len(pixels), self.crop, self.flip, self.draws, pixels.device)
            pixels = draws.apply(pixels, torch.arange(len(pixels), device=pixels.device))
        images = self.to_input(pixels)
        teacher = self._teacher[0] if self._teacher else None
        loss = training_loss(self(images).float(), labels, self.recipe, images, teacher, self.own_loss)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> None:
        pixels, labels = batch
        self._validated.append((self(self.to_input(pixels)).float().cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """The recipe's metric of the whole split: not of every metric is it the mean over batches."""
        outputs, labels = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        self._validated.clear()
        self.log("val_acc", self.metric(outputs, labels), prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = make_optimizer(self.model, self.recipe)
        schedule = make_schedule(optimizer, self.recipe, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def evaluator(
    data: ImageData, recipe: Recipe, teacher: nn.Module | None = None, held_out: float = 0.0, **trainer: object
) -> Lightning:
    """NNI's Lightning evaluator for a one-shot strategy. `trainer` are further settings of Lightning's trainer.

    `held_out` is the share of the training images that a differentiable strategy trains its logits on; the others train
    the weights. 0: the validation split, which RandomOneShot only looks at.
    """
    x, y, apart = data.train_x, data.train_y, (data.val_x, data.val_y)
    if held_out:
        for_logits, rest = stratified_split(np.asarray(y), round(held_out * len(y)), recipe.seed)
        if not len(for_logits) or not len(rest):
            raise BankwiseError(f"held_out={held_out} of {len(y)} training images leaves no image on one side")
        x, y, apart = x[rest], y[rest], (x[for_logits], y[for_logits])
    on_cuda = chosen_device(recipe.device).type == "cuda"
    mixed = in_bfloat16(recipe.amp, "cuda" if on_cuda else "cpu")
    settings = {
        "max_epochs": recipe.epochs, "accelerator": "cuda" if on_cuda else "cpu", "devices": 1, "logger": False,
        "precision": "bf16-mixed" if mixed else "32-true", "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
    }  # fmt: skip
    return Lightning(
        RecipeModule(data, recipe, teacher),
        Trainer(**settings | trainer),
        train_dataloaders=_loader(x, y, recipe.batch, shuffle=True),
        val_dataloaders=_loader(*apart, recipe.batch, shuffle=held_out > 0),
    )


def _loader(x: torch.Tensor, y: torch.Tensor, batch: int, shuffle: bool) -> DataLoader:
    """Batches in the order of torch's random state; a rest of one image is left out: no batch norm trains on it."""
    return DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=shuffle, drop_last=len(y) % batch == 1 < len(y))
