"""Time of the exact solver, beside HiGHS on the same problems in the same run: `python benchmarks/solver.py`.

Median and largest milliseconds over instances and budgets of 2 KiB to 2 MiB above the cheapest plan. Kinds of problem:

prices       byte prices of stacked layers, random choices of (k, s, split), scores weighted log rate
concave      random costs, score near the logarithm of cost
random       random costs and scores
correlated   score within 10 % of cost
equal        score = cost: a subset sum, every bound is the same
unreachable  score = cost, all but one layer's costs multiples of 16: no bound proves anything, states are only counted;
             HiGHS is left out, it does not end within minutes
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from bankwise.strategies.solver import Problem, Solution, solve, solve_many

TARGETS = {20: 30.0, 100: 200.0}  # layers -> milliseconds, at 90 choices a layer
KINDS = ("prices", "concave", "random", "correlated", "equal", "unreachable")
SPARE = tuple(2**power for power in (11, 13, 15, 17, 19, 21))


def stacked_layer(rng: np.random.Generator, choices: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (k s t bits of bank, log2 k bits an index) and log rate (log2 k / (s t)) of random choices of a layer."""
    n, c = int(rng.choice([32, 64, 96, 128, 192, 256, 512])), int(rng.choice([32, 64, 128, 256]))
    bytes_, rates = [], []
    for s in (2**power for power in range(int(math.log2(c)) + 1)):
        for taps in (9, 3, 1):
            for bits in range(1, 10):
                slots = n * (c // s) * (9 // taps)
                bytes_.append(-(-(s * taps << bits) // 8) - (-slots * bits // 8) + 4)
                rates.append(math.log(bits / (s * taps)))
    picked = rng.permutation(len(bytes_))[:choices]
    return np.array(bytes_)[picked], np.array(rates)[picked] * np.exp(rng.normal(0, 0.5))


def instance(kind: str, layers: int, choices: int, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    if kind == "prices":
        costs, scores = zip(*(stacked_layer(rng, choices) for _ in range(layers)), strict=True)
        return Problem(costs, scores)
    costs = [rng.integers(1, int(size), choices) for size in np.exp(rng.uniform(6, 11, layers))]
    if kind == "unreachable":
        costs = [row // 16 * 16 for row in costs]
        costs[0] = costs[0] + rng.integers(0, 2, choices)
    score: Callable[[np.ndarray], np.ndarray] = {
        "concave": lambda row: np.log(row + 10) * rng.uniform(0.2, 3) + rng.normal(0, 0.02, choices),
        "random": lambda row: rng.random(choices),
        "correlated": lambda row: row * rng.uniform(0.9, 1.1, choices),
    }.get(kind, lambda row: row.astype(float))
    return Problem(tuple(costs), tuple(score(row) for row in costs))


def timed(call: Callable[[], Solution]) -> tuple[float, Solution]:
    start = time.perf_counter()
    solution = call()
    return 1e3 * (time.perf_counter() - start), solution


def row(kind: str, layers: int, choices: int, instances: int) -> str:
    ours: list[float] = []
    ratios: list[float] = []
    for seed in range(instances):
        problem = instance(kind, layers, choices, seed)
        least, most = (sum(int(end(costs)) for costs in problem.costs) for end in (np.min, np.max))
        budgets = [(least + spare) // 16 * 16 + 7 for spare in SPARE if least + spare < most]
        for i, budget in enumerate(budgets):
            took, solution = timed(lambda p=problem, b=budget: solve(p, b))
            ours.append(took)
            if seed == 0 and i % 2 and kind != "unreachable":
                other, highs = timed(lambda p=problem, b=budget: solve_many(p, [b]))
                ratios.append(other / took)
                if not math.isclose(solution.score, highs.score, rel_tol=1e-7):
                    raise SystemExit(f"{kind}, {layers} layers, {budget} bytes: {solution.score} and {highs.score}")
    against = f"{np.median(ratios):9.1f} x" if ratios else "          -"
    return f"{layers:6d} {kind:12} {np.median(ours):10.1f} {max(ours):9.1f} {TARGETS[layers]:9.0f} {against}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=5, help="problems of each kind and size")
    parser.add_argument("--choices", type=int, default=90, help="choices a layer")
    options = parser.parse_args()
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{options.choices} choices a layer, {options.instances} problems a kind, milliseconds")
    print("layers kind             median   largest    target  HiGHS takes")
    for layers in TARGETS:
        for kind in KINDS:
            print(row(kind, layers, options.choices, options.instances), flush=True)


if __name__ == "__main__":
    main()
