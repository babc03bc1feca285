"""Where Ray's web page is, as it is told, and what Ray's table shows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("ray")
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial
from ray.tune.utils.log import set_verbosity

from bankwise.strategies.engines.on_ray import RayOptions
from bankwise.strategies.engines.ray import cluster as module
from bankwise.strategies.engines.ray import table


@pytest.mark.parametrize("asked", [True, False])
def test_the_page_of_a_ray_that_is_started_is_told_where_it_is_asked_for(monkeypatch, asked):
    given = {}

    def init(address, **options):
        given.update(options, address=address)
        return SimpleNamespace(dashboard_url="127.0.0.1:8265" if options["include_dashboard"] else None)

    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(module.ray, "init", init)
    monkeypatch.setattr(module.ray, "shutdown", lambda: None)
    with module.cluster(RayOptions(dashboard=asked)) as page:
        assert page == ("127.0.0.1:8265" if asked else "")
    assert given["address"] == "local" and given["include_dashboard"] is asked


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("two_cpus")
def test_the_table_shows_accuracy_and_bytes_the_best_first(tmp_path):
    trials, storage = [], StorageContext(str(tmp_path), experiment_dir_name="search", trial_dir_name="trial")
    for number, (accuracy, size) in enumerate([(0.61, 880), (0.97, 1234), (0.4, 900)]):
        trial = Trial("bankwise", stub=True, storage=storage, trial_id=f"t{number}", config={"0": "B", "1": "S2.4.3x3"})
        trial.run_metadata.last_result = {
            "accuracy": accuracy,
            "file_bytes": size,
            "epoch": 8,
            "loss": 0.25,
            "trial_id": f"t{number}",
        }
        trial.set_status(Trial.TERMINATED)
        trials.append(trial)
    set_verbosity(3)  # a search before, in this process, may have made Ray quiet
    lines = table(metric="accuracy", mode="max")._progress_str(trials, done=True).splitlines()
    heads = next(line for line in lines if line.startswith("|") and "accuracy" in line)
    assert "bytes" in heads and "epoch" in heads
    rows = [line for line in lines if "TERMINATED" in line and "|" in line]
    assert [size for row in rows for size in ("880", "1234", "900") if size in row] == ["1234", "880", "900"]
