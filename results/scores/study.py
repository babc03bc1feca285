"""Which score orders plans as training does? Kendall's tau against standalone accuracy over random feasible plans.

    python results/scores/study.py --data-root DATA        (about 25 minutes on 2 cores)

Network `small`, 12,000 CIFAR-10 training images of which 1/6 validate, file budget 4 KiB. Every plan is drawn uniformly
from all feasible ones of 16 efficient choices a layer, and trained alone, in full, from the trained float network.
Writes table.md, scores.png and plans.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from results.jobs import run_jobs
from search_space.budget import Budget
from search_space.plan import Plan
from search_space.space import SearchSpace
from strategies import BudgetedSpace
from strategies.frontier import frontier
from strategies.gradient import make_supernet
from strategies.scores import log_capture, log_rate, weighted_capture
from strategies.sensitivity import measured_capture
from trainers.data import load_data
from trainers.loop import train
from trainers.recipe import Recipe
from trainers.supernet_training import evaluate_in_supernet, train_supernet
from trainers.task import Task, make_task
from trainers.trial import run_trial

HERE = Path(__file__).resolve().parent
RECIPE = Recipe(epochs=5, recalibrate=0)
SUPERNET_EPOCHS = 6
TRIAL_EPOCHS = (1, 2)
CHOICES = 16  # efficient choices a layer, from which plans are drawn


@lru_cache(maxsize=1)
def setting(root: str, budget: str, cache: str) -> tuple[Task, BudgetedSpace]:
    data = load_data("cifar10", root=Path(root), limit=12_000)
    task = make_task("small", data, RECIPE)
    teacher = make_task("small", data, RECIPE).network
    train(teacher, data, RECIPE, checkpoint=Path(cache) / "teacher.pt")
    task = dataclasses.replace(task, teacher=teacher.eval().requires_grad_(False))
    limits, space = Budget.parse(budget, task.shape), SearchSpace(task.shape)
    whole = BudgetedSpace(space, limits)
    return task, BudgetedSpace(space.cut(frontier(whole, log_capture(whole), CHOICES)), limits)


def standalone(root: str, budget: str, cache: str, plan: dict, epochs: int, seed: int) -> dict:
    task, _ = setting(root, budget, cache)
    recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=seed)
    return run_trial(task, Plan.from_dict(plan), recipe).metrics()


def supernet_scores(root: str, budget: str, cache: str, plans: list[dict]) -> dict:
    """Accuracy of each plan with the trained supernet's weights; and its summed logits."""
    task, space = setting(root, budget, cache)
    supernet, kept = make_supernet(space, task, 0, CHOICES)
    recipe = dataclasses.replace(RECIPE, epochs=SUPERNET_EPOCHS)
    history = train_supernet(supernet, task, recipe, Path(cache) / "supernet.pt")
    logits = history[len(history) // 2 :].mean(0)
    accuracies, sums = [], []
    for plan in plans:
        indices = space.indices(Plan.from_dict(plan))
        places = [int(np.flatnonzero(row == index)[0]) for row, index in zip(kept, indices, strict=True)]
        accuracies.append(evaluate_in_supernet(supernet, task.data, np.array(places), images=2000))
        sums.append(float(sum(logits[i, place] for i, place in enumerate(places))))
    return {"accuracies": accuracies, "logits": sums}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--budget", default="4KiB")
    parser.add_argument("--plans", type=int, default=24)
    parser.add_argument("--cache", default="runs/scores")
    options = parser.parse_args()
    cache = Path(options.cache)
    common = (options.data_root, options.budget, options.cache)
    task, space = setting(*common)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(options.plans)]
    plans = [space.plan(indices).to_dict() for indices in drawn]
    jobs = [
        (f"plan{i}-epochs{epochs}", (*common, plan, epochs, 1 if epochs == RECIPE.epochs else 0))
        for epochs in (RECIPE.epochs, *TRIAL_EPOCHS)
        for i, plan in enumerate(plans)
    ]
    trained = run_jobs(standalone, jobs, cache)
    reached = {
        epochs: [trained[f"plan{i}-epochs{epochs}"]["accuracy"] for i in range(len(plans))]
        for epochs in (RECIPE.epochs, *TRIAL_EPOCHS)
    }
    truth = reached.pop(RECIPE.epochs)
    tables = {
        "log rate": log_rate(space),
        "log capture": log_capture(space),
        "weighted capture": weighted_capture(space),
        "sensitivity": measured_capture(space, task),
    }
    scores = {
        name: [sum(row[i] for row, i in zip(table, indices, strict=True)) for indices in drawn]
        for name, table in tables.items()
    }
    supernet = run_jobs(supernet_scores, [("supernet", (*common, plans))], cache)["supernet"]
    scores["supernet accuracy"], scores["supernet logits"] = supernet["accuracies"], supernet["logits"]
    for epochs, values in reached.items():
        scores[f"trial of {epochs} epoch{'s' if epochs > 1 else ''}"] = values
    taus = {name: kendalltau(values, truth) for name, values in scores.items()}
    lines = ["| score | Kendall's tau | p |", "|---|---|---|"]
    lines += [f"| {name} | {tau.statistic:.2f} | {tau.pvalue:.3f} |" for name, tau in taus.items()]
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    draw(scores, truth, taus).savefig(HERE / "scores.png", dpi=130)
    (HERE / "plans.json").write_text(json.dumps({"plans": plans, "accuracies": truth, "scores": scores}, indent=1))
    print("\n".join(lines))


def draw(scores: dict[str, list[float]], truth: list[float], taus: dict) -> Figure:
    columns = 3
    figure = Figure(figsize=(9, 3 * -(-len(scores) // columns)), layout="constrained")
    panels = list(figure.subplots(-(-len(scores) // columns), columns, squeeze=False).flat)
    for axes, (name, values) in zip(panels, scores.items(), strict=False):
        axes.plot(values, [100 * value for value in truth], "o", ms=4)
        axes.set_title(f"{name}: tau {taus[name].statistic:.2f}", fontsize=10)
        axes.set(xlabel="score", ylabel="standalone accuracy (%)")
        axes.grid(alpha=0.3)
    for axes in panels[len(scores) :]:
        axes.set_axis_off()
    return figure


if __name__ == "__main__":
    main()
