"""A training step of the supernet and of a child beside a plain one: time and peak memory, as ratios in one run.

    python benchmarks/training_step.py [--network vgg_small] [--batch 128] [--choices 12] [--steps 8]

Variants, each in a process of its own for the memory, in turns for the time: `plain` (nn.Conv2d), `child` (every layer
stacked, materialized), `supernet` (weights mixed, all choices of every layer, architecture gradients included) and
`feature maps` (the same choices mixed by their outputs: one convolution a choice). Images are 32x32.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from search_space.basis import Stacked
from search_space.budget import Budget
from search_space.layer import build_child, replace_module
from search_space.networks import build
from search_space.space import SearchSpace, SpaceSettings
from search_space.supernet import MixedLayer, MixWeights, Supernet
from search_space.trace import trace
from strategies.budgeted import BudgetedSpace
from strategies.frontier import frontier
from strategies.scores import log_capture

VARIANTS = ("plain", "child", "supernet", "feature maps")


class MapMixture(nn.Module):
    """What weight mixing replaces: every choice convolves, the outputs are mixed."""

    def __init__(self, layer: MixedLayer):
        super().__init__()
        self.layer, self.choices = layer, layer.choices

    @property
    def p(self) -> torch.Tensor:
        return self.layer.p

    @p.setter
    def p(self, value: torch.Tensor) -> None:
        self.layer.p = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer, total = self.layer, 0
        for i in range(len(layer.choices)):
            one = F.one_hot(torch.tensor(i), len(layer.choices)).float()
            weight = MixWeights.apply(layer.latent, layer.bank, one, layer.choices)
            if layer.shape.kind == "linear":
                out = F.linear(x, weight[:, :, 0, 0], layer.bias)
            else:
                shape = layer.shape
                out = F.conv2d(x, weight, layer.bias, shape.stride, shape.padding, shape.dilation, shape.groups)
            total = total + layer.p[i] * out
        return total


def make(variant: str, reference: str, choices: int) -> nn.Module:
    torch.manual_seed(0)
    network = build(reference, classes=10, in_channels=3)
    if variant == "plain":
        return network
    shape = trace(network, reference, (3, 32, 32), 10)
    searched = SearchSpace(shape, SpaceSettings(first=("int8",), last=("int8",)))
    prices = searched.prices
    least = prices.fixed_file_bytes + sum(int(row.min()) for row in prices.file_bytes)
    space = BudgetedSpace(searched, Budget(least + shape.weights // 64))  # about an eighth of a bit a weight
    scores = log_capture(space)
    if variant == "child":
        plan = space.plan(space.solve(scores))
        assert any(isinstance(choice, Stacked) for choice in plan.layers.values())
        return build_child(network, shape, plan, 0)
    kept = frontier(space, scores, choices)
    supernet = Supernet(
        network,
        shape,
        [[space.choices(i)[j] for j in row] for i, row in enumerate(kept)],
        [space.costs[i][row] for i, row in enumerate(kept)],
        space.capacity,
    )
    if variant == "feature maps":
        for name, layer in zip(supernet.names, supernet.layers, strict=True):
            replace_module(supernet.network, name, MapMixture(layer))
    return supernet


class Stepper:
    def __init__(self, variant: str, options: argparse.Namespace):
        self.model = make(variant, options.network, options.choices)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)
        self.x = torch.randn(options.batch, 3, 32, 32)
        self.y = torch.randint(10, (options.batch,))

    def __call__(self) -> float:
        start = time.perf_counter()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()
        return time.perf_counter() - start


def peak_bytes(variant: str, options: argparse.Namespace) -> int:
    """Peak resident memory of two steps in a fresh process, above what it held before the first."""
    arguments = ["--memory", variant, "--network", options.network, "--batch", str(options.batch)]
    arguments += ["--choices", str(options.choices)]
    shown = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)


def status_bytes(field: str) -> int:
    """VmRSS (resident now) or VmHWM (its peak) of this process."""
    with open("/proc/self/status") as stream:
        return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", stream.read())[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="vgg_small")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--choices", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--memory", choices=VARIANTS)
    options = parser.parse_args()
    if options.memory:
        before = status_bytes("VmRSS")
        step = Stepper(options.memory, options)
        step(), step()
        print(status_bytes("VmHWM") - before)
        return
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{options.network}, batch {options.batch}, 32x32, {options.choices} choices a layer where it has as many")
    steppers = {variant: Stepper(variant, options) for variant in VARIANTS}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for turn in range(options.steps + 1):
        for variant, step in steppers.items():
            seconds = step()
            if turn:
                times[variant].append(seconds)
    del steppers
    memory = {variant: peak_bytes(variant, options) for variant in VARIANTS}
    print(f"{'variant':14} {'ms a step':>10} {'ratio':>6} {'peak MB':>9} {'ratio':>6}")
    for variant in VARIANTS:
        ratio = statistics.median(np.array(times[variant]) / np.array(times["plain"]))
        milliseconds = 1e3 * statistics.median(times[variant])
        share = memory[variant] / memory["plain"]
        print(f"{variant:14} {milliseconds:10.0f} {ratio:6.2f} {memory[variant] / 1e6:9.0f} {share:6.2f}")


if __name__ == "__main__":
    main()
