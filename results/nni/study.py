"""Three tuners of NNI at equal trials: what they find within the budget, and how many trials they waste.

    python results/nni/study.py --data-root DATA        (about 30 minutes on 2 cores)

Network `small`, 4,800 CIFAR-10 training images of which 1/6 validate, file budget 4 KiB, trials of one epoch that start
from the trained float network, with running batch norm statistics; 16 trials an experiment, 3 seeds, through
`nnictl create`:

- `BudgetTuner`: evolution of this project.
- `TPE, importance`: NNI's TPE, unchanged, over the importance encoding.
- `TPE, raw choices`: NNI's TPE over the choices of every layer; a plan over the budget is rejected: its trial ends at
  once with accuracy 0.

A trial is wasted that trained nothing new: over the budget, or a plan that was tried before. Writes table.md, best.png
and trials.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import Experiment

HERE = Path(__file__).resolve().parent
ARMS = {
    "BudgetTuner": ["--tuner", "BudgetTuner", "--strategy", "evolution"],
    "TPE, importance": ["--tuner", "TPE", "--encoding", "importance"],
    "TPE, raw choices": ["--tuner", "TPE", "--encoding", "choice"],
}
TRIALS, SEEDS, IMAGES, EPOCHS, TEACHER_EPOCHS, BUDGET = 16, 3, 4800, 1, 6, "4KiB"
SILENT = 300  # seconds without news after which an experiment is given up: a known fault of NNI's TPE stops its tuner
TRIES = 4


def reject_or_try() -> int:
    """The trial command of the raw choices: a plan over the budget ends at once, any other is tried as always."""
    import nni

    from bankwise.strategies.engines.nni import trial

    parameters = nni.get_next_parameter()
    points = PlanEncoding(Experiment.read(Path.cwd()).budgeted)
    raw = [codes.index(parameters[name]) for name, codes in points.codes.items()]
    if not points.space.fits(raw):
        nni.report_final_result({"default": 0.0, "rejected": 1})
        return 0
    nni.get_next_parameter = lambda: parameters  # it is handed out once
    return trial.main()


def command(*words: str) -> str:
    found = subprocess.run([Path(sys.executable).with_name(words[0]), *words[1:]], capture_output=True, text=True)
    if found.returncode:
        raise RuntimeError(f"{' '.join(words)}: {found.stdout}{found.stderr}")
    return re.sub(r"\x1b\[\d+m", "", found.stdout)


def run(arm: str, seed: int, options: argparse.Namespace) -> list[dict]:
    """The trials of one experiment, in their order: {"accuracy", "plan"}, both None for one that was rejected."""
    folder = Path(options.cache) / f"{re.sub('[^a-z]+', '-', arm.lower())}-{seed}"
    kept = folder.with_suffix(".json")
    for _ in range(0 if kept.exists() else TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        prepare(arm, seed, folder, options)
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        told = command("nnictl", "create", "--config", str(folder / "config.yml"), "--port", str(port))
        name = re.search(r"Experiment ID: (\w+)", told)[1]
        try:
            found = trials(port) if wait(port, folder) else None
        finally:
            command("nnictl", "stop", name)
        if found is not None:
            kept.write_text(json.dumps(found))
            break
        print(f"{arm} {seed}: NNI's tuner died; once more", flush=True)
    return json.loads(kept.read_text())


def prepare(arm: str, seed: int, folder: Path, options: argparse.Namespace) -> None:
    recipe = folder.with_suffix(".yaml")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text("recalibrate: 0\n")
    command(
        *("bankwise", "nni", "init", str(folder), "--network", "small", "--data", "cifar10"),
        *("--data-root", str(Path(options.data_root).absolute()), "--limit", str(IMAGES), "--budget", BUDGET),
        *("--recipe", str(recipe), "--epochs", str(TEACHER_EPOCHS)),
        *("--trial-epochs", str(EPOCHS), "--trials", str(TRIALS)),
        *("--concurrency", str(options.concurrency), "--seed", str(seed), "--threads", "1", *ARMS[arm]),
    )
    for name in ("teacher.pt", "teacher-weights.pt"):  # one training of the float network a seed, for all arms
        for other in folder.parent.glob(f"*-{seed}/{name}"):
            if other.parent != folder and not (folder / name).exists():
                shutil.copy(other, folder / name)
    if "raw" in arm:
        config = yaml.safe_load((folder / "config.yml").read_text())
        config["trialCommand"] = f"exec {sys.executable} {Path(__file__).absolute()} --trial"
        (folder / "config.yml").write_text(yaml.safe_dump(config))


def wait(port: int, folder: Path) -> bool:
    """True when all trials are through, false when nothing has happened for long."""
    last, since = None, time.monotonic()
    while True:
        with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/check-status", timeout=60) as answer:
            status = json.loads(answer.read())["status"]
        with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/metric-data", timeout=60) as answer:
            news = status, len(answer.read())
        if status == "DONE":
            return True
        if news != last:
            last, since = news, time.monotonic()
        if status == "ERROR" or time.monotonic() - since > SILENT:
            return False
        time.sleep(1)


def trials(port: int) -> list[dict]:
    """Every trial that NNI knows, by its REST API."""
    with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/trial-jobs", timeout=60) as answer:
        jobs = json.loads(answer.read())
    found = []
    for job in jobs:
        metrics = job.get("finalMetricData") or []
        final = json.loads(json.loads(metrics[0]["data"])) if metrics else {}  # a string within a string
        final = final if isinstance(final, dict) else {}
        found.append({"accuracy": final.get("default") if "plan" in final else None, "plan": final.get("plan")})
    return found


def summary(found: list[dict]) -> dict:
    accuracies = [one["accuracy"] for one in found if one["plan"] is not None]
    plans = [one["plan"] for one in found if one["plan"] is not None]
    return {
        "best": max(accuracies, default=float("nan")),
        "rejected": 1 - len(plans) / len(found),
        "repeated": (len(plans) - len(set(plans))) / len(found),
    }


def table(results: dict[str, list[dict]]) -> str:
    lines = [
        f"| tuner | best feasible accuracy of {TRIALS} trials, % | over the budget, % | repeated, % |",
        "|---|---|---|---|",
    ]
    for arm, runs in results.items():
        cells = []
        for key in ("best", "rejected", "repeated"):
            values = [100 * one[key] for one in runs if not np.isnan(one[key])]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.1f} ± {spread:.1f}" if values else "none found")
            if 0 < len(values) < len(runs):
                cells[-1] += f" ({len(values)} of {len(runs)} seeds)"
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, list[list[dict]]]) -> Figure:
    """Best feasible accuracy so far against the number of trials, mean over the seeds."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for arm, runs in found.items():
        curves = [np.maximum.accumulate([one["accuracy"] or 0.0 for one in trials]) for trials in runs]
        mean, spread = 100 * np.mean(curves, 0), 100 * np.std(curves, 0, ddof=1)
        numbers = np.arange(1, len(mean) + 1)
        (line,) = axes.plot(numbers, mean, label=arm)
        axes.fill_between(numbers, mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
    axes.set(xlabel="trials", ylabel="best feasible accuracy so far (%)", ylim=(0, None))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root")
    parser.add_argument("--cache", default="runs/nni")
    parser.add_argument("--concurrency", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trial", action="store_true", help="be the trial command of the raw choices")
    options = parser.parse_args()
    if options.trial:
        return reject_or_try()
    Path(options.cache).mkdir(parents=True, exist_ok=True)
    found = {arm: [] for arm in ARMS}
    for seed in range(SEEDS):
        for arm in ARMS:
            found[arm].append(run(arm, seed, options))
            print(arm, seed, summary(found[arm][-1]), flush=True)
    (HERE / "trials.json").write_text(json.dumps(found, indent=1))
    (HERE / "table.md").write_text(table({arm: [summary(one) for one in runs] for arm, runs in found.items()}))
    draw(found).savefig(HERE / "best.png", dpi=130)
    print((HERE / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
