"""`run_ray` on a real Ray: as the local engine, with schedulers, and with all that may go wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import signal
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray")
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.strategies.engines.local import LocalEngine
from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray import check_ray, run_ray
from bankwise.strategies.ledger import RETRIES
from bankwise.strategies.trials import SearchFailed, Trials
from bankwise.trainers.recipe import Recipe

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.usefixtures("two_cpus"),
    pytest.mark.filterwarnings("ignore:Ray has GPUs here"),
]
WORKER = "ray::ImplicitFunc"  # what Ray calls the process of a function trainable
EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "ray" / "search.py"


def run_local(job) -> list:
    return LocalEngine().run(job)


def plain(records: list) -> list:
    """Records without what differs from day to day."""
    return [
        dataclasses.replace(one, failures=0, metrics=one.metrics and {**one.metrics, "seconds": 0}) for one in records
    ]


def check(records: list, job, most: int = 900) -> None:
    assert len({record.plan.to_yaml() for record in records}) == len(records) == job.trials
    for record in records:
        cost = price(job.task.shape, record.plan)
        assert record.metrics["file_bytes"] == cost.file_bytes <= most
        assert record.metrics["paper_bits"] == cost.paper_bits


class Watched:
    """A job's callbacks: the epochs and results of each trial by number; `act` is called with both."""

    def __init__(self, act=lambda number, epoch: None):
        self.epochs, self.results, self.failures, self.act = defaultdict(list), {}, {}, act

    @property
    def fields(self) -> dict:
        return {"on_epoch": self.on_epoch, "on_result": self.on_result, "on_failure": self.failures.__setitem__}

    def on_epoch(self, number, epoch):
        self.epochs[number].append(epoch.epoch)
        assert 0 < epoch.accuracy <= 1 and epoch.loss > 0 and epoch.seconds > 0
        self.act(number, epoch.epoch)

    def on_result(self, number, metrics):
        self.results[number] = metrics["accuracy"]


def test_one_worker_gives_the_local_engines_records(make_job):
    """So does a job that goes on with more trials, after an error of the caller as well."""
    expected, watched = make_job(8, "local"), Watched()
    job = make_job(6, "ray", **watched.fields)
    local = plain(run_local(expected))
    with pytest.warns(UserWarning, match="ask for gpu=1"):  # the GPUs of this Ray are make-believe
        records = run_ray(job)
    assert plain(records) == local[:6]
    assert watched.epochs == {number: [1, 2] for number in range(6)}
    assert watched.results == {number: record.metrics["accuracy"] for number, record in enumerate(local[:6])}

    def never(*_):
        raise AssertionError("a finished job runs nothing")

    again = make_job(6, "ray", on_epoch=never, on_result=never)
    assert plain(run_ray(again)) == local[:6]
    assert Trials.read(job.ledger).records == records

    def full_disk(number: int, metrics: dict) -> None:
        raise BankwiseError("cannot write 'metrics.jsonl': No space left on device")

    with pytest.raises(BankwiseError, match="No space left"):
        run_ray(make_job(8, "ray", on_result=full_disk))
    assert len(Trials.read(job.ledger).records) == 7
    more = make_job(8, "ray")
    assert plain(run_ray(more)) == local
    assert more.strategy.state_dict() == expected.strategy.state_dict()
    check(Trials.read(more.ledger).records, more)


@pytest.mark.slow
def test_schedulers_end_poor_trials_early_and_paused_ones_go_on(make_job):
    local = run_local(make_job(6, "local", strategy="random", epochs=4))
    expected = {record.plan.to_yaml(): record for record in plain(local)}
    for scheduler in ("asha", "hyperband", "median"):
        watched = Watched()
        job = make_job(6, scheduler, strategy="random", epochs=4, **watched.fields)
        records = run_ray(job, RayOptions(workers=2, scheduler=scheduler))
        check(records, job)
        stopped = [record for record in records if "stopped" in record.metrics]
        assert 0 < len(stopped) < len(records)
        assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in watched.epochs.values()), "no epoch twice"
        for record in plain(records):
            same = expected[record.plan.to_yaml()]
            if "stopped" in record.metrics:
                epochs = record.metrics["epochs"]
                assert record.metrics["stopped"] == len(epochs) < 4 and epochs == same.metrics["epochs"][: len(epochs)]
            else:
                assert record.metrics == same.metrics, "paused or not, a trial ends the same"
        assert len(job.strategy.results) == 6
        assert not list(job.folder.glob("trials/*/checkpoint.pt")), "checkpoints of ended trials"


