"""Time of a proposal after many trials, strategy by strategy: `python benchmarks/proposals.py [STRATEGY ...]`.

ResNet-20 on 32x32 images, 22 layers of up to 90 choices, 16 KiB. Each strategy is asked and told made-up results:
median and largest milliseconds of processor time of an ask and its tell, over the last 20.
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import shape_of
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.scores import total, weighted_capture

NAMES = ("random", "evolution", "tpe", "thompson")
ASKED = 20


def make_space(choices: int) -> BudgetedSpace:
    """The network's space, of each layer as many choices, drawn once; the cheapest is kept."""
    whole = BudgetedSpace(SearchSpace(shape_of("resnet20", (3, 32, 32), 10)), Budget(16 * 1024))
    rng = np.random.default_rng(0)
    rows = []
    for costs in whole.costs:
        drawn = rng.permutation(len(costs))[: choices - 1]
        rows.append(np.union1d(drawn, [int(costs.argmin())]))
    return whole.cut(rows)


def measure(name: str, space: BudgetedSpace, trials: int) -> tuple[float, float]:
    """Median and largest milliseconds of an ask and its tell."""
    rng, scores = np.random.default_rng(1), weighted_capture(space)
    strategy = make_strategy(name, space)

    def accuracy(indices: np.ndarray) -> float:
        return float(1 / (1 + np.exp(-total(scores, indices) / 20 - 1 - rng.normal(0, 0.1))))

    times = []
    for _ in range(trials + ASKED):
        begin = time.process_time()
        plan = strategy.ask()
        took = time.process_time() - begin
        result = {"accuracy": accuracy(space.indices(plan))}
        begin = time.process_time()
        strategy.tell(plan, result)
        times.append(1e3 * (took + time.process_time() - begin))
    return float(np.median(times[-ASKED:])), max(times[-ASKED:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("strategies", nargs="*", default=NAMES, help=f"default: {' '.join(NAMES)}")
    parser.add_argument("--trials", type=int, default=1000, help="trials before those that are timed")
    parser.add_argument("--choices", type=int, default=90, help="choices a layer")
    options = parser.parse_args()
    space = make_space(options.choices)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")
    print(f"{len(space.sizes)} layers of up to {max(space.sizes)} choices, {options.trials:,} trials before")
    print("strategy       median  largest, ms")
    for name in options.strategies:
        median, largest = measure(name, space, options.trials)
        print(f"{name:12} {median:8.1f} {largest:8.1f}", flush=True)


if __name__ == "__main__":
    main()
