"""A search on many workers by a simulated clock: the strategy's own work is done and timed, the trials are not."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from results.scale.landscape import Landscape
from strategies.base import Strategy


@dataclass(frozen=True)
class Course:
    """`hours` at which trials ended, `regret` of the plan held best then (accuracy, 0 to 1); the seconds that the
    driver spent in ask and tell; the share of the workers' time that trials filled."""

    hours: np.ndarray
    regret: np.ndarray
    driver_seconds: float
    busy: float


def run(
    strategy: Strategy, landscape: Landscape, workers: int, trials: int, seconds: tuple[float, float], seed: int
) -> Course:
    """`trials` trials on `workers` workers. A trial takes log-normal time of mean and standard deviation `seconds`.

    One driver serves the workers in turn: each ask and tell takes the CPU time that it really took here, and those who
    come meanwhile wait.
    """
    rng = np.random.default_rng(seed)
    mean, deviation = seconds
    sigma = np.sqrt(np.log1p((deviation / mean) ** 2))
    durations = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, trials)
    free = driver = 0.0  # when the driver is free; its work in all
    running: list[tuple[float, int, object]] = []
    begun, hours, regret = 0, [], []
    held, held_regret = -np.inf, np.nan

    def serve(now: float, work) -> object:
        nonlocal free, driver
        start = time.process_time()
        value = work()
        took = time.process_time() - start
        free, driver = max(free, now) + took, driver + took
        return value

    def begin(now: float) -> None:
        nonlocal begun
        if begun < trials and (plan := serve(now, strategy.ask)) is not None:
            heapq.heappush(running, (free + durations[begun], begun, plan))
            begun += 1

    for _ in range(min(workers, trials)):
        begin(0.0)
    while running:
        now, _, plan = heapq.heappop(running)
        indices = landscape.space.indices(plan)
        seen = landscape.truth(indices) + rng.normal(0, landscape.noise)
        serve(now, partial(strategy.tell, plan, {"accuracy": seen}))
        if seen > held:
            held, held_regret = seen, landscape.optimum - landscape.truth(indices)
        hours.append(now / 3600)
        regret.append(held_regret)
        begin(now)
    filled = durations[:begun].sum() / (workers * hours[-1] * 3600)
    return Course(np.array(hours), np.array(regret), driver, float(filled))