def test_a_killed_process_then_ctrl_c_then_two_workers_with_a_share_of_a_gpu_each(make_job):
    """Both go on from the trial store; what Ray has left of the first start is never read."""
    killed = []

    def act(number: int, epoch: int) -> None:
        if (number, epoch) == (1, 4) and not killed:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):  # Ray's children come and go
                    if process.cmdline()[:1] == [WORKER]:
                        killed.append(process.pid)
                        process.kill()
        if (number, epoch) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    watched = Watched(act)
    job = make_job(4, strategy="random", epochs=6, **watched.fields)
    with pytest.raises(KeyboardInterrupt):
        run_ray(job)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(killed) == 1 and watched.epochs[1] == [1, 2, 3, 4, 5, 6], "no epoch twice"
    kept = Trials.read(job.ledger)
    assert [record.failures for record in kept.records] == [0, 1] and kept.running == [2]
    assert list(job.folder.glob("trials/*/checkpoint.pt"))

    for path in (job.folder / "ray").glob("*.*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    watched = Watched()
    again = make_job(5, strategy="random", epochs=6, **watched.fields)
    options = RayOptions(workers=2, cpus=0.5, gpus=0.5, scheduler="none")
    records = sorted(run_ray(again, options), key=lambda one: one.number)
    assert plain(records) == plain(run_local(make_job(5, "local", strategy="random", epochs=6)))
    check(records, again)
    assert sorted(watched.results) == [2, 3, 4] and watched.epochs[3] == watched.epochs[4] == [1, 2, 3, 4, 5, 6]
    assert len(list(job.folder.glob("ray/trial-*/result.json"))) == 7, "logs of both starts"


def test_a_users_mistake_ends_the_search_with_its_line(make_job):
    job = make_job(3)
    begin = time.monotonic()
    with pytest.raises(BankwiseError, match="^recipe distill is 0.5: give a teacher"):
        run_ray(dataclasses.replace(job, recipe=Recipe(epochs=2, distill=0.5, threads=1)))
    assert time.monotonic() - begin < 120


@pytest.mark.slow
def test_trials_that_all_fail_are_one_line_with_the_cause(make_job):
    watched = Watched()
    job = make_job(3, **watched.fields)
    data = dataclasses.replace(job.task.data, train_y=job.task.data.train_y + 100)  # classes that are not there
    with pytest.raises(SearchFailed, match="all of the first 3 trials failed: IndexError: Target 1.. is out of bounds"):
        run_ray(dataclasses.replace(job, task=dataclasses.replace(job.task, data=data)))
    records = Trials.read(job.ledger).records
    assert [record.failures for record in records] == [RETRIES + 1] * 3
    assert watched.failures == {number: records[number].reason for number in range(3)}


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
    for call in (lambda: run_ray(make_job(2), RayOptions(**options)), lambda: check_ray(RayOptions(**options))):
        begin = time.monotonic()
        with pytest.raises(BankwiseError, match=message):
            call()
        assert time.monotonic() - begin < 100


def test_a_folder_that_cannot_be_written_and_a_damaged_ledger_are_one_line(make_job):
    job = make_job(2, "occupied")
    job.folder.write_text("in the way")
    with pytest.raises(BankwiseError, match="cannot write .*occupied"):
        run_ray(job)
    job = make_job(2)
    job.folder.mkdir()
    for content in ("{\n", "[]\n", '{"trials": []}\n', '{"ledger": 1, "state": {"strategy": "tpe"}}\n'):
        job.ledger.write_text(content)
        with pytest.raises(BankwiseError, match="ledger.jsonl.*delete it to start the search again"):
            run_ray(make_job(2))


def test_the_example_runs(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    results = example.main(str(tmp_path), trials=2, epochs=2, limit=300)
    assert len(results) == 2 and not results.errors
    assert all(result.metrics["file_bytes"] <= 900 for result in results)
    assert " bytes: 0.0=" in capsys.readouterr().out
