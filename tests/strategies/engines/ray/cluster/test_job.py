"""A search handed to the cluster by `ray job submit`."""

from __future__ import annotations

import pytest

SECONDS = 500  # that a job of one command may take

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray-cluster")]


def test_a_submitted_search_leaves_its_folder_where_it_was_asked_to(cluster, tmp_path):
    """The working directory is copied to the nodes; the run's folder is a path that they all reach."""
    here, out = tmp_path / "here", tmp_path / "run"
    here.mkdir()
    (here / "recipe.yaml").write_text("batch: 25\n")
    submit = ("ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", here, "--")
    options = ("--trials", 2, "--workers", 2, "--trial-epochs", 20, "--strategy", "uniform", "--recipe", "recipe.yaml")
    cluster.until("an agent that takes jobs", lambda: not cluster.run(*submit, "true").process.wait(SECONDS))
    run = cluster.search(out, *options, before=submit)
    assert "succeeded" in run.end()
    run.checked(2, 20)
    assert {result["node_ip"] for result in run.results()} <= {cluster.head_ip, cluster.worker_ip}
    assert [path.name for path in here.iterdir()] == ["recipe.yaml"]
    assert (out / "report.html").exists()
