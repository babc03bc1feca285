"""`run_ray` on a real Ray: as the local engine, with schedulers, and with all that may go wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray")
from search_space.errors import BankwiseError
from search_space.plan import Plan
from search_space.price import price
from strategies.job import EngineOptions
from strategies.local import run_local
from strategies.ray import check_ray, run_ray
from trainers.recipe import Recipe

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("two_cpus"),
    pytest.mark.filterwarnings("ignore:Ray has GPUs here"),
]
WORKER = "ray::ImplicitFunc"  # what Ray calls the process of a function trainable
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "ray" / "search.py"


def told(records: list[dict]) -> list[dict]:
    """Records without what differs from day to day, as JSON has them."""
    plain = json.loads(json.dumps(records))
    return [{**record, "metrics": {**record["metrics"], "seconds": None}} for record in plain]


def check(records: list[dict], job, within: int = 900) -> None:
    plans = [Plan.from_dict(record["plan"]) for record in records]
    assert len({plan.to_yaml() for plan in plans}) == len(records) == job.trials
    for plan, record in zip(plans, records, strict=True):
        cost = price(job.task.shape, plan)
        assert record["metrics"]["file_bytes"] == cost.file_bytes <= within
        assert record["metrics"]["paper_bits"] == cost.paper_bits


class Heard:
    """A job's callbacks: the epochs and results of each trial by number; `act` is called with both."""

    def __init__(self, act=lambda number, epoch: None):
        self.epochs, self.results, self.act = defaultdict(list), {}, act

    @property
    def fields(self) -> dict:
        return {"on_epoch": self.on_epoch, "on_result": self.on_result}

    def on_epoch(self, number, epoch):
        self.epochs[number].append(epoch.epoch)
        assert 0 < epoch.accuracy <= 1 and epoch.loss > 0 and epoch.seconds > 0
        self.act(number, epoch.epoch)

    def on_result(self, number, metrics):
        self.results[number] = metrics["accuracy"]


def test_one_worker_gives_the_local_engines_records(make_job):
    expected, heard = make_job(7, "local"), Heard()
    job = make_job(7, "ray", **heard.fields)
    local = run_local(expected)
    with pytest.warns(UserWarning, match="ask for gpu=1"):  # the GPUs of this Ray are make-believe
        records = run_ray(job)
    assert told(records) == told(local)
    assert job.strategy.state_dict() == expected.strategy.state_dict()
    assert heard.epochs == {number: [1, 2] for number in range(7)}
    assert heard.results == {number: record["metrics"]["accuracy"] for number, record in enumerate(local)}

    def never(*_):
        raise AssertionError("a finished job runs nothing")

    again = make_job(7, "ray", on_epoch=never, on_result=never)
    assert told(run_ray(again)) == told(local)
    kept = json.loads(job.journal.read_text())
    assert kept["strategy"] == expected.strategy.state_dict() and kept["trials"] == records
    assert not list(job.journal.with_suffix("").rglob("checkpoint_*")), "checkpoints of ended trials"

    more = make_job(9, "ray")
    assert told(run_ray(more))[:7] == told(local)
    check(json.loads(more.journal.read_text())["trials"], more)


def test_two_workers_with_a_share_of_a_gpu_each(make_job):
    heard = Heard()
    job = make_job(6, strategy="random", **heard.fields)
    records = run_ray(job, EngineOptions(workers=2, cpus=0.5, gpus=0.5))
    check(records, job)
    assert heard.epochs == {number: [1, 2] for number in range(6)}
    assert sorted(heard.results) == list(range(6))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_schedulers_end_poor_trials_early_and_paused_ones_go_on(make_job, scheduler):
    heard = Heard()
    job = make_job(10, strategy="random", epochs=6, **heard.fields)
    records = run_ray(job, EngineOptions(workers=2, scheduler=scheduler))
    check(records, job)
    stopped = [record["metrics"] for record in records if "stopped" in record["metrics"]]
    through = [record["metrics"] for record in records if "stopped" not in record["metrics"]]
    assert stopped and through
    assert all(metrics["stopped"] == len(metrics["epochs"]) < 6 for metrics in stopped)
    assert all(len(metrics["epochs"]) == 6 for metrics in through)
    assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in heard.epochs.values()), "no epoch twice"
    expected = run_local(make_job(10, "local", strategy="random", epochs=6))
    for record in told(records):
        plan = record["plan"]
        (same,) = [other for other in told(expected) if other["plan"] == plan]
        if "stopped" in record["metrics"]:
            assert record["metrics"]["epochs"] == same["metrics"]["epochs"][: record["metrics"]["stopped"]]
        else:
            assert record == same, "paused or not, a trial ends the same"
    assert len(job.strategy.told) == 10


def test_a_trial_whose_process_dies_goes_on_from_its_checkpoint(make_job):
    killed = []

    def act(number: int, epoch: int) -> None:
        if (number, epoch) == (1, 4) and not killed:
            for process in psutil.Process().children(recursive=True):
                if process.cmdline()[:1] == [WORKER]:
                    killed.append(process.pid)
                    process.kill()

    heard = Heard(act)
    job = make_job(3, epochs=6, **heard.fields)
    records = run_ray(job)
    assert len(killed) == 1
    assert told(records) == told(run_local(make_job(3, "local", epochs=6)))
    assert heard.epochs[1] in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 4, 5, 6])


