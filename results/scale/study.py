"""What a trial costs, and what a search on up to 1,000 workers gains: measured trials, simulated clock.

    python results/scale/study.py --data-root DATA        (about 15 minutes on 2 cores)

Trials: network `small`, 12,000 CIFAR-10 training images of which 1/6 validate, 2 epochs, plans of 4 KiB, one CPU each;
their time, memory and what travels over the network are measured. Then strategies run 2,000 trials each by a simulated
clock (simulation.py) on a landscape fitted to measured trainings (landscape.py). Writes costs.md, table.md and
regret.png.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from results.jobs import run_jobs
from results.scale.landscape import fit, small_space
from results.scale.simulation import run
from strategies import make_strategy
from trainers.data import load_data
from trainers.recipe import Recipe
from trainers.task import make_task
from trainers.trial import run_trial

HERE = Path(__file__).resolve().parent
BUDGET, IMAGES, EPOCHS = "4KiB", 12_000, 2
STRATEGIES, WORKERS = ("random", "evolution", "tpe"), (1, 10, 100, 1000)
TRIALS, SEEDS, MEASURED = 2000, 3, 6
MARKS = (100, 500, TRIALS)  # trials after which the table gives the regret


def measure(root: str, seed: int) -> dict:
    """One trial in this process: CPU seconds, peak resident bytes, bytes of what a worker gets and sends."""
    recipe = Recipe(epochs=EPOCHS, threads=1, seed=seed)
    task = make_task("small", load_data("cifar10", root=Path(root), limit=IMAGES), recipe)
    space = small_space(BUDGET)
    plan = space.plan(space.sample(np.random.default_rng(seed)))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        before = time.process_time()
        result = run_trial(task, plan, recipe, checkpoint=checkpoint)
        return {
            "cpu_seconds": time.process_time() - before,
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "task_bytes": len(pickle.dumps(task)),
            "plan_bytes": len(json.dumps(plan.to_dict())),
            "checkpoint_bytes": EPOCHS * checkpoint.stat().st_size,
            "result_bytes": len(json.dumps(result.metrics())),
        }


def measured_in_own_process(root: str, seed: int) -> dict:
    shown = subprocess.run(
        [sys.executable, __file__, "--data-root", root, "--measure", str(seed)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(shown.stdout)


def simulate(name: str, workers: int, seed: int, mean: float, deviation: float) -> dict:
    landscape = fit(seed)
    strategy = make_strategy(name, landscape.space, seed)
    course = run(strategy, landscape, workers, TRIALS, (mean, deviation), seed)
    return {
        "hours": course.hours.tolist(),
        "regret": course.regret.tolist(),
        "driver_seconds": course.driver_seconds,
        "busy": course.busy,
    }


def costs_table(costs: list[dict]) -> str:
    rows = [
        ("CPU time, one thread", "cpu_seconds", 1, "s"),
        ("peak memory of the process", "peak_bytes", 2**20, "MiB"),
        ("network, once a node: task (images, network)", "task_bytes", 2**20, "MiB"),
        ("network: plan", "plan_bytes", 2**10, "KiB"),
        ("network: checkpoints of all epochs", "checkpoint_bytes", 2**20, "MiB"),
        ("network: result", "result_bytes", 2**10, "KiB"),
    ]
    lines = ["| a trial | mean | standard deviation |", "|---|---|---|"]
    for title, key, unit, name in rows:
        values = [cost[key] / unit for cost in costs]
        lines.append(f"| {title} | {statistics.fmean(values):.2f} {name} | {statistics.stdev(values):.2f} |")
    return "\n".join(lines) + "\n"


def regret_table(courses: dict[tuple[str, int], list[dict]]) -> str:
    marks = " | ".join(f"after {mark:,}" for mark in MARKS)
    lines = [
        f"| strategy | workers | regret, points: {marks} | hours for {TRIALS:,} | workers' time used | driver, s |",
        "|---|---|" + "---|" * (len(MARKS) + 3),
    ]
    for (name, workers), runs in courses.items():
        cells = []
        for mark in MARKS:
            values = [100 * one["regret"][mark - 1] for one in runs]
            cells.append(f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}")
        hours = statistics.fmean(one["hours"][-1] for one in runs)
        busy = statistics.fmean(one["busy"] for one in runs)
        driver = statistics.fmean(one["driver_seconds"] for one in runs)
        lines.append(
            f"| {name} | {workers:,} | {' | '.join(cells)} | {hours:.2f} | {100 * busy:.0f} % | {driver:.1f} |"
        )
    return "\n".join(lines) + "\n"


def draw(courses: dict[tuple[str, int], list[dict]]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(STRATEGIES), sharey=True)
    for axes, name in zip(panels, STRATEGIES, strict=True):
        for workers in WORKERS:
            runs = courses[name, workers]
            hours = np.geomspace(min(one["hours"][0] for one in runs), max(one["hours"][-1] for one in runs), 200)
            values = [
                [one["regret"][max(0, int(np.searchsorted(one["hours"], hour, "right")) - 1)] for hour in hours]
                for one in runs
            ]
            axes.plot(hours, 100 * np.mean(values, 0), label=f"{workers:,} workers")
        axes.set(title=name, xlabel="hours (simulated)", xscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("regret of the plan held best\n(points of accuracy)")
    panels[-1].legend(fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/scale")
    parser.add_argument("--measure", type=int, help="measure one trial of this seed and print it")
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.data_root, options.measure)))
        return
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / "costs.json"
    if not kept.exists():
        kept.write_text(json.dumps([measured_in_own_process(options.data_root, seed) for seed in range(MEASURED)]))
    costs = json.loads(kept.read_text())
    times = [cost["cpu_seconds"] for cost in costs]  # one thread: the time on an idle core
    mean, deviation = statistics.fmean(times), statistics.stdev(times)
    jobs = {
        f"{name}-{workers}-{seed}": (name, workers, seed, mean, deviation)
        for name in STRATEGIES
        for workers in WORKERS
        for seed in range(SEEDS)
    }
    done = run_jobs(simulate, jobs.items(), cache)
    courses = {
        (name, workers): [done[f"{name}-{workers}-{seed}"] for seed in range(SEEDS)]
        for name in STRATEGIES
        for workers in WORKERS
    }
    (HERE / "costs.md").write_text(costs_table(costs))
    (HERE / "table.md").write_text(regret_table(courses))
    draw(courses).savefig(HERE / "regret.png", dpi=130)
    print((HERE / "costs.md").read_text() + "\n" + (HERE / "table.md").read_text())


if __name__ == "__main__":
    main()
