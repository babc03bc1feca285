"""A loop of your own: any loss, any optimizer, any data; the file is as large as its plan says.

python examples/own_loop.py
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from bankwise import Child, load, plan, save
from bankwise.trainers.data import load_data


def main(path: str = "runs/own.bankwise", epochs: int = 30) -> float:
    torch.manual_seed(0)
    data = load_data("digits")  # any tensors would do
    x, y = data.to_input(data.train_x), data.train_y
    child = Child("tiny", plan("tiny", "900B").plan)
    optimizer = torch.optim.AdamW(child.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        child.train()
        for batch in torch.randperm(len(y)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(child(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
        child.eval()  # estimates the batch norms anew
    network = load(save(child, path))
    right = (network(data.to_input(data.val_x)).argmax(1) == data.val_y).float().mean().item()
    print(f"validation accuracy of the file: {100 * right:.2f} %")
    return right


if __name__ == "__main__":
    main(*sys.argv[1:2])
