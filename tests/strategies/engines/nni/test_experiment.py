from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.space import SpaceSettings
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource


def test_written_and_read_it_is_the_same(tiny, tmp_path):
    space = SpaceSettings(hidden=("binary", "stacked"), layers={"2.*": ("int4",)}, tiles=((1, 3), (3, 3)), max_k=32)
    experiment = tiny(space=space, max_ram=60_000, max_ops=10**7, accounting="paper", seed=4, teacher=False)
    experiment.write(tmp_path / "new")
    assert Experiment.read(tmp_path / "new") == experiment
    before = (tmp_path / "new" / "bankwise.json").read_bytes()
    experiment.write(tmp_path / "new")
    assert (tmp_path / "new" / "bankwise.json").read_bytes() == before


def test_a_folder_that_a_killed_process_left_is_taken(tiny, tmp_path):
    (tmp_path / ".tmp-here-1-01234567").write_text("{")
    tiny().write(tmp_path)
    assert Experiment.read(tmp_path) == tiny()


def test_another_experiment_is_not_overwritten(tiny, tmp_path):
    tiny().write(tmp_path)
    with pytest.raises(BankwiseError, match="another experiment .budget: '1000' there, '1100' now"):
        tiny(budget="1100").write(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(BankwiseError, match="no NNI experiment of bankwise"):
        tiny().write(tmp_path / "other")
    with pytest.raises(BankwiseError, match="nni init"):
        Experiment.read(tmp_path / "nowhere")


def test_a_trial_s_recipe_and_store(tiny, tmp_path):
    experiment = tiny(trial_epochs=3, seed=7)
    assert experiment.recipe == Recipe(epochs=3, seed=7)
    space = experiment.budgeted
    plan = space.plan(space.solve([-row.astype(float) for row in space.costs]))
    places = {one.store(tmp_path).place(plan, experiment.recipe) for one in (experiment, tiny(teacher=False))}
    assert len(places) == 2 and all(place.parent == tmp_path / "trials" for place in places)


def test_an_infeasible_budget_is_said(tiny):
    with pytest.raises(InfeasibleBudget):
        _ = tiny(budget="200").budgeted
    with pytest.raises(InfeasibleBudget):
        _ = tiny(max_ram=10).budgeted


WRONG = [
    ("version", 2), ("budget", ...), ("sourc", 1), ("encoding", "plans"), ("trial_epochs", 0), ("source", None),
    ("source.limt", 3), ("training.epochs", 0), ("training.lr", "fast"), ("space.hidden", ["ternary"]),
    ("space.max_k", "8"), ("space.tiles", 5), ("input_shape", 8), ("space.layers", []), ("space.first", None),
    ("source.keep", 3),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{path}={value}" for path, value in WRONG])
def test_what_is_wrong_in_the_file_is_one_line_that_names_the_file(small, tmp_path, path, value):
    small.write(tmp_path)
    values = inner = copy.deepcopy(small.to_dict())
    *parents, last = path.split(".")
    for name in parents:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    (tmp_path / "bankwise.json").write_text(json.dumps(values))
    with pytest.raises(BankwiseError, match="bankwise.json") as told:
        Experiment.read(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"version": 1}'])
def test_a_file_that_is_none(tmp_path, text):
    (tmp_path / "bankwise.json").write_text(text)
    with pytest.raises(BankwiseError, match="bankwise.json"):
        Experiment.read(tmp_path)


def test_distillation_needs_a_teacher(tiny):
    recipe = Recipe(epochs=1, distill=0.5)
    with pytest.raises(BankwiseError, match="teacher"):
        tiny(training=recipe, teacher=False)


def test_the_teacher_is_trained_once_by_whoever_comes_first(small, tmp_path):
    small.write(tmp_path)
    code = (
        "import pathlib; from bankwise.strategies.engines.nni.experiment import Experiment\n"
        "from bankwise.trainers.checksum import checksum\n"
        f"p = pathlib.Path({str(tmp_path)!r}); t = Experiment.read(p).task(p).teacher\n"
        "print(checksum(list(t.parameters())), (p / 'teacher.pt').stat().st_mtime_ns)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate(timeout=500)[0] for process in started}
    assert len(told) == 1 and all(process.returncode == 0 for process in started)


def test_a_network_of_the_user_is_found_where_he_was(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "bankwise_net_of_nni.py").write_text(
        "from bankwise.search_space.networks import build\n"
        "def make(num_classes, in_channels): return build('tiny', classes=num_classes, in_channels=in_channels)\n"
    )
    source = TaskSource("bankwise_net_of_nni:make", "digits", limit=200)
    experiment = tiny(source=source, code=str(tmp_path))
    assert experiment.budgeted.sizes == tiny().budgeted.sizes
