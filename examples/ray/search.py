"""The search on Ray Tune, put together by hand: any scheduler and any logger of Ray fits in.

python examples/ray/search.py                                          # on this machine
ray job submit --working-dir . -- python examples/ray/search.py        # on a cluster that has bankwise installed
"""

from __future__ import annotations

import sys
from pathlib import Path

import ray
from ray import tune

from bankwise.search_space.budget import Budget
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines.ray import BudgetSearcher, make_scheduler, make_trainable, table
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task


def main(folder: str = "runs/ray", trials: int = 12, epochs: int = 8, limit: int | None = None) -> tune.ResultGrid:
    ray.init(ignore_reinit_error=True)  # the cluster of RAY_ADDRESS, or one of this machine
    recipe = Recipe(epochs=epochs)
    task = make_task("tiny", load_data("digits", limit=limit), recipe)
    space = BudgetedSpace(SearchSpace(task.shape), Budget(900))  # no plan above 900 bytes is ever tried
    tuner = tune.Tuner(
        make_trainable(task, recipe, space, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            search_alg=BudgetSearcher(make_strategy("evolution", space), trials),
            scheduler=make_scheduler("asha", epochs),
            num_samples=-1,  # the searcher knows when to end
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="bankwise", storage_path=str(Path(folder).resolve()), progress_reporter=table()),
    )
    results = tuner.fit()
    best = results.get_best_result()
    print(f"{best.metrics['accuracy']:.4f} in {best.metrics['file_bytes']} bytes: {best.metrics['plan']}")
    return results


if __name__ == "__main__":
    main(*sys.argv[1:2])
