from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nni.experiment import ExperimentConfig

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.strategies import DEFAULT
from bankwise.strategies.engines.nni.config import Launch, trial_command, write_folder
from bankwise.trainers.recipe import Recipe

FILES = ["bankwise.json", "config.yml", "recipe.yaml", "register.yml", "run.lock", "search_space.json"]


def read(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yml").read_text())


def test_nni_accepts_what_is_written(small, home, tmp_path):
    folder = tmp_path / "a folder"
    write_folder(folder, small, Launch(trials=7, concurrency=2, assessor="Medianstop"))
    assert sorted(path.name for path in folder.iterdir()) == FILES
    config = ExperimentConfig.load(folder / "config.yml").json()  # validates
    assert config["maxTrialNumber"] == 7 and config["trialConcurrency"] == 2
    assert config["trainingService"]["trialCodeDirectory"] == str(folder)
    assert config["searchSpace"] == json.loads((folder / "search_space.json").read_text())
    assert config["tuner"]["classArgs"] == {"folder": str(folder), "strategy": DEFAULT, "seed": 0}
    assert Recipe.from_dict(yaml.safe_load((folder / "recipe.yaml").read_text())) == small.training
    before = {name: (folder / name).read_bytes() for name in FILES}
    write_folder(folder, small, Launch(trials=7, concurrency=2, assessor="Medianstop"))
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_how_it_is_run_may_change(small, home, tmp_path):
    write_folder(tmp_path / "e", small, Launch(trials=7))
    write_folder(tmp_path / "e", small, Launch(trials=9, strategy="tpe"))
    assert read(tmp_path / "e")["maxTrialNumber"] == 9
    assert read(tmp_path / "e")["tuner"]["classArgs"]["strategy"] == "tpe"


@pytest.mark.parametrize("tuner", ["TPE", "random", "Evolution", "GPTuner", "GridSearch"])
def test_nni_s_own_tuners_over_importances(tiny, home, tmp_path, tuner):
    write_folder(tmp_path / "e", tiny(encoding="importance", seed=3), Launch(tuner=tuner))
    named = read(tmp_path / "e")["tuner"]
    assert named["name"].lower() == tuner.removesuffix("Tuner").lower()
    assert named.get("classArgs", {}).get("optimize_mode", "maximize") == "maximize"
    assert named.get("classArgs", {}).get("seed", 3) == 3
    space = json.loads((tmp_path / "e" / "search_space.json").read_text())
    assert all(row == {"_type": "uniform", "_value": [-2.0, 2.0]} for row in space.values())
    ExperimentConfig.load(tmp_path / "e" / "config.yml").validate()


def test_nni_s_own_tuner_over_choices(small, home, tmp_path):
    write_folder(tmp_path / "e", small, Launch(tuner="TPE"))
    assert read(tmp_path / "e")["tuner"]["name"] == "TPE"


@pytest.mark.parametrize(("tuner", "encoding", "said"), [
    ("TPEE", "importance", "did you mean TPE"), ("Medianstop", "importance", "unknown tuner"),
    ("Hyperband", "importance", "unknown tuner"), ("Batch", "importance", "cannot run"),
    ("PBT", "importance", "cannot run"), ("Metis", "importance", "cannot run"),
    ("GP", "choice", "cannot run over choices"), ("NetworkMorphism", "importance", "cannot run"),
    ("BudgetTuner", "importance", "BudgetTuner takes choices"),
])  # fmt: skip
def test_a_tuner_that_cannot_is_said_before_anything_is_written(
    tiny, home, tmp_path, monkeypatch, capsys, tuner, encoding, said
):
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)  # NetworkMorphism writes to the current folder, left to itself
    with pytest.raises(BankwiseError, match=said) as told:
        write_folder(tmp_path / "e", tiny(encoding=encoding), Launch(tuner=tuner))
    assert "\n" not in str(told.value) and len(str(told.value)) < 400
    assert not (tmp_path / "e").exists() and not list(here.iterdir())


def test_an_infeasible_budget_writes_nothing(tiny, tmp_path):
    with pytest.raises(InfeasibleBudget):
        write_folder(tmp_path / "e", tiny(budget="200"), Launch())
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    "wrong", [{"trials": 0}, {"concurrency": 0}, {"strategy": "evolve"}, {"assessor": "median"}], ids=str
)
def test_a_wrong_launch(wrong):
    with pytest.raises(BankwiseError):
        Launch(**wrong)


@pytest.mark.parametrize("count", [0, 2])
def test_a_strategy_that_trains_sees_the_gpus(small, home, tmp_path, monkeypatch, count):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    for strategy, wanted in (("gradient", [0, 1][:count] or None), ("evolution", None)):
        write_folder(tmp_path / "e", small, Launch(strategy=strategy))
        assert ExperimentConfig.load(tmp_path / "e" / "config.yml").json().get("tunerGpuIndices") == wanted


def test_the_trial_is_the_process_that_nni_signals_and_shares_the_cores():
    assert trial_command(1) == f"exec {sys.executable} -m bankwise.strategies.engines.nni.trial"
    command = trial_command(10**6).replace(
        "-m bankwise.strategies.engines.nni.trial", "-c 'import os; print(os.environ)'"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for given, wanted in (({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")):
        shell = subprocess.run(["bash", "-c", command], env=environment | given, capture_output=True, text=True)
        assert f"'OMP_NUM_THREADS': '{wanted}'" in shell.stdout
