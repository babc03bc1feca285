"""The trainable under `tune.Tuner`: with our searcher, with Ray's search algorithms, with population-based training."""

from __future__ import annotations

import csv
import json
import random
import sys
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ray")
from ray import cloudpickle, tune

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.strategies import make_strategy
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.ray import BudgetSearcher, importance_bounds, importance_space, make_trainable
from bankwise.strategies.engines.ray.shared import SharedTrial
from bankwise.strategies.engines.ray.trainable import CHECKPOINT, _Trial, train_plan
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.store import TrialStore
from bankwise.trainers.task import Task
from bankwise.trainers.trial import run_trial

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("two_cpus")]
METRIC = {"metric": "accuracy", "mode": "max"}
RECIPE = Recipe(epochs=3, threads=1)
FOUR, EIGHT = Recipe(epochs=4, threads=1), Recipe(epochs=8, threads=1)


def fit(trainable, folder: Path, samples: int = 3, param_space: dict | None = None, **config) -> tune.ResultGrid:
    settings = dict(num_samples=samples, max_concurrent_trials=2, reuse_actors=True)
    return tune.Tuner(
        trainable,
        param_space=param_space or {},
        tune_config=tune.TuneConfig(**settings | config),
        run_config=tune.RunConfig(name="search", storage_path=str(folder), verbose=0),
    ).fit()


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


@dataclass
class Searched:
    results: tune.ResultGrid
    task: Task
    experiment: Path
    bytes: int  # of the trainable, pickled
    log: str  # of the teacher


@pytest.fixture(scope="module")
def searched(two_cpus, quick, task, tight, tmp_path_factory) -> Searched:
    """Three random plans of three epochs, by our searcher; with a teacher, for the start of the weights."""
    folder = tmp_path_factory.mktemp("searched")
    teacher = Counted(OrderedDict(task.teacher.named_children()))
    teacher.file = folder / "log"
    taught = replace(quick, teacher=teacher)
    searcher = BudgetSearcher(make_strategy("random", tight, seed=1), trials=3)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not know this module
    try:
        trainable = make_trainable(taught, RECIPE, tight)
        size = len(cloudpickle.dumps(trainable))
        results = fit(trainable, folder, -1, search_alg=searcher, **METRIC)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return Searched(results, taught, folder / "search", size, teacher.file.read_text())


def test_the_last_report_is_the_trial(searched, tight):
    assert len(searched.results) == 3 and not searched.results.errors
    for result in searched.results:
        plan = PlanEncoding(tight).plan(result.config)
        expected = run_trial(searched.task, plan, RECIPE).metrics()
        reported = {name: result.metrics[name] for name in expected}
        assert {**reported, "epochs": tuple(reported["epochs"]), "seconds": 0} == {**expected, "seconds": 0}
        assert (result.metrics["epoch"], result.metrics["last_epoch"]) == (3, 3)


def test_rays_logs_carry_the_figures_of_every_epoch(searched, quick, tight):
    """progress.csv, result.json and TensorBoard's events of every trial."""
    from tensorboardX.proto.event_pb2 import Event

    wanted = ("accuracy", "epoch", "loss", "file_bytes", "paper_bits", "bits_per_weight", "plan")
    for result in searched.results:
        plan, folder = PlanEncoding(tight).plan(result.config), Path(result.path)
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
            assert {row["plan"] for row in rows} == {plan.text}
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
    for result in searched.results:
        saved = {folder.name: folder for folder in Path(result.path).glob("checkpoint_*")}
        assert sorted(saved) == ["checkpoint_000000", "checkpoint_000001"]
        progress = tune.Checkpoint.from_directory(saved["checkpoint_000001"]).get_metadata()
        assert progress["epochs"] == list(result.metrics["epochs"][:2])
        assert (saved["checkpoint_000001"] / CHECKPOINT).exists() and not (
            saved["checkpoint_000000"] / CHECKPOINT
        ).exists()


