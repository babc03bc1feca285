"""Training steps in bfloat16 beside float32 on this CPU, in one run; with --accuracy also what trainings end with.

    python benchmarks/precision.py [--threads 1] [--accuracy --data-root DATA --images 10000 --epochs 5 --seeds 3]
    python benchmarks/precision.py --evaluation --data-root DATA

The time is that of forward, backward and optimizer, in turns. The accuracies, on the validation split, are of the
uncompressed network `small` on CIFAR-10 and of a child of it at 4 KiB that starts from it. With --evaluation, alone,
trained networks are evaluated in bfloat16 beside float32: their logits, their accuracies, the processor's time.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time

import torch
from torch.nn import functional as F

from bankwise.planning import solve
from bankwise.search_space.networks import build
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import predict
from bankwise.trainers.loop import train
from bankwise.trainers.precision import in_bfloat16
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial

NETWORKS = (("tiny", 1, 8, 100), ("small@0.25", 1, 28, 100), ("small", 3, 32, 100), ("resnet20", 3, 32, 50),
            ("vgg_small", 3, 32, 20))  # fmt: skip


class Stepper:
    def __init__(self, name: str, channels: int, size: int, batch: int, amp: bool):
        self.amp = amp
        self.network = build(name, classes=10, in_channels=channels).to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-3)
        self.x = torch.randn(batch, channels, size, size).contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(10, (batch,))

    def __call__(self) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.amp):
            loss = F.cross_entropy(self.network(self.x).float(), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - start


def speed(steps: int) -> None:
    print(f"{'network':12} {'float32, ms an image':>22} {'bfloat16':>10} {'ratio':>6}")
    for name, channels, size, batch in NETWORKS:
        steppers = [Stepper(name, channels, size, batch, amp) for amp in (False, True)]
        turns = [[step() for step in steppers] for _ in range(steps + 2)][2:]
        plain, half = (1e3 * statistics.median(column) / batch for column in zip(*turns, strict=True))
        ratio = statistics.median(b / a for a, b in turns)
        print(f"{name:12} {plain:22.3f} {half:10.3f} {ratio:6.2f}", flush=True)


def accuracy(options: argparse.Namespace) -> None:
    data = load_data("cifar10", root=options.data_root, limit=options.images)
    print(f"{'seed':>4} {'amp':>4} {'uncompressed %':>15} {'child %':>8} {'seconds':>8}")
    for seed in range(options.seeds):
        for amp in ("off", "on"):
            start = time.perf_counter()
            recipe = Recipe(epochs=options.epochs, seed=seed, amp=amp, threads=options.threads)
            task = make_task("small", data, recipe)
            plain = train(task.network, data, recipe)[-1].accuracy
            task = dataclasses.replace(task, teacher=task.network.eval().requires_grad_(False))
            child = run_trial(task, solve(task.shape, "4KiB"), recipe).accuracy
            seconds = time.perf_counter() - start
            print(f"{seed:4} {amp:>4} {100 * plain:15.2f} {100 * child:8.2f} {seconds:8.0f}", flush=True)


def evaluation(options: argparse.Namespace) -> None:
    heads = f"{'float32 %':>10} {'bfloat16 %':>11} {'other answers %':>16} {'logits moved %':>15} {'time':>5}"
    print(f"{'network':12} {'data':14} {heads}")
    for name, data_name in (("small@0.25", "fashion-mnist"), ("small", "fashion-mnist"), ("small", "cifar10")):
        data = load_data(data_name, root=options.data_root, limit=options.images, validation=1 / 2)
        network = make_task(name, data, Recipe()).network
        train(network, data, Recipe(epochs=2, threads=options.threads))
        times, logits = [], []
        for amp in (False, True):
            start = time.process_time()
            logits.append(predict(network, data.val_x, amp=amp))
            times.append(time.process_time() - start)
        answers = [one.argmax(1) for one in logits]
        plain, half = (100 * float((one == data.val_y).float().mean()) for one in answers)
        others = 100 * float((answers[0] != answers[1]).float().mean())
        moved = 100 * float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())
        ratio = times[1] / times[0]
        print(
            f"{name:12} {data_name:14} {plain:10.2f} {half:11.2f} {others:16.2f} {moved:15.2f} {ratio:5.2f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--evaluation", action="store_true")
    parser.add_argument("--data-root")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, {options.threads} thread(s), torch {torch.__version__}")
    print(f"amp auto is bfloat16 here: {in_bfloat16('auto', 'cpu')}")
    if options.evaluation:
        evaluation(options)
        return
    speed(options.steps)
    if options.accuracy:
        accuracy(options)


if __name__ == "__main__":
    main()
