"""A detector of compressed layers, trained from end to end: torchvision's SSD, digits on 64x64 pixels, mAP of the file.

python examples/detector.py                                  (two minutes on one core; needs bankwise[detection])
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from bankwise import Child, SpaceSettings, load, plan, save
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.trainers.data import load_data
from examples.scenes import SIDE, Scenes, make_scenes

torchvision = import_torchvision()  # as `import torchvision`, also beside a torch that is not of its kind
CLASSES = 11  # ten digits and the background
INPUT = (1, SIDE, SIDE)
SCALES = [0.18, 0.28, 0.40, 0.55]  # of default boxes, by the side of the image


class Backbone(nn.Sequential):
    """Maps of 16x16, 8x8 and 4x4 pixels."""

    def __init__(self, width: float = 1.0):
        a, b, c, d, e = (max(round(width * channels), 1) for channels in (16, 24, 48, 64, 96))
        super().__init__(
            OrderedDict(
                fine=nn.Sequential(_block(1, a, 2), _block(a, b, 2), _block(b, c)),
                middle=nn.Sequential(_block(c, d, 2), _block(d, d)),
                coarse=_block(d, e, 2),
            )
        )
        self.out_channels = [c, d, e]  # as SSD asks for it

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        maps = OrderedDict()
        for name, stage in self.named_children():
            x = maps[name] = stage(x)
        return maps


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def detector(width: float = 1.0) -> nn.Module:
    """SSD with a backbone of its own, `width` times as wide."""
    detection = torchvision.models.detection
    boxes = detection.anchor_utils.DefaultBoxGenerator([[2], [2], [2]], scales=SCALES)
    return detection.ssd.SSD(
        Backbone(width), boxes, (SIDE, SIDE), CLASSES, image_mean=[0.5], image_std=[0.5],
        score_thresh=0.02, topk_candidates=50, detections_per_img=20,
    )  # fmt: skip


def train(network: nn.Module, scenes: Scenes, epochs: int, seed: int = 0, lr: float = 1e-2, batch: int = 32) -> None:
    """A child, or the detector itself. In training it gives its losses by name."""
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(scenes.images) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(scenes.images), generator=generator).split(batch):
            optimizer.zero_grad()
            losses = network(*scenes.inputs(rows))
            sum(losses.values()).backward()
            optimizer.step()
            schedule.step()
    network.eval()  # a child estimates its batch norms anew


@torch.no_grad()
def score(network: nn.Module, scenes: Scenes, batch: int = 100) -> dict[str, float]:
    """COCO's average precision, 0 to 1: `map` over intersections of 0.5 to 0.95, `map_50` at 0.5."""
    from torchmetrics.detection import MeanAveragePrecision  # which imports torchvision

    metric = MeanAveragePrecision(backend="pycocotools")
    for rows in torch.arange(len(scenes.images)).split(batch):
        images, targets = scenes.inputs(rows)
        metric.update(network(images), targets)
    found = metric.compute()
    return {name: found[name].item() for name in ("map", "map_50")}


def main(path: str = "runs/detector.bankwise", epochs: int = 8, count: int = 2000) -> dict[str, float]:
    torch.manual_seed(0)
    data = load_data("digits")  # scenes of training and validation have no digit in common
    scenes = make_scenes(data.train_x, data.train_y, count, seed=0)
    held_out = make_scenes(data.val_x, data.val_y, count // 4, seed=1)
    network = detector()
    train(network, scenes, epochs)
    finer = SpaceSettings(vectors=("v8",))  # the biases of the heads place boxes
    child = Child(network, plan(network, "16KiB", space=finer, input_shape=INPUT, classes=CLASSES).plan)
    train(child, scenes, epochs)
    found = score(load(save(child, path), network=detector()), held_out)
    size = Path(path).stat().st_size
    print(f"validation mAP: {score(network, held_out)['map']:.3f} in float32, {found['map']:.3f} of {size:,} bytes")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