def test_ctrl_c_and_then_the_same_call(make_job):
    def act(number: int, epoch: int) -> None:
        if (number, epoch) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    job = make_job(4, epochs=3, **Heard(act).fields)
    with pytest.raises(KeyboardInterrupt):
        run_ray(job)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(json.loads(job.journal.read_text())["trials"]) == 2
    heard = Heard()
    records = run_ray(make_job(4, epochs=3, **heard.fields))
    assert told(records) == told(run_local(make_job(4, "local", epochs=3)))
    assert not heard.results.keys() & {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["tuner.pkl", "experiment_state-*.json", "search_gen_state-*.json"])
def test_what_ray_has_saved_may_be_cut_off_or_stale(make_job, damage):
    """After a kill the journal alone is sure to be whole."""
    job = make_job(3, on_result=interrupt_after(1))
    with pytest.raises(KeyboardInterrupt):
        run_ray(job)
    (file,) = job.journal.with_suffix("").rglob(damage)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    records = run_ray(make_job(3))
    assert told(records) == told(run_local(make_job(3, "local")))


def interrupt_after(number: int):
    def on_result(ended: int, metrics: dict) -> None:
        if ended == number:
            os.kill(os.getpid(), signal.SIGINT)

    return on_result


def test_a_plan_that_ray_has_lost_is_tried_again_and_one_it_does_not_know_to_be_over_is_ended(make_job):
    """The journal is of a later moment than Ray's state: a trial under way that Ray never saw, another one told."""
    job = make_job(4, on_result=interrupt_after(1))
    with pytest.raises(KeyboardInterrupt):
        run_ray(job)
    kept = json.loads(job.journal.read_text())
    strategy = make_job(4).strategy
    strategy.load_state_dict(kept["strategy"])
    if not kept["live"]:
        kept["live"] = {"00000000": {"number": 2, "plan": strategy.ask().to_dict(), "failures": 0, "last": None}}
        kept["proposed"], kept["strategy"] = 3, strategy.state_dict()
    else:
        kept["live"] = {"00000000": next(iter(kept["live"].values()))}
    job.journal.write_text(json.dumps(kept))
    records = run_ray(make_job(4))
    assert told(records) == told(run_local(make_job(4, "local")))


def test_a_users_mistake_ends_the_search_with_its_line(make_job):
    job = make_job(3)
    begin = time.monotonic()
    with pytest.raises(BankwiseError, match="^recipe distill is 0.5: give a teacher"):
        run_ray(dataclasses.replace(job, recipe=Recipe(epochs=2, distill=0.5, threads=1)))
    assert time.monotonic() - begin < 120


@pytest.mark.slow
def test_trials_that_all_fail_are_one_line_with_the_cause(make_job):
    job = make_job(3)
    data = dataclasses.replace(job.task.data, train_y=job.task.data.train_y + 100)  # classes that are not there
    with pytest.raises(BankwiseError, match="fail.*IndexError: Target 1.. is out of bounds") as raised:
        run_ray(dataclasses.replace(job, task=dataclasses.replace(job.task, data=data)))
    assert "\n" not in str(raised.value)


def test_an_error_of_the_caller_ends_the_search_and_it_goes_on_later(make_job):
    def full_disk(number: int, metrics: dict) -> None:
        raise BankwiseError("cannot write 'metrics.jsonl': No space left on device")

    with pytest.raises(BankwiseError, match="No space left"):
        run_ray(make_job(2, on_result=full_disk))
    assert told(run_ray(make_job(2))) == told(run_local(make_job(2, "local")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 3}, "resources gpu=3 of a trial: no node of the Ray cluster has more than 2"),
        ({"cpus": 64}, "resources cpu=64 of a trial: no node of the Ray cluster has more than 2"),
        ({"gpus": 1.5}, "gpu=1.5 of a trial: above 1 it must be a whole number"),
        ({"scheduler": "ash"}, "unknown scheduler 'ash': did you mean asha"),
    ],
)
def test_what_can_never_be_met_is_said_at_once(make_job, options, message):
    for call in (lambda: run_ray(make_job(2), EngineOptions(**options)), lambda: check_ray(EngineOptions(**options))):
        begin = time.monotonic()
        with pytest.raises(BankwiseError, match=message):
            call()
        assert time.monotonic() - begin < 30


def test_a_folder_that_cannot_be_written_is_one_line(make_job):
    job = make_job(2)
    job.journal.with_suffix("").write_text("in the way")
    with pytest.raises(BankwiseError, match="cannot write .*search"):
        run_ray(job)


def test_a_damaged_journal_is_one_line(make_job):
    job = make_job(2)
    for content in ("{", "[]", '{"trials": []}', '{"trials": [], "strategy": {"strategy": "tpe"}}'):
        job.journal.write_text(content)
        with pytest.raises(BankwiseError, match="search.json.*delete it to start the search again"):
            run_ray(make_job(2))


def test_the_example_runs(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    results = example.main(str(tmp_path), trials=3, epochs=2, limit=300)
    assert len(results) == 3 and not results.errors
    assert all(result.metrics["file_bytes"] <= 900 for result in results)
    assert " bytes: 0.0=" in capsys.readouterr().out
