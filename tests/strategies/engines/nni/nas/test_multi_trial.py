"""NNI's multi-trial strategies over the space: what is trained is within the budget, and what the records say of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import nni
import psutil
import pytest
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import SimplifiedModelSpace
from nni.nas.strategy import Random, RegularizedEvolution
from nni.nas.strategy.middleware import Chain, Deduplication

from bankwise.search_space.budget import Budget
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas import BankSpace, Projection, trial_evaluator
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
from bankwise.trainers.trial import run_trial

SOURCE, RECIPE = TaskSource("tiny", "digits", limit=200), Recipe(epochs=1, batch=50)
BUDGET = 950  # few samples are within it


def indices(space: BankSpace, sample: dict) -> tuple[int, ...]:
    return PlanEncoding(space.budgeted).indices(sample)


@pytest.fixture(scope="module")
def small() -> BankSpace:
    task = SOURCE.make(RECIPE)
    return BankSpace.of(task, BudgetedSpace(SearchSpace(task.shape), Budget(BUDGET)), most=6)


def evolution(population: int = 4) -> RegularizedEvolution:
    return RegularizedEvolution(population_size=population, sample_size=2, mutation_prob=0.4, seed=0)


def run(strategy, space: BankSpace, records, trials: int) -> None:
    """The strategy with NNI's engine for this very process."""
    model_space = SimplifiedModelSpace.from_model(space, trial_evaluator(SOURCE, RECIPE, records=records))
    strategy(model_space, SequentialExecutionEngine(max_model_count=trials))


def read(records) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(records.iterdir())]


@pytest.mark.parametrize("strategy", [evolution, Random])
def test_what_is_trained_is_the_projection_and_the_record_says_so(strategy, small, tmp_path):
    run(chosen := strategy(), small, tmp_path, 6)
    found = read(tmp_path)
    assert len(found) == 6 and any(record["projected"] for record in found)
    for record in found:
        plan = Plan.from_dict(record["plan"])
        assert record["file_bytes"] == price(small.shape, plan).file_bytes <= BUDGET
        assert plan == small.plan(record["sample"])
        fits = small.budgeted.fits(indices(small, record["sample"]))
        assert record["projected"] == (not fits)
    best = max(chosen.list_models(), key=lambda model: model.metric)
    assert best.metric == max(record["accuracy"] for record in found)
    task = SOURCE.make(RECIPE)
    assert run_trial(task, small.plan(best.sample), RECIPE).accuracy == best.metric  # the same trial


def test_with_the_projection_before_it_a_strategy_learns_of_feasible_plans_alone(small, tmp_path):
    projection = Projection(small)
    strategy = Chain(evolution(), projection, Deduplication("invalid"))
    run(strategy, small, tmp_path, 8)
    models = list(strategy.list_models(sort=False))
    assert len(models) >= 8 and projection.wishes
    for model in models:
        assert small.budgeted.fits(indices(small, model.sample))
    population = [individual.x for individual in strategy[0]._population]
    assert population and all(small.budgeted.fits(indices(small, sample)) for sample in population)
    trained = [tuple(sorted(record["sample"].items())) for record in read(tmp_path)]
    assert len(set(trained)) == len(trained) == 8  # none twice
    assert not any(record["projected"] for record in read(tmp_path))
    for wish, found in projection.wishes:
        assert not small.budgeted.fits(indices(small, wish)) and found == small.plan(wish).codes
    fresh = Projection(small)
    fresh.load_state_dict(json.loads(json.dumps(projection.state_dict())))
    assert fresh.wishes == projection.wishes


def test_the_evaluator_travels(small, tmp_path, monkeypatch):
    """NNI sends it to the trial's process as JSON, where the working folder is another one."""
    monkeypatch.chdir(tmp_path)
    source = TaskSource("tiny", "digits", data_root="data", limit=200)
    sent = nni.load(nni.dump(trial_evaluator(source, RECIPE, teacher="teacher.pt", records="records")))
    assert sent.arguments["teacher"] == str(tmp_path / "teacher.pt")
    assert sent.arguments["records"] == str(tmp_path / "records")
    assert TaskSource.from_dict(sent.arguments["source"]).data_root == str(tmp_path / "data")
    assert sent.function.__name__ == "try_model"


EXPERIMENT = """
    import sys
    from bankwise.strategies.engines.nni.nas import BankSpace, Projection, experiment_config, trial_evaluator
    from nni.nas.experiment import NasExperiment
    from nni.nas.strategy import RegularizedEvolution
    from nni.nas.strategy.middleware import Chain, Deduplication
    from bankwise.search_space.budget import Budget
    from bankwise.search_space.space import SearchSpace
    from bankwise.strategies import BudgetedSpace
    from bankwise.trainers.recipe import Recipe
    from bankwise.trainers.task import TaskSource

    source, recipe = TaskSource("tiny", "digits", limit=200), Recipe(epochs=1, batch=50)
    task = source.make(recipe)
    space = BankSpace.of(task, BudgetedSpace(SearchSpace(task.shape), Budget({budget})), most=6)
    evolution = RegularizedEvolution(population_size=2, sample_size=1, mutation_prob=0.4, seed=0)
    strategy = Chain(evolution, Projection(space), Deduplication("invalid")) if {chained} else evolution
    evaluator = trial_evaluator(source, recipe, records="records")
    config = experiment_config(space, evaluator, strategy)
    config.max_trial_number = 3
    experiment = NasExperiment(space, evaluator, strategy, config)
    try:
        experiment.run({port})
        import json
        found = [[model.sample, model.metric] for model in experiment.export_top_models(3)]
        print("FOUND " + json.dumps(found))
    finally:
        experiment.stop()
"""


@pytest.mark.slow
@pytest.mark.parametrize("chained", [False, True])
def test_a_real_experiment(chained, small, tmp_path):
    """NNI's manager starts the trials as processes of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = textwrap.dedent(EXPERIMENT).format(budget=BUDGET, chained=chained, port=port)
    environment = os.environ | {"HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    (tmp_path / "home").mkdir()
    (folder := tmp_path / "work").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        shown, _ = process.communicate(timeout=600)
    finally:
        if process.poll() is None:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:  # the manager, its trials
                one.kill()
            process.wait()
    assert process.returncode == 0, shown[-3000:]
    (line,) = [line for line in shown.splitlines() if line.startswith("FOUND ")]
    found = json.loads(line.removeprefix("FOUND "))
    records = read(folder / "records")
    assert len(found) == len(records) == 3, shown[-3000:]
    assert [metric for _, metric in found] == sorted((record["accuracy"] for record in records), reverse=True)
    for record in records:
        assert price(small.shape, Plan.from_dict(record["plan"])).file_bytes == record["file_bytes"] <= BUDGET
    exported = [small.budgeted.fits(indices(small, sample)) for sample, _ in found]
    if chained:
        assert all(exported) and not any(record["projected"] for record in records)
    else:
        assert not all(exported) and any(record["projected"] for record in records)
