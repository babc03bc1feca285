"""A trial's process without NNI, and its rules; with NNI it is in test_experiments.py."""

from __future__ import annotations

import subprocess
import sys

from nni.utils import extract_scalar_history, extract_scalar_reward

from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.trial import final


def run(folder) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bankwise.strategies.engines.nni.trial"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_started_by_hand_it_says_who_starts_it(small, home, tmp_path):
    small.write(tmp_path / "experiment")
    told = run(tmp_path / "experiment")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "error: NNI gave no parameters ({}); `nnictl create` starts trials\n"
    assert not (tmp_path / "experiment" / "trials").exists()


def test_in_a_folder_of_something_else(home, tmp_path):
    told = run(tmp_path)
    assert told.returncode == 1 and told.stderr.count("\n") == 1 and "nni init" in told.stderr


def test_the_final_metric_is_flat_and_says_what_was_trained(small):
    points = PlanEncoding(small.budgeted)
    plan = points.plan(dict.fromkeys(points.names, 0.0))
    metrics = {"accuracy": 0.5, "file_bytes": 900, "paper_bits": 70, "bits_per_weight": 0.1, "epochs": [0.5], "seed": 0}
    values = final(metrics, plan)
    assert list(values) == ["default", "file_bytes", "paper_bits", "bits_per_weight", "plan"]
    assert all(isinstance(value, int | float | str) for value in values.values())
    assert points.read(values["plan"]) == plan


def test_nni_s_tuners_and_assessors_digest_the_metric():
    value = {"default": 0.5, "file_bytes": 900, "plan": "0.0=B"}
    assert extract_scalar_reward(value) == 0.5 and extract_scalar_history([value, value]) == [0.5, 0.5]
