"""The trainable under `tune.Tuner`: with our searcher, with Ray's search algorithms, with population-based training."""

from __future__ import annotations

import csv
import json
import random
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ray")
from ray import cloudpickle, tune

from search_space.price import price
from strategies import make_strategy
from strategies.ray import BudgetSearcher, importance_bounds, importance_space, make_trainable
from strategies.ray.configs import config_plan, plan_config, plan_text
from strategies.ray.trainable import PROGRESS, STATE
from strategies.ray.transfer import Progress
from trainers.recipe import Recipe
from trainers.trial import run_trial

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("two_cpus")]
METRIC = {"metric": "accuracy", "mode": "max"}
RECIPE = Recipe(epochs=3, threads=1)
EIGHT = Recipe(epochs=8, threads=1)


def fit(trainable, folder: Path, samples: int = 3, param_space: dict | None = None, **config) -> tune.ResultGrid:
    settings = dict(num_samples=samples, max_concurrent_trials=2, reuse_actors=True)
    return tune.Tuner(
        trainable,
        param_space=param_space or {},
        tune_config=tune.TuneConfig(**settings | config),
        run_config=tune.RunConfig(name="search", storage_path=str(folder), verbose=0),
    ).fit()


@pytest.fixture(scope="module")
def searched(two_cpus, quick, tight, tmp_path_factory) -> tuple[tune.ResultGrid, Path]:
    """Three random plans of three epochs, by our searcher."""
    folder = tmp_path_factory.mktemp("searched")
    searcher = BudgetSearcher(make_strategy("random", tight, seed=1), trials=3)
    results = fit(make_trainable(quick, RECIPE, tight), folder, -1, search_alg=searcher, **METRIC)
    return results, folder / "search"


def test_the_last_report_is_the_trial(searched, quick, tight):
    results, _ = searched
    assert len(results) == 3 and not results.errors
    for result in results:
        plan = config_plan(result.config, tight)
        expected = run_trial(quick, plan, RECIPE).metrics()
        reported = {name: result.metrics[name] for name in expected}
        assert {**reported, "epochs": tuple(reported["epochs"]), "seconds": 0} == {**expected, "seconds": 0}
        assert (result.metrics["epoch"], result.metrics["last_epoch"]) == (3, 3)


def test_rays_logs_carry_the_figures_of_every_epoch(searched, quick, tight):
    """progress.csv, result.json and TensorBoard's events of every trial."""
    from tensorboardX.proto.event_pb2 import Event

    wanted = ("accuracy", "epoch", "loss", "file_bytes", "paper_bits", "bits_per_weight", "plan")
    for result in searched[0]:
        plan, folder = config_plan(result.config, tight), Path(result.path)
        cost = price(quick.shape, plan)
        with (folder / "progress.csv").open() as lines:
            table = list(csv.DictReader(lines))
        lines = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
        for rows in (table, lines):
            assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
            assert all(name in row for row in rows for name in wanted)
            assert {int(row["file_bytes"]) for row in rows} == {cost.file_bytes}
            assert {int(row["paper_bits"]) for row in rows} == {cost.paper_bits}
            assert {float(row["bits_per_weight"]) for row in rows} == {cost.file_bits_per_weight}
            assert {row["plan"] for row in rows} == {plan_text(plan)}
        (events,) = folder.glob("events.out.tfevents.*")
        values: dict[str, list[float]] = {}
        for record in tfrecords(events.read_bytes()):
            for value in Event.FromString(record).summary.value:
                values.setdefault(value.tag, []).append(value.simple_value)
        assert values["ray/tune/file_bytes"] == [cost.file_bytes] * 3
        assert np.allclose(values["ray/tune/accuracy"], [row["accuracy"] for row in lines])
        assert {f"ray/tune/{name}" for name in ("loss", "paper_bits", "bits_per_weight", "epoch")} <= set(values)


def tfrecords(data: bytes) -> list[bytes]:
    """Length uint64, 4 bytes of checksum, the record, 4 bytes of checksum."""
    records = []
    while data:
        size = int.from_bytes(data[:8], "little")
        records.append(data[12 : 12 + size])
        data = data[16 + size :]
    return records


def test_a_checkpoint_a_report_but_for_the_last(searched):
    for result in searched[0]:
        saved = {folder.name: folder for folder in Path(result.path).glob("checkpoint_*")}
        assert sorted(saved) == ["checkpoint_000000", "checkpoint_000001"]
        progress = Progress.read(saved["checkpoint_000001"] / PROGRESS)
        assert progress.accuracies == tuple(result.metrics["epochs"][:2])
        assert (saved["checkpoint_000001"] / STATE).exists() and not (saved["checkpoint_000000"] / STATE).exists()


