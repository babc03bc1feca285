"""`bankwise nni init | show | export` without a process of NNI; experiments are in tests/strategies/engines/nni."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import yaml

from bankwise.search_space.images import Images
from bankwise.search_space.locks import alone_in
from bankwise.search_space.plan import Plan
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.trainers.store import TrialRecord

INIT = "--network tiny --data digits --limit 200 --validation 0.2 --budget 1000 --epochs 1 --trial-epochs 1".split()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Without NNI experiments, and a place for NNI's registrations other than the virtual environment."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NNI_CONFIG_DIR", str(tmp_path / "registered"))
    (tmp_path / "home").mkdir()


@pytest.fixture
def folder(cli, tmp_path):
    assert cli.call("nni", "init", tmp_path / "an experiment", *INIT).code == 0
    return tmp_path / "an experiment"


def finish(folder, accuracy: float, place: int) -> Plan:
    experiment = Experiment.read(folder)
    space = experiment.budgeted
    plan = space.plan(space.sample(np.random.default_rng(place)))
    place = experiment.store(folder).place(plan, experiment.recipe)
    place.mkdir(parents=True)
    metrics = {"accuracy": accuracy, "file_bytes": 900}
    (place / "trial.json").write_text(json.dumps(TrialRecord(plan, "finished", metrics).to_dict()))
    return plan


def test_the_bare_command_shows_its_help(cli):
    outcome = cli.call("nni")
    assert outcome.code == 0 and "init" in outcome.out and "export" in outcome.out
    assert "bankwise nni" in cli.call("nni", "init", "--help").out
    assert "bankwise nni --help" in cli.bad("nni", "int")
    assert "--budget" in cli.bad("nni", "init", "somewhere")


def test_init_says_what_to_do_next(cli, tmp_path):
    outcome = cli.call("nni", "init", tmp_path / "a b", *INIT, "--port", 9090)
    assert outcome.code == 0
    config = shlex.quote(str(tmp_path / "a b" / "config.yml"))
    assert f"nnictl create --config {config} --port 9090" in outcome.out
    assert "1,000 bytes (file)" in outcome.out and "bankwise nni export" in outcome.out
    again = cli.call("nni", "init", tmp_path / "a b", *INIT, "--port", 9090, "--json").json
    assert again["budget_bytes"] == 1000 and again["start"].endswith("--port 9090") and again["encoding"] == "choice"


def test_every_option_is_in_the_files(cli, tmp_path):
    (tmp_path / "recipe.yaml").write_text("channels_last: false\nbatch: 50\n")
    options = (
        "--accounting paper --max-ram 60KiB --max-ops 2M --hidden stacked,binary --first binary --last int4,int8 "
        "--vector-bits 16 --lr 0.01 --batch 25 --threads 1 --trials 7 --concurrency 2 --seed 3 --no-teacher "
        "--strategy tpe --assessor Medianstop --validation 0.25"
    ).split()
    folder = tmp_path / "e"
    outcome = cli.call("nni", "init", folder, *INIT, *options, "--recipe", tmp_path / "recipe.yaml")
    assert outcome.code == 0, outcome.err
    experiment = Experiment.read(folder)
    assert (experiment.accounting, experiment.max_ram, experiment.max_ops) == ("paper", 60 * 1024, 2 * 10**6)
    assert (experiment.space.first, experiment.space.last) == (("binary",), ("int4", "int8"))
    assert (experiment.source.limit, experiment.source.validation) == (200, 0.25)
    assert (experiment.space.vector_bits, experiment.seed, experiment.teacher) == (16, 3, False)
    recipe = experiment.recipe
    assert (recipe.lr, recipe.batch, recipe.channels_last, recipe.seed, recipe.epochs) == (0.01, 25, False, 3, 1)
    config = yaml.safe_load((folder / "config.yml").read_text())
    assert (config["maxTrialNumber"], config["trialConcurrency"]) == (7, 2)
    assert config["tuner"]["classArgs"] == {"folder": str(folder), "strategy": "tpe", "seed": 3}
    assert config["assessor"]["name"] == "Medianstop"


def test_paths_hold_from_another_folder(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from bankwise.search_space.networks import build\n"
        "def make(num_classes, in_channels): return build('tiny', classes=num_classes, in_channels=in_channels)\n"
    )
    outcome = cli.call("nni", "init", "e", *INIT, "--network", "mine:make")
    assert outcome.code == 0, outcome.err
    experiment = Experiment.read(tmp_path / "e")
    assert experiment.code == str(tmp_path) and experiment.source.data_root is None
    config = yaml.safe_load((tmp_path / "e" / "config.yml").read_text())
    assert config["tuner"]["classArgs"]["folder"] == str(tmp_path / "e")


@pytest.mark.parametrize(("options", "code", "said"), [
    (["--budget", "200"], 3, "cannot be met"), (["--budget", "some"], 2, "'some' is not a size"),
    (["--max-ram", "1B"], 3, "max-ram"), (["--max-ops", "10"], 3, "max-ops"), (["--network", "tinny"], 2, "tiny"),
    (["--data", "digitz"], 2, "digits"), (["--data", "npz:nowhere.npz"], 2, "nowhere.npz"), (["--limit", "0"], 2, "0"),
    (["--data", "cifar10", "--data-root", "/nowhere"], 2, "cifar10"), (["--tuner", "TPEE"], 2, "TPE"),
    (["--tuner", "TPE", "--strategy", "tpe"], 2, "BudgetTuner"), (["--strategy", "evolve"], 2, "evolution"),
    (["--encoding", "importance"], 2, "BudgetTuner takes choices"), (["--assessor", "median"], 2, "Medianstop"),
    (["--trials", "0"], 2, "trials=0"), (["--concurrency", "-1"], 2, "concurrency=-1"), (["--port", "0"], 2, "port=0"),
    (["--trial-epochs", "0"], 2, "trial_epochs=0"), (["--no-teacher", "--distill", "0.5"], 2, "teacher"),
    (["--lr", "-1"], 2, "lr"), (["--hidden", "ternary"], 2, "ternary"), (["--accounting", "bits"], 2, "bits"),
    (["--tuner", "TPE", "--encoding", "plan"], 2, "choice, importance"), (["--seed", "-1"], 2, "seed"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_writes_nothing(cli, tmp_path, options, code, said):
    assert said in cli.bad("nni", "init", tmp_path / "e", *INIT, *options, code=code)
    assert not (tmp_path / "e").exists()


def test_a_folder_of_something_else(cli, folder, tmp_path):
    assert "another experiment (budget" in cli.bad("nni", "init", folder, *INIT, "--budget", "1100")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert "no NNI experiment" in cli.bad("nni", "init", tmp_path / "full", *INIT)
    assert "no NNI experiment" in cli.bad("nni", "init", tmp_path / "full" / "x", *INIT)
    with alone_in(folder):
        assert "in use by another process (pid" in cli.bad("nni", "init", folder, *INIT)


def test_export_writes_the_best_plan_and_the_command_that_trains_it(cli, folder, tmp_path):
    assert "no finished trial yet (0 running, 0 failed, 0 cancelled)" in cli.bad("nni", "export", folder)
    finish(folder, 0.5, 3)
    best = finish(folder, 0.75, 7)
    finish(folder, 0.25, 11)
    summary = cli.call("nni", "export", folder, "--json").json
    assert summary["accuracy"] == 0.75 and summary["finished"] == 3 and summary["budget_bytes"] == 1000
    assert Plan.read(summary["plan"]) == best and summary["plan"] == str(folder / "plan.yaml")
    assert cli.call("nni", "export", folder, "-o", tmp_path / "other.json").code == 0
    assert Plan.read(tmp_path / "other.json") == best
    assert Plan.read(tmp_path / "other.json").images == Images("symmetric", tuple("0123456789"))
    words = shlex.split(summary["train"])
    assert words[0] == "bankwise"
    trained = cli.call(*words[1:], "--json")
    assert trained.code == 0, trained.err
    assert trained.json["file_bytes"] == summary["file_bytes"] == trained.json["planned_bytes"]
    settings = json.loads((folder / "best" / "settings.json").read_text())
    assert settings["recipe"]["epochs"] == 1 and settings["training_images"] == len_of(folder)
    shown = cli.call("nni", "export", folder).out
    assert "75.00 %" in shown and "3 finished, 0 failed, 0 cancelled" in shown and summary["train"] in shown


def test_show_lists_every_trial_with_its_own_plan_the_best_first(cli, folder):
    plans = {accuracy: finish(folder, accuracy, place) for accuracy, place in ((0.5, 3), (0.75, 7), (0.25, 11))}
    experiment = Experiment.read(folder)
    failed = experiment.budgeted.plan(experiment.budgeted.sample(np.random.default_rng(1)))
    place = experiment.store(folder).place(failed, experiment.recipe)
    place.mkdir(parents=True)
    (place / "trial.json").write_text(json.dumps(TrialRecord(failed, "diverged", reason="the loss is nan").to_dict()))
    rows = cli.call("nni", "show", folder, "--json").json["trials"]
    assert [row["accuracy"] for row in rows] == [0.75, 0.5, 0.25, None]
    for row in rows[:3]:
        assert row["codes"] == " ".join(choice.code() for choice in plans[row["accuracy"]].layers.values())
        assert row["status"] == "finished" and row["file_bytes"] == 900 and row["reason"] == ""
    assert (rows[3]["status"], rows[3]["reason"], rows[3]["file_bytes"]) == ("diverged", "the loss is nan", None)
    shown = cli.call("nni", "show", folder).out
    assert shown.index("75.00 %") < shown.index("50.00 %") < shown.index("the loss is nan")
    assert "none on this machine" in cli.bad("nni", "show", "abcd1234")


def len_of(folder) -> int:
    return len(Experiment.read(folder).source.load().train_y)


def test_export_of_what_is_none(cli, tmp_path):
    assert "none on this machine" in cli.bad("nni", "export", "abcd1234")
    assert "no NNI experiment" in cli.bad("nni", "export", tmp_path)
    listed = tmp_path / "home" / "nni-experiments"
    listed.mkdir()
    (listed / ".experiment").write_text(json.dumps({"abcd1234": {"logDir": str(listed)}}))
    assert "did you mean abcd1234" in cli.bad("nni", "export", "abcd123")
    assert "none of bankwise, or no trial of it has begun" in cli.bad("nni", "export", "abcd1234")
