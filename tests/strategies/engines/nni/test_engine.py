from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.limits import Limits
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.strategies.engines.nni import listed, manager
from bankwise.strategies.engines.nni.engine import NOTE, describe
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

SOURCE, RECIPE = TaskSource("tiny", "digits", limit=200), Recipe(epochs=2, batch=20)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return SOURCE.make(RECIPE, tmp_path_factory.mktemp("teacher") / "teacher.pt")


@pytest.fixture
def make_job(task, tmp_path):
    def make(name: str, trials: int = 3, **changes) -> Job:
        limits = {key: changes.pop(key) for key in ("max_ram", "max_ops") if key in changes}
        space = BudgetedSpace(SearchSpace(task.shape), Limits(Budget(1000), **limits))
        strategy = make_strategy("evolution", space, 4)
        job = Job(strategy, task, Recipe(epochs=2, batch=20), trials, tmp_path / name, SOURCE)
        return dataclasses.replace(job, **changes)

    return make


SCRIPT = """
import json, pathlib, sys
from bankwise.search_space.budget import Budget
from bankwise.search_space.limits import Limits
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource
root, epochs, trials, most = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[5])
source = TaskSource("tiny", "digits", limit=200)
task = source.make(Recipe(epochs=2, batch=20), root / "teacher.pt")
strategy = make_strategy(sys.argv[4], BudgetedSpace(SearchSpace(task.shape), Budget(1000)), 4)
told, results = [], []
job = Job(
    strategy, task, Recipe(epochs=epochs, batch=20), trials, root / "nni", source,
    lambda number, epoch: told.append([number, epoch.epoch]), lambda *result: results.append(result),
    may_begin=lambda: len(results) < most,
)
records = make_engine("nni").run(job)
found = [{"plan": one.plan.to_dict(), "metrics": one.metrics} for one in records]
print(json.dumps({"records": found, "epochs": told, "results": results}))
"""


@pytest.fixture
def engine(home, tmp_path):
    """Starts the engine in a process of its own, whose home is the test's; nothing of NNI is left at the end."""
    started = []

    def start(epochs: int = 2, trials: int = 3, strategy: str = "evolution", most: int = 99) -> subprocess.Popen:
        arguments = [sys.executable, "-c", SCRIPT, tmp_path, str(epochs), str(trials), strategy, str(most)]
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
    assert not psutil.wait_procs(left, timeout=500)[1]


