"""Searches on two nodes: with a trial, a node and the search itself killed."""

from __future__ import annotations

import dataclasses
import signal

import pytest

from bankwise.searching import SearchSettings, search
from bankwise.strategies.engines.job import LEDGER
from bankwise.strategies.trials import Trials
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray-cluster")]
SHORT = 30
EPOCHS = 150  # of a trial that outlasts the start of another one's process


def test_a_killed_trial_and_a_killed_node_cost_no_epoch(cluster, tmp_path):
    """Two trials, one on each node: the process of one is killed, then the node that it went on at."""
    options = ("--strategy", "uniform", "--trial-epochs", EPOCHS, "--trials", 2, "--workers", 2)
    run = cluster.search(tmp_path / "run", *options, "--address", cluster.address)
    first = cluster.until("a trial on the second node", lambda: run.on_its_way(cluster.worker_ip, EPOCHS // 3))
    (trial,) = cluster.worker.called(cluster.trial)
    trial.send_signal(signal.SIGKILL)
    second = cluster.until(
        "another process there", lambda: run.on_its_way(cluster.worker_ip, EPOCHS - 10, but=(first["pid"],))
    )
    assert second["plan"] == first["plan"]
    cluster.worker.kill()
    run.end()
    records = run.checked(2, EPOCHS)
    assert sorted(record.failures for record in records) == [0, 2]
    for plan in {result["plan"] for result in run.results()}:
        assert [result["epoch"] for result in run.last_try(plan)] == list(range(1, EPOCHS + 1)), "each epoch once"
    moved = run.last_try(first["plan"])
    tries = {result["trial_id"]: result for result in run.results() if result["plan"] == first["plan"]}
    assert len(tries) == 3 and {result["node_ip"] for result in moved} == {cluster.head_ip}
    before = {(result["epoch"], result["loss"]) for result in run.results() if result["pid"] == first["pid"]}
    went_on = {(result["epoch"], result["loss"]) for result in moved}
    assert len(before - went_on) <= 1, "it went on from its checkpoint, to the bit"
    for folder in run.out.glob("search/ray/trial-*"):
        assert {"progress.csv", "result.json"} <= {path.name for path in folder.iterdir()}
        assert list(folder.glob("events.out.tfevents.*"))


def test_a_killed_search_goes_on_to_what_it_would_have_found(cluster, tmp_path):
    """With one worker and a seed: to the bit what one process finds."""
    out, options = tmp_path / "run", ("--strategy", "evolution", "--trial-epochs", SHORT, "--trials", 3)
    run = cluster.search(out, *options)
    cluster.until("a trial after a finished one", lambda: len({result["plan"] for result in run.results()}) == 2)
    run.kill()
    done = run.ledger().records
    assert len(done) == 1
    again = cluster.search(out, *options, "--address", cluster.address)
    again.end()
    records = again.checked(3, SHORT)
    assert records[:1] == done

    recipe = Recipe(epochs=1, batch=50, threads=1)
    settings = SearchSettings(
        "evolution", trials=3, uniform_trials=1, finalists=1, seeds=1, trial_epochs=SHORT, recipe=recipe
    )
    alone = tmp_path / "alone"
    search(None, TaskSource("tiny", "digits", limit=400), 900, alone, settings)
    undisturbed = Trials.read(alone / "search" / LEDGER).records
    assert [without_seconds(record) for record in records] == [without_seconds(record) for record in undisturbed]
    for name in ("plan.yaml", "uniform.yaml", "model.bankwise"):
        assert (out / name).read_bytes() == (alone / name).read_bytes()


def without_seconds(record):
    return dataclasses.replace(record, metrics={**record.metrics, "seconds": None})
