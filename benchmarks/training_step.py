"""A training step of the supernet and of a child beside a plain one: time and peak memory, as ratios in one run.

    python benchmarks/training_step.py [--network vgg_small] [--batch 128] [--choices 12] [--steps 8] [--amp]

Variants, each in a process of its own for the memory, in turns for the time: `plain` (nn.Conv2d), `child` (every layer
stacked, materialized), `child, 4-bit norms` (the same with scales and shifts in 4 bits, which trainings round),
`supernet` (weights mixed, all choices of every layer, architecture gradients included) and `feature maps` (the same
choices mixed by their outputs: one convolution a choice). Images are 32x32. Times are the processor's, of one thread:
other work on the machine does not count. With --amp steps are in bfloat16, as `amp: auto` has them where the processor
multiplies it, and so is the yardstick, which is then about half as long. Last come what a batch costs before the step:
its images picked, cropped and mirrored, as a share of the plain step.
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

from bankwise.search_space.budget import Budget
from bankwise.search_space.families import Stacked
from bankwise.search_space.layer import build_child, replace_module
from bankwise.search_space.networks import build
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.supernet import MixedLayer, MixWeights, Supernet
from bankwise.search_space.trace import trace
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.frontier import frontier
from bankwise.strategies.scores import log_capture
from bankwise.trainers.augment import Augmentation

COARSE = "child, 4-bit norms"
VARIANTS = ("plain", "child", COARSE, "supernet", "feature maps")


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
    vectors = ("v4",) if variant == COARSE else None
    searched = SearchSpace(shape, SpaceSettings(first=("int8",), last=("int8",), vectors=vectors))
    prices = searched.prices
    least = prices.fixed_file_bytes + sum(int(row.min()) for row in prices.file_bytes)
    space = BudgetedSpace(searched, Budget(least + shape.weights // 64))  # about an eighth of a bit a weight
    scores = log_capture(space)
    if variant in ("child", COARSE):
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
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3, fused=True)
        self.x = torch.randn(options.batch, 3, 32, 32)
        self.y = torch.randint(10, (options.batch,))
        self.amp = options.amp
        nn.utils.convert_conv2d_weight_memory_format(self.model, torch.channels_last)
        self.x = self.x.contiguous(memory_format=torch.channels_last)

    def __call__(self) -> float:
        start = time.process_time()
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.amp):
            loss = F.cross_entropy(self.model(self.x).float(), self.y)
        loss.backward()
        self.optimizer.step()
        return time.process_time() - start


class Augmenter:
    """Picks, crops and mirrors a batch of uint8 images."""

    def __init__(self, options: argparse.Namespace, count: int = 10_000):
        self.pixels, self.draws = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8), torch.Generator()
        self.drawn, self.batch = Augmentation.draw(count, 4, True, self.draws), options.batch

    def __call__(self) -> float:
        batch = torch.randperm(len(self.pixels), generator=self.draws)[: self.batch]
        start = time.process_time()
        self.drawn.apply(self.pixels.index_select(0, batch), batch)
        return time.process_time() - start


def peak_bytes(variant: str, options: argparse.Namespace) -> int:
    """Peak resident memory of two steps in a fresh process, above that before the first."""
    arguments = ["--memory", variant, "--network", options.network, "--batch", str(options.batch)]
    arguments += ["--choices", str(options.choices), *(["--amp"] if options.amp else [])]
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
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--memory", choices=VARIANTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        before = status_bytes("VmRSS")
        step = Stepper(options.memory, options)
        step(), step()
        print(status_bytes("VmHWM") - before)
        return
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{options.network}, batch {options.batch}, 32x32, {'bfloat16' if options.amp else 'float32'}, "
        f"{options.choices} choices a layer where it has as many"
    )
    steppers = {variant: Stepper(variant, options) for variant in VARIANTS}
    augment = Augmenter(options)
    times: dict[str, list[float]] = {variant: [] for variant in (*VARIANTS, "augmentation")}
    for turn in range(options.steps + 1):
        for variant, step in {**steppers, "augmentation": augment}.items():
            seconds = step()
            if turn:
                times[variant].append(seconds)
    del steppers
    memory = {variant: peak_bytes(variant, options) for variant in VARIANTS}
    print(f"{'variant':18} {'ms a step':>10} {'ratio':>6} {'peak MB':>9} {'ratio':>6}")
    for variant in VARIANTS:
        ratio = statistics.median(np.array(times[variant]) / np.array(times["plain"]))
        milliseconds = 1e3 * statistics.median(times[variant])
        share = memory[variant] / memory["plain"]
        print(f"{variant:18} {milliseconds:10.0f} {ratio:6.2f} {memory[variant] / 1e6:9.0f} {share:6.2f}")
    share = statistics.median(np.array(times["augmentation"]) / np.array(times["plain"]))
    print(f"a batch picked, cropped and mirrored: {share:.1%} of the plain step")


if __name__ == "__main__":
    main()
