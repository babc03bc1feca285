"""A search step of the shared-bank supernet beside one of NNI's DARTS over the same candidate layers.

    python benchmarks/nni_darts.py [--network vgg_small] [--batch 64] [--choices 12] [--steps 3]

Variants, each in a process of its own, which take their steps in turns:
`supernet`            the project's own, weights and architecture in one pass over a batch
`supernet in DARTS`   the same layers hooked into NNI's DARTS: a pass for the architecture, then one for the weights
`LayerChoice in DARTS` NNI's DARTS as it comes, over an nni LayerChoice of the children's layers: every choice has its
                      own parameters and convolves, the feature maps are mixed
The last two run in NNI's Lightning module by NNI's Classification evaluator (Adam); a step is what it does between
two batches. The processor's time is given too: others on the machine disturb it less. Memory is the peak of the process
above that before the network was made. Images are 32x32; the first and last layer have one choice, int8.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time

import torch

VARIANTS = ("supernet", "supernet in DARTS", "LayerChoice in DARTS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="vgg_small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--choices", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{options.network}, batch {options.batch}, 32x32, {options.choices} choices a layer where it has as many")
    workers = {variant: start(variant, options) for variant in VARIANTS}
    try:
        times: dict[str, list[list[float]]] = {variant: [] for variant in VARIANTS}
        for _ in range(options.steps + 1):  # the first one warms up
            for variant, worker in workers.items():
                worker.stdin.write("step\n")
                worker.stdin.flush()
                times[variant].append(read_line(worker))
        peaks = {variant: read_line(worker)[0] for variant, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    theirs = VARIANTS[-1]
    print(f"{'':21} {'ms a step':>10} {'faster':>7} {'processor ms':>13} {'faster':>7} {'peak MB':>9} {'share':>6}")
    for variant in VARIANTS:
        columns = []
        for slow, fast in zip(zip(*times[theirs][1:], strict=True), zip(*times[variant][1:], strict=True), strict=True):
            ratio = statistics.median(s / f for s, f in zip(slow, fast, strict=True))  # of the steps of one turn
            columns += [1e3 * statistics.median(fast), ratio]
        milliseconds, faster, processor, less = columns
        print(
            f"{variant:21} {milliseconds:10.0f} {faster:7.2f} {processor:13.0f} {less:7.2f} "
            f"{peaks[variant] / 1e6:9.0f} {peaks[variant] / peaks[theirs]:6.2f}"
        )


def start(variant: str, options: argparse.Namespace) -> subprocess.Popen:
    arguments = [f"--{name}={value}" for name, value in vars(options).items() if name != "worker"]
    return subprocess.Popen(
        [sys.executable, __file__, *arguments, "--worker", variant],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def read_line(worker: subprocess.Popen) -> list[float]:
    """The next numbers that a worker says; NNI and Lightning may talk in between."""
    for line in worker.stdout:
        if line.startswith("> "):
            return [float(number) for number in line[2:].split()]
    raise RuntimeError(f"{worker.args} ended early; run it by hand to see why")


class Turns:
    """Waits for the word to take a step, and says how many seconds it took, by the clock and of the processor."""

    def __enter__(self) -> None:
        if not sys.stdin.readline():
            sys.exit("the comparison has ended")
        self.start, self.used = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        print(f"> {time.perf_counter() - self.start} {time.process_time() - self.used}", flush=True)


def work(options: argparse.Namespace) -> None:
    from bankwise.strategies.engines.nni.nas import SharedBankLayer  # noqa: F401 - its imports belong to no variant

    torch.manual_seed(0)
    before = status_bytes("VmRSS")
    if options.worker == "supernet":
        run_supernet(options)
    else:
        run_darts(options)
    print(f"> {status_bytes('VmHWM') - before}", flush=True)
    sys.stdin.readline()


def efficient(options: argparse.Namespace):
    """A budgeted space of as many efficient choices a layer, and its network."""
    from bankwise.search_space.budget import Budget
    from bankwise.search_space.networks import build
    from bankwise.search_space.settings import SpaceSettings
    from bankwise.search_space.space import SearchSpace
    from bankwise.search_space.trace import trace
    from bankwise.strategies.budgeted import BudgetedSpace
    from bankwise.strategies.frontier import frontier
    from bankwise.strategies.scores import log_capture

    network = build(options.network, classes=10, in_channels=3)
    shape = trace(network, options.network, (3, 32, 32), 10)
    searched = SearchSpace(shape, SpaceSettings(first=("int8",), last=("int8",)))
    least = searched.prices.fixed_file_bytes + sum(int(row.min()) for row in searched.prices.file_bytes)
    budget = Budget(least + shape.weights // 64)  # about an eighth of a bit a weight
    space = BudgetedSpace(searched, budget)
    kept = frontier(space, log_capture(space), options.choices)
    return network, BudgetedSpace(searched.cut(kept), budget)


def run_supernet(options: argparse.Namespace) -> None:
    from bankwise.search_space.supernet import Supernet

    network, space = efficient(options)
    supernet = Supernet(network, space.space.shape, space.space.choices, space.costs, space.capacity)
    optimizer = torch.optim.Adam(supernet.parameters(), 1e-3)
    x, y = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))
    for _ in range(options.steps + 1):
        with Turns():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(supernet(x), y).backward()
            optimizer.step()


def run_darts(options: argparse.Namespace) -> None:
    from nni.nas.evaluator.pytorch import Classification, DataLoader
    from nni.nas.execution import SequentialExecutionEngine
    from nni.nas.nn.pytorch import LayerChoice, ModelSpace
    from nni.nas.space import RawFormatModelSpace
    from nni.nas.strategy import DARTS
    from pytorch_lightning import Callback
    from torch.utils.data import TensorDataset

    from bankwise.search_space.layer import GeneratedLayer, replace_module
    from bankwise.strategies.engines.nni.nas import BankSpace
    from bankwise.strategies.engines.nni.nas.source import SpaceSource

    class Candidates(ModelSpace):
        """Each layer an nni LayerChoice among the children's layers."""

        def __init__(self):
            super().__init__()
            self.network, space = efficient(options)
            for i, layer in enumerate(space.space.shape.layers):
                modules = {c.code().replace(".", "_"): GeneratedLayer(layer, c) for c in space.choices(i)}
                replace_module(self.network, layer.name, LayerChoice(modules, label=layer.name))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x)

    class TakesTurns(Callback):
        turns = Turns()

        def on_train_batch_start(self, *_: object) -> None:
            self.turns.__enter__()

        def on_train_batch_end(self, *_: object) -> None:
            self.turns.__exit__()

    if options.worker == "supernet in DARTS":
        space = BankSpace(source=SpaceSource.of(efficient(options)[1]).to_dict())
    else:
        space = Candidates()
    count = options.batch * (options.steps + 1)
    data = TensorDataset(torch.randn(count, 3, 32, 32), torch.randint(10, (count,)))
    evaluator = Classification(
        num_classes=10, train_dataloaders=DataLoader(data, batch_size=options.batch),
        val_dataloaders=DataLoader(data, batch_size=options.batch), max_epochs=1, callbacks=[TakesTurns()],
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    DARTS()(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())


def status_bytes(field: str) -> int:
    """VmRSS (resident now) or VmHWM (its peak) of this process."""
    with open("/proc/self/status") as stream:
        return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", stream.read())[1])


if __name__ == "__main__":
    main()
