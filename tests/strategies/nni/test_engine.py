from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys

import psutil
import pytest

from search_space.budget import Budget
from search_space.errors import BankwiseError
from search_space.space import SearchSpace
from strategies import BudgetedSpace, make_strategy
from strategies.job import EngineOptions, Job
from strategies.local import run_local
from strategies.nni import database, manager
from strategies.nni.engine import check_nni, describe, run_nni
from trainers.recipe import Recipe
from trainers.task import TaskSource

SOURCE = TaskSource("tiny", "digits", Recipe(epochs=2, batch=20), limit=200)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return SOURCE.make(tmp_path_factory.mktemp("teacher") / "teacher.pt")


@pytest.fixture
def make_job(task, tmp_path):
    def make(name: str, trials: int = 3, **changes) -> Job:
        limits = {key: changes.pop(key) for key in ("max_ram", "max_ops") if key in changes}
        space = BudgetedSpace(SearchSpace(task.shape), Budget(1000), **limits)
        strategy = make_strategy("evolution", space, 4)
        job = Job(strategy, task, Recipe(epochs=2, batch=20), trials, tmp_path / f"{name}.json", SOURCE)
        return dataclasses.replace(job, **changes)

    return make


SCRIPT = """
import json, pathlib, sys
from search_space.budget import Budget
from search_space.space import SearchSpace
from strategies import BudgetedSpace, make_strategy
from strategies.job import Job
from strategies.nni.engine import run_nni
from trainers.recipe import Recipe
from trainers.task import TaskSource
root, epochs, trials = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
source = TaskSource("tiny", "digits", Recipe(epochs=2, batch=20), limit=200)
task = source.make(root / "teacher.pt")
strategy = make_strategy(sys.argv[4], BudgetedSpace(SearchSpace(task.shape), Budget(1000)), 4)
told, results = [], []
job = Job(
    strategy, task, Recipe(epochs=epochs, batch=20), trials, root / "nni.json", source,
    lambda number, epoch: told.append([number, epoch.epoch]), lambda *result: results.append(result),
)
print(json.dumps({"records": run_nni(job), "epochs": told, "results": results}))
"""


@pytest.fixture
def engine(home, tmp_path):
    """Starts the engine in a process of its own, whose home is the test's; nothing of NNI is left at the end."""
    started = []

    def start(epochs: int = 2, trials: int = 3, strategy: str = "evolution") -> subprocess.Popen:
        arguments = [sys.executable, "-c", SCRIPT, tmp_path, str(epochs), str(trials), strategy]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(home / "nni-experiments") in (process.info["cmdline"] or [])
    ]
    left += [child for process in left for child in process.children(recursive=True)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert not psutil.wait_procs(left, timeout=20)[1]


def ended(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return json.loads(out)


def plans(records: list[dict]) -> list[tuple]:
    return [(one["plan"], one["metrics"]["accuracy"]) for one in records]


def test_a_job_in_plain_values(make_job, task):
    for limits in ({}, {"max_ram": 60_000}, {"max_ram": 9_000, "max_ops": 10**6}):
        job = make_job("x", **limits)
        experiment = describe(job)
        assert [list(row) for row in experiment.budgeted.allowed] == [list(row) for row in job.strategy.space.allowed]
        assert experiment.budgeted.sizes == job.strategy.space.sizes and experiment.recipe == job.recipe
        assert experiment.budgeted.capacity == job.strategy.space.capacity and experiment.teacher


def test_a_job_that_is_not_plain_is_refused(make_job, task, home):
    with pytest.raises(BankwiseError, match="another process can read"):
        run_nni(make_job("x", source=None))
    with pytest.raises(BankwiseError, match="recipe"):
        run_nni(make_job("x", recipe=Recipe(epochs=2, lr=0.1)))
    space = SearchSpace(task.shape)
    cut = BudgetedSpace(space.cut([range(5)] * 5), Budget(10**6))
    with pytest.raises(BankwiseError, match="cut by hand"):
        run_nni(make_job("x", strategy=make_strategy("random", cut)))


@pytest.mark.parametrize("options", [{"scheduler": "asha"}, {"address": "auto"}, {"gpus": 0.5}, {"cpus": 2}], ids=str)
def test_options_of_another_engine(options):
    with pytest.raises(BankwiseError):
        check_nni(EngineOptions(**options))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_plans_are_the_local_engine_s_and_a_second_call_starts_nothing(make_job, engine):
    found = ended(engine())
    assert plans(found["records"]) == plans(run_local(make_job("local")))
    assert found["epochs"] == [[number, epoch] for number in range(3) for epoch in (1, 2)]
    assert found["results"] == [[number, one["metrics"]] for number, one in enumerate(found["records"])]
    assert len(database.listed()) == 1
    assert ended(engine()) == {"records": found["records"], "epochs": [], "results": []}
    assert len(database.listed()) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_called_again_it_goes_on(make_job, engine, nni, tmp_path, number):
    first = engine(epochs=20)
    nni.until("a record", lambda: list(tmp_path.glob("nni/trials/*/record.json")) or first.poll() is not None)
    assert first.poll() is None
    first.send_signal(number)
    first.communicate(timeout=200)
    (id,) = database.listed()
    assert (manager.attach(id) is None) == (number == signal.SIGINT)  # stopped in order, or going on by itself
    found = ended(engine(epochs=20))
    assert manager.attach(id) is None and list(database.listed()) == [id]
    assert plans(found["records"]) == plans(run_local(make_job("local", recipe=Recipe(epochs=20, batch=20))))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_strategy_with_one_plan_ends(engine):
    """NNI itself waits for ever for the second."""
    assert len(ended(engine(strategy="rate"))["records"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dead_tuner_is_an_error_and_no_wait_for_ever(engine, nni, tmp_path):
    process = engine(trials=50)

    def tuner() -> psutil.Process | None:
        for values in database.listed().values():
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(values["pid"]).children(recursive=True):
                    if child.cmdline()[1:3] == ["-m", "nni"]:
                        return child
        return None

    nni.until("a trial", lambda: list(tmp_path.glob("nni/attempts/*.json")) or process.poll() is not None)
    nni.until("the tuner's process", tuner).kill()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 1 and out == ""
    assert "the same command goes on from there" in err.splitlines()[-1]
