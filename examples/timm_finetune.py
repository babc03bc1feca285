"""A network of timm, from its pretrained weights to a file of the planned bytes, with timm's own loss and optimizer.

python examples/timm_finetune.py
"""

from __future__ import annotations

import sys

import timm
import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2

from bankwise import Child, load, plan, save
from bankwise.trainers.data import load_data


def main(
    path: str = "runs/timm.bankwise", name: str = "mobilenetv2_050", pretrained: bool = True, epochs: int = 20
) -> float:
    torch.manual_seed(0)
    data = load_data("digits")  # any images of your own, such as imagefolder:PATH
    x, y = (torch.nn.functional.interpolate(data.to_input(data.train_x), scale_factor=4), data.train_y)
    network = timm.create_model(name, pretrained=pretrained, num_classes=data.classes, in_chans=1)
    child = Child(network, plan(network, "10x", input_shape=tuple(x.shape[1:]), classes=data.classes).plan)
    optimizer = create_optimizer_v2(child, opt="adamw", lr=2e-3, weight_decay=0.01)
    loss = LabelSmoothingCrossEntropy(0.1)
    for _ in range(epochs):
        child.train()
        for batch in torch.randperm(len(y)).split(100):
            optimizer.zero_grad()
            loss(child(x[batch]), y[batch]).backward()
            optimizer.step()
        child.eval()  # estimates the batch norms anew
    file = load(save(child, path), network=network)
    images = torch.nn.functional.interpolate(data.to_input(data.val_x), scale_factor=4)
    right = (file(images).argmax(1) == data.val_y).float().mean().item()
    print(f"validation accuracy of the file: {100 * right:.2f} %")
    return right


if __name__ == "__main__":
    main(*sys.argv[1:3])