def test_the_experiment_can_be_restored_by_hand(searched, quick, tight):
    """All that a `tune.Tuner` has written is enough for another one."""
    tuner = tune.Tuner.restore(str(searched[1]), make_trainable(quick, RECIPE, tight))
    before = {result.metrics["trial_id"]: result.metrics["accuracy"] for result in searched[0]}
    assert {result.metrics["trial_id"]: result.metrics["accuracy"] for result in tuner.get_results()} == before


class Counted(torch.nn.Sequential):
    """A teacher that notes in a file when it is pickled and when it is read."""

    file: Path

    def __getstate__(self):
        with self.file.open("a") as stream:
            stream.write("w")
        return self.__dict__

    def __setstate__(self, state):
        super().__setstate__(state)
        with self.file.open("a") as stream:
            stream.write("r")


def test_data_and_teacher_are_put_into_the_object_store_once(quick, task, tight, tmp_path):
    """A trial's config and the function that Ray keeps of it are small; trials read the one object."""
    teacher = Counted(OrderedDict(task.teacher.named_children()))
    teacher.file = tmp_path / "log"
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not know this module
    try:
        trainable = make_trainable(replace(quick, teacher=teacher), Recipe(epochs=1, threads=1), tight)
        assert len(cloudpickle.dumps(trainable)) < 20_000
        searcher = BudgetSearcher(make_strategy("random", tight), trials=4)
        results = fit(trainable, tmp_path, -1, search_alg=searcher, **METRIC)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert len(results) == 4 and not results.errors
    log = teacher.file.read_text()
    assert log[0] == "w" and log.count("w") == 1 and log.count("r") == 4
    assert all(len(cloudpickle.dumps(result.config)) < 1000 for result in results)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-nsga", "hyperopt"])
def test_rays_own_search_algorithms_obey_the_budget(algorithm, quick, tight, tmp_path):
    space = importance_space(tight)
    if algorithm == "optuna-tpe":
        from ray.tune.search.optuna import OptunaSearch

        config, param_space = {"search_alg": OptunaSearch(seed=0), **METRIC}, space
    elif algorithm == "optuna-nsga":
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        sampler = optuna.samplers.NSGAIISampler(population_size=4, seed=0)
        search = OptunaSearch(space, metric=["accuracy", "file_bytes"], mode=["max", "min"], sampler=sampler)
        config, param_space = {"search_alg": search}, None
    else:
        from ray.tune.search.hyperopt import HyperOptSearch

        config, param_space = {"search_alg": HyperOptSearch(n_initial_points=3, random_state_seed=0), **METRIC}, space
    trainable = make_trainable(quick, Recipe(epochs=1, threads=1), tight)
    results = fit(trainable, tmp_path, 8, param_space, max_concurrent_trials=1, **config)
    assert len(results) == 8 and not results.errors
    for result in results:
        plan = config_plan(result.config, tight)
        assert result.metrics["plan"] == plan_text(plan)
        assert result.metrics["file_bytes"] == price(quick.shape, plan).file_bytes <= 900
    assert len({result.metrics["plan"] for result in results}) > 4


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_population_based_training_over_importances_is_never_infeasible(scheduler, quick, tight, tmp_path):
    """Perturbed trials go on under another plan, the donor's epochs before it."""
    from ray.tune.schedulers import PopulationBasedTraining
    from ray.tune.schedulers.pb2 import PB2

    random.seed(0)
    np.random.seed(0)
    common = dict(time_attr="training_iteration", perturbation_interval=2, quantile_fraction=0.5)
    if scheduler == "pbt":  # in step: else one may be through before there is another to learn from
        common["synch"] = True
    made = (
        PopulationBasedTraining(hyperparam_mutations=importance_space(tight), resample_probability=1.0, **common)
        if scheduler == "pbt"
        else PB2(hyperparam_bounds=importance_bounds(tight), **common)
    )
    trainable = make_trainable(quick, EIGHT, tight, {"cpu": 0.5})
    results = fit(trainable, tmp_path, 2, importance_space(tight), scheduler=made, **METRIC)
    assert len(results) == 2 and not results.errors
    changed = 0
    for result in results:
        lines = [json.loads(line) for line in (Path(result.path) / "result.json").read_text().splitlines()]
        assert max(line["file_bytes"] for line in lines) <= 900
        assert lines[-1]["epoch"] == 8 and len(lines[-1]["epochs"]) == 8
        assert lines[-1]["plan"] == plan_text(config_plan(result.config, tight))
        changed += len({line["plan"] for line in lines}) > 1 or lines[0]["epoch"] > 1
    assert changed or scheduler == "pb2", "no trial was perturbed"  # PB2 may propose what a trial already has


def test_a_foreign_checkpoint_and_a_wrong_config_are_errors_of_the_trial(quick, tight, tmp_path):
    trainable = make_trainable(quick, RECIPE, tight)
    config = plan_config(make_strategy("rate", tight).ask()) | {tight.space.names[0]: "F32"}
    results = fit(trainable, tmp_path, 1, config)
    assert len(results.errors) == 1 and "layer '0.0'" in str(results.errors[0])