def test_the_experiment_can_be_restored_by_hand(searched, quick, tight):
    """All that a `tune.Tuner` has written is enough for another one."""
    tuner = tune.Tuner.restore(str(searched.experiment), make_trainable(quick, RECIPE, tight))
    before = {result.metrics["trial_id"]: result.metrics["accuracy"] for result in searched.results}
    assert {result.metrics["trial_id"]: result.metrics["accuracy"] for result in tuner.get_results()} == before


def test_data_and_teacher_are_put_into_the_object_store_once(searched):
    """A trial's config and the function that Ray keeps of it are small; trials read the one object."""
    assert searched.bytes < 20_000
    assert searched.log[0] == "w" and searched.log.count("w") == 1 and searched.log.count("r") == 3
    assert all(len(cloudpickle.dumps(result.config)) < 1000 for result in searched.results)


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
        plan = PlanEncoding(tight).plan(result.config)
        assert result.metrics["plan"] == plan.text
        assert result.metrics["file_bytes"] == price(quick.shape, plan).file_bytes <= 900
    assert len({result.metrics["plan"] for result in results}) >= 4


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
    trainable = make_trainable(quick, FOUR, tight, {"cpu": 0.5})
    results = fit(trainable, tmp_path, 2, importance_space(tight), scheduler=made, **METRIC)
    assert len(results) == 2 and not results.errors
    changed = 0
    for result in results:
        lines = [json.loads(line) for line in (Path(result.path) / "result.json").read_text().splitlines()]
        assert max(line["file_bytes"] for line in lines) <= 900
        assert lines[-1]["epoch"] == len(lines[-1]["epochs"]) == 4
        assert lines[-1]["plan"] == PlanEncoding(tight).plan(result.config).text
        changed += len({line["plan"] for line in lines}) > 1 or lines[0]["epoch"] > 1
    assert changed or scheduler == "pb2", "no trial was perturbed"  # PB2 may propose what a trial already has


def test_a_wrong_config_is_an_error_of_the_trial(quick, tight):
    config = make_strategy("rate", tight).ask().codes | {tight.space.names[0]: "F32"}
    with pytest.raises(BankwiseError, match="layer '0.0'"):
        train_plan(config, SharedTrial.of(quick, RECIPE, tight))


def test_where_a_trial_goes_on_from_a_checkpoint(quick, tight, tmp_path):
    """Of its own plan: from its state; of another one: with the epochs of its state, and its weights; else an error."""
    plan, other = (tight.plan(tight.sample(np.random.default_rng(seed))) for seed in (2, 3))
    shared, saved = SharedTrial.of(quick, EIGHT, tight), tmp_path / "saved"
    checkpoint = tune.Checkpoint.from_directory(saved)
    before = _Trial(plan, shared, TrialStore(tmp_path / "before"))
    run_trial(quick, plan, replace(EIGHT, epochs=2), checkpoint=saved / CHECKPOINT)
    report = before.report | {"epochs": [0.1, 0.2, 0.3], "epoch": 3, "seconds": 1.5}
    checkpoint.set_metadata({**report, "config": plan.codes, "base": 0, "saved": True})

    same = _Trial(plan, shared, TrialStore(tmp_path / "same"))
    same.resume(checkpoint)
    assert same.state.read_bytes() == (saved / CHECKPOINT).read_bytes()
    assert (same.base, same.report, same.task.teacher, same.recipe) == (0, report, None, EIGHT)

    perturbed = _Trial(other, shared, TrialStore(tmp_path / "other"))
    figures = {name: perturbed.report[name] for name in ("plan", "file_bytes", "paper_bits", "bits_per_weight")}
    perturbed.resume(checkpoint)
    assert (perturbed.base, perturbed.recipe.epochs) == (2, 6) and not perturbed.state.exists()
    assert perturbed.task.teacher is not None
    assert perturbed.report == report | figures | {"epochs": [0.1, 0.2], "epoch": 2, "accuracy": 0.2}

    checkpoint.set_metadata({"epoch": 3})
    with pytest.raises(BankwiseError, match="saved' is not the checkpoint of a bankwise trial"):
        _Trial(plan, shared, TrialStore(tmp_path / "foreign")).resume(checkpoint)
