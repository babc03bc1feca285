"""PyTorch Lightning trains a network of a plan, and a callback writes its file whenever the validation improves.

python examples/lightning_loop.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bankwise import Child, plan, save
from bankwise.trainers.data import load_data


class BestFile(lightning.Callback):
    """Writes the file of `module.child` where `monitor`, which is logged in validation, is the highest so far."""

    def __init__(self, path: str | Path, monitor: str = "accuracy"):
        self.path, self.monitor, self.best = path, monitor, -1.0

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        value = float(trainer.callback_metrics[self.monitor])
        if not trainer.sanity_checking and value > self.best:
            self.best = value
            save(module.child, self.path)


class Classifier(lightning.LightningModule):
    def __init__(self, child: Child):
        super().__init__()
        self.child = child  # its norms are estimated anew when Lightning calls eval()

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self.child(images), labels)

    def validation_step(self, batch: list[torch.Tensor], number: int) -> None:
        images, labels = batch
        self.log("accuracy", (self.child(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=4e-3)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main(path: str = "runs/lightning.bankwise", epochs: int = 30, **options: object) -> float:
    lightning.seed_everything(0)
    data = load_data("digits")
    train = DataLoader(TensorDataset(data.to_input(data.train_x), data.train_y), 100, shuffle=True)
    validation = DataLoader(TensorDataset(data.to_input(data.val_x), data.val_y), 500)
    best = BestFile(path)
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[best], **options)
    trainer.fit(Classifier(Child("tiny", plan("tiny", "900B").plan)), train, validation)
    print(f"best validation accuracy: {100 * best.best:.2f} %, {path}")
    return best.best


if __name__ == "__main__":
    main(*sys.argv[1:2])