def ended(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return json.loads(out)


def plans(records: list[dict]) -> list[tuple]:
    return [(one["plan"], one["metrics"]["accuracy"]) for one in records]


def text(path) -> str:
    return path.read_text() if path.exists() else ""


def noted(folder: Path) -> str:
    """The id of the folder's experiment."""
    return json.loads((folder / "nni" / NOTE).read_text())["id"]


def local(job: Job) -> list[tuple]:
    return [(one.plan.to_dict(), one.metrics["accuracy"]) for one in make_engine("local").run(job)]


def test_a_job_in_plain_values(make_job, task):
    for limits in ({}, {"max_ram": 60_000}, {"max_ram": 9_000, "max_ops": 10**6}):
        job = make_job("x", **limits)
        experiment = describe(job)
        assert [list(row) for row in experiment.budgeted.allowed] == [list(row) for row in job.strategy.space.allowed]
        assert experiment.budgeted.sizes == job.strategy.space.sizes and experiment.recipe == job.recipe
        assert experiment.budgeted.capacity == job.strategy.space.capacity and experiment.teacher


def test_a_job_that_is_not_plain_is_refused(make_job, task, home):
    with pytest.raises(BankwiseError, match="another process can read"):
        make_engine("nni").run(make_job("x", source=None))
    with pytest.raises(BankwiseError, match="recipe"):
        make_engine("nni").run(make_job("x", recipe=Recipe(epochs=2, lr=0.1)))
    space = SearchSpace(task.shape)
    cut = BudgetedSpace(space.cut([range(5)] * 5), Budget(10**6))
    with pytest.raises(BankwiseError, match="cut by hand"):
        make_engine("nni").run(make_job("x", strategy=make_strategy("random", cut)))


@pytest.mark.parametrize("options", [{"scheduler": "asha"}, {"address": "auto"}, {"gpus": 0.5}, {"cpus": 2}], ids=str)
def test_options_of_another_engine(options):
    with pytest.raises(BankwiseError, match="unknown (scheduler|option)"):
        make_engine("nni", **options)


@pytest.fixture
def first_tuner(tmp_path, monkeypatch):
    """Makes the first tuner's Python run further code at its start, once; the file that says whose that was."""

    def make(code: str) -> Path:
        folder = tmp_path / "first"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(ONCE.format(once=str(folder / "once")) + textwrap.indent(code, "    "))
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        return folder / "once"

    return make


ONCE = """
import os, pathlib, sys, time
once = pathlib.Path({once!r})
if "--exp_params" in sys.orig_argv and not once.exists():
    once.write_text(str(os.getpid()))
"""
LATE = "time.sleep(60)"
LOSSY = """
from nni.runtime.tuner_command_channel.channel import CommandType, TunerCommandChannel
send, lost = TunerCommandChannel._send, []
def lossy(self, command, data):
    if command == CommandType.NewTrialJob and not lost:
        lost.append(once.write_text("lost"))
    else:
        send(self, command, data)
TunerCommandChannel._send = lossy
"""


@pytest.mark.slow
def test_a_tuner_that_is_too_late_for_nni_is_started_again(engine, make_job, first_tuner):
    """Python starts the first tuner after a minute; NNI gives it ten seconds. It is ended, and meets no other one."""
    late = first_tuner(LATE)
    found = ended(engine(trials=2))
    assert not psutil.pid_exists(int(late.read_text()))
    assert plans(found["records"]) == local(make_job("local", 2))


@pytest.mark.slow
def test_a_trial_that_is_lost_on_its_way_to_nni_is_proposed_again(engine, make_job, first_tuner):
    """NNI waits for ever for it."""
    lossy = first_tuner(LOSSY)
    found = ended(engine(trials=2))
    assert lossy.read_text() == "lost" and plans(found["records"]) == local(make_job("local", 2))


@pytest.mark.slow
def test_interrupted_it_goes_on_and_a_call_after_the_end_starts_nothing(make_job, engine, nni, tmp_path):
    first = engine(epochs=20)
    nni.until("a result", lambda: "finished" in text(tmp_path / "nni" / "ledger.jsonl") or first.poll() is not None)
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=500)
    id, known = noted(tmp_path), list(listed.listed())  # another one may have lost its port to another test's
    assert id in known and manager.attach(id) is None  # stopped in order
    found = ended(engine(epochs=20))
    assert noted(tmp_path) == id and manager.attach(id) is None and list(listed.listed()) == known
    assert plans(found["records"]) == local(make_job("local", recipe=Recipe(epochs=20, batch=20)))
    assert ended(engine(epochs=20)) == {"records": found["records"], "epochs": [], "results": []}
    assert list(listed.listed()) == known


@pytest.mark.slow
def test_it_ends_where_no_trial_may_begin_and_goes_on_with_more_time_and_more_trials(make_job, engine, tmp_path):
    """The time is up with the first result; what NNI began by then ends well."""
    first = ended(engine(trials=40, epochs=8, most=1))["records"]
    assert 1 <= len(first) < 8 and all(record["metrics"] for record in first)
    count = len(first) + 1
    more = ended(engine(trials=count, epochs=8))["records"]
    assert more[: len(first)] == first and len(more) == count
    assert plans(more) == local(make_job("local", trials=count, recipe=Recipe(epochs=8, batch=20)))
    again = ended(engine(trials=count + 1, epochs=8))["records"]
    assert again[:count] == more and len(again) == count + 1


@pytest.mark.slow
def test_a_strategy_with_one_plan_ends(engine):
    """NNI itself waits for ever for the second."""
    found = ended(engine(strategy="rate"))
    (record,) = found["records"]
    assert found["epochs"] == [[0, 1], [0, 2]] and found["results"] == [[0, record["metrics"]]]


@pytest.mark.slow
def test_a_dead_tuner_is_an_error_and_no_wait_for_ever(engine, nni, tmp_path):
    process = engine(trials=50)

    def tuner() -> psutil.Process | None:
        for values in listed.listed().values():
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(values["pid"]).children(recursive=True):
                    if child.cmdline()[1:3] == ["-m", "nni"]:
                        return child
        return None

    nni.until("a trial", lambda: list(tmp_path.glob("nni/trials/*/trial.json")) or process.poll() is not None)
    nni.until("the tuner's process", tuner).kill()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 1 and out == ""
    assert "the same command goes on from there" in err.splitlines()[-1]
