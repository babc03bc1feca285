"""Searches on two nodes, undisturbed and with a node, a trial or the search itself killed."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from bankwise.searching import SearchSettings, search
from trainers.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHORT = 30
EPOCHS = 120  # of a trial that outlasts the start of another one's process, which would else take over that one as well
LONG = ("--strategy", "uniform", "--trial-epochs", EPOCHS)  # no second search for the uniform plan


def test_trials_run_on_both_nodes_and_leave_what_they_leave_on_one(cluster, tmp_path):
    run = cluster.search(tmp_path / "run", *LONG, "--trials", 2, "--workers", 2, "--address", cluster.address)
    run.end()
    run.checked(2, EPOCHS)
    assert {result["node_ip"] for result in run.results()} == {cluster.head_ip, cluster.worker_ip}
    assert set(Counter((result["plan"], result["epoch"]) for result in run.results()).values()) == {1}
    for trial in run.out.glob("search/ray/trial-*"):
        assert {"progress.csv", "result.json"} <= {path.name for path in trial.iterdir()}
        assert list(trial.glob("events.out.tfevents.*"))
        assert not list(trial.glob("checkpoint_*")), "that of an ended trial is of no more use"


def test_a_killed_node_costs_no_trial(cluster, tmp_path):
    run = cluster.search(tmp_path / "run", *LONG, "--trials", 3, "--workers", 2)
    plan = cluster.until("a trial on the second node", lambda: run.under_way(cluster.worker_ip, EPOCHS))
    done = run.journal()["trials"]
    cluster.worker.kill()
    run.end()
    assert run.checked(3, EPOCHS)[: len(done)] == done
    moved = [result for result in run.results() if result["plan"] == plan]
    assert [result["epoch"] for result in moved] == list(range(1, EPOCHS + 1)), "it went on from its checkpoint"
    assert [moved[0]["node_ip"], moved[-1]["node_ip"]] == [cluster.worker_ip, cluster.head_ip]


def test_a_killed_trial_goes_on_from_its_checkpoint(cluster, tmp_path):
    run = cluster.search(tmp_path / "run", *LONG, "--trials", 2, "--workers", 2)
    plan = cluster.until("a trial on the second node", lambda: run.under_way(cluster.worker_ip, EPOCHS))
    (trial,) = cluster.worker.called(cluster.trial)
    trial.send_signal(signal.SIGKILL)
    run.end()
    run.checked(2, EPOCHS)
    went = [result for result in run.results() if result["plan"] == plan]
    assert [result["epoch"] for result in went] == list(range(1, EPOCHS + 1))
    assert len({result["pid"] for result in went}) == 2


def test_a_killed_search_goes_on_to_what_it_would_have_found(cluster, tmp_path):
    """With one worker and a seed: to the bit what one process finds."""
    out, options = tmp_path / "run", ("--strategy", "evolution", "--trial-epochs", SHORT, "--trials", 3)
    run = cluster.search(out, *options)
    cluster.until("a trial after a finished one", lambda: len({result["plan"] for result in run.results()}) == 2)
    run.kill()
    done = run.journal()["trials"]
    assert len(done) == 1
    again = cluster.search(out, *options)
    again.end()
    records = again.checked(3, SHORT)
    assert records[:1] == done

    recipe = Recipe(epochs=1, batch=50, threads=1)
    settings = SearchSettings(
        "evolution", trials=3, uniform_trials=1, finalists=1, seeds=1, trial_epochs=SHORT, recipe=recipe
    )
    alone = tmp_path / "alone"
    search("tiny", "digits", 900, alone, settings, limit=400)
    undisturbed = json.loads((alone / "search.json").read_text())["trials"]
    assert [without_seconds(record) for record in records] == [without_seconds(record) for record in undisturbed]
    for name in ("plan.yaml", "uniform.yaml", "model.bankwise"):
        assert (out / name).read_bytes() == (alone / name).read_bytes()


def without_seconds(record: dict) -> dict:
    return {**record, "metrics": {**record["metrics"], "seconds": None}}
