"""A search as an NNI experiment, from Python: `python examples/nni/run_experiment.py FOLDER`; the page is at 8080."""

from __future__ import annotations

import sys
from pathlib import Path

from nni.experiment import Experiment, ExperimentConfig

from bankwise.nni_folder import init
from bankwise.search_space.settings import SpaceSettings
from bankwise.strategies.engines.nni.config import Launch
from bankwise.strategies.engines.nni.results import best
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource


def main(folder: Path, port: int = 8080, trials: int = 8, limit: int | None = None) -> None:
    launch = Launch(tuner="BudgetTuner", strategy="evolution", trials=trials)
    source = TaskSource(network="tiny", data="digits", limit=limit)
    init(folder, source, "900B", launch, Recipe(epochs=20), SpaceSettings(), trial_epochs=5)
    experiment = Experiment(ExperimentConfig.load(folder / "config.yml"))
    try:
        experiment.run(port)
    finally:
        experiment.stop()
    found = best(str(folder))
    found.plan.save(folder / "plan.yaml")
    print(f"{found.accuracy:.4f} in {found.cost.file_bytes} bytes: {folder / 'plan.yaml'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
