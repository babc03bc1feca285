"""One training by two processes, one on each node."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray-cluster")]
EPOCHS = 60


def test_two_nodes_train_one_network_and_one_of_them_can_be_replaced(cluster, tmp_path):
    """By more processes than there is room for: those that fit begin."""
    options = ("--strategy", "uniform", "--trials", 1, "--trial-epochs", 1, "--epochs", EPOCHS)
    run = cluster.search(tmp_path / "run", *options, "--workers", 2, "--final-workers", 5)
    kept = run.out / "checkpoints"
    cluster.until("a checkpoint", lambda: list(kept.glob("searched-0/checkpoint_*")) or not run.lives())
    assert run.lives() and not (kept / "searched-0.json").exists(), run.output
    at_work = [len(node.called(cluster.together)) for node in (cluster.head, cluster.worker)]
    cluster.worker.kill()
    cluster.start_worker()
    run.end()
    assert at_work == [1, 1]
    assert len(json.loads((kept / "searched-0.json").read_text())["epochs"]) == EPOCHS
    run.checked(1, 1)
