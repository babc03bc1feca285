"""Plans priced per second: the vectorized table against one plan at a time. Run: python benchmarks/price.py"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import torch

from bankwise.search_space.networks import build
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace

REPEATS = 5


def seconds(task: Callable[[], object]) -> float:
    """The shortest of several runs, so that what else the machine does counts least."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--plans", type=int, default=100_000)
    parser.add_argument("--one-by-one", type=int, default=200, help="plans priced one at a time")
    options = parser.parse_args()

    with torch.device("meta"):
        network = build(options.network, classes=10, in_channels=3)
    shape = trace(network, options.network, (3, 32, 32), 10)
    start = time.perf_counter()
    space = SearchSpace(shape)
    table = space.prices
    built = time.perf_counter() - start

    sizes = np.array(space.sizes)
    indices = np.random.default_rng(0).integers(0, sizes, (options.plans, len(sizes)))
    few = [space.plan(row) for row in indices[: options.one_by_one]]
    assert table.plan_file_bytes(indices[: len(few)]).tolist() == [price(shape, plan).file_bytes for plan in few]

    vectorized = options.plans / seconds(lambda: table.plan_file_bytes(indices))
    single = len(few) / seconds(lambda: [price(shape, plan) for plan in few])
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(
        f"{options.network}: {len(sizes)} layers, {sizes.sum():,} choices, {np.log10(sizes).sum():.0f} digits of plans"
    )
    print(f"space and table built in    {1000 * built:12,.0f} ms")
    print(f"table, {options.plans:,} plans at once {vectorized:12,.0f} plans/s")
    print(f"price(), one at a time      {single:12,.0f} plans/s")
    print(f"ratio                       {vectorized / single:12,.0f}")


if __name__ == "__main__":
    main()
