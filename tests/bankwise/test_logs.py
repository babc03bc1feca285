"""Logs of other tools, offline: each is read back by the tool's own reader, and one that fails ends alone."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import optuna
import pytest

from bankwise import BankwiseError, Recipe, SearchSettings, search
from bankwise.logs import KINDS, Logs, check_logs
from bankwise.logs.base import Log, flat, numbers
from bankwise.logs.on_optuna import OptunaStudy
from bankwise.trainers.data import load_data

QUICK = SearchSettings(
    trials=3,
    uniform_trials=1,
    finalists=1,
    finalist_seeds=1,
    seeds=1,
    trial_epochs=2,
    recipe=Recipe(epochs=2, threads=1),
)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory):
    """A search that is logged everywhere a package is there; what Optuna's study showed in the midst of it."""
    folder = tmp_path_factory.mktemp("logged")
    patch = pytest.MonkeyPatch()
    patch.setenv("WANDB_MODE", "offline")
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    live: list[list[str]] = []

    def watch(event) -> None:
        if event.phase == "search" and (path := folder / "run" / "search" / "optuna.log").exists():
            live.append([trial.state.name for trial in study(path, "search").trials])

    names = [name for name in KINDS if importlib.util.find_spec(name)]
    try:
        data = load_data("digits", limit=200)
        result = search("tiny", data, 1200, folder / "run", QUICK, log=names, on_progress=watch)
    finally:
        patch.undo()
    return result, folder, live


def study(path: Path, name: str) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))


def test_optuna_opens_the_study_while_the_search_runs_and_afterwards(logged):
    result, folder, live = logged
    assert any("RUNNING" in states and "COMPLETE" in states for states in live)
    for phase, trials in (("search", result.searched_trials), ("uniform", result.uniform_trials)):
        found = study(folder / "run" / phase / "optuna.log", phase)
        assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * len(trials)
        for mine, theirs in zip(found.trials, trials, strict=True):
            assert mine.value == theirs.accuracy and mine.user_attrs["file_bytes"] == theirs.file_bytes
            assert mine.params == {name: choice.code() for name, choice in theirs.plan.layers.items()}
            assert list(mine.intermediate_values) == [1, 2]
            assert tuple(mine.intermediate_values.values()) == tuple(theirs.metrics["epochs"])
    assert study(folder / "run" / "search" / "optuna.log", "search").best_value == max(
        trial.accuracy for trial in result.searched_trials
    )


def test_optuna_goes_on_from_what_a_kill_left(logged, tmp_path, monkeypatch):
    """A lock, which points to its file by the path that was given, and half a line."""
    result, folder, _ = logged
    monkeypatch.chdir(tmp_path)
    file = Path("run/search/optuna.log")
    file.parent.mkdir(parents=True)
    file.write_bytes((folder / "run/search/optuna.log").read_bytes() + b'{"op_code": 6, "wor')
    file.with_name("optuna.log.lock").symlink_to(file)
    log = OptunaStudy(Path("run"), {})
    log.begin("search", 7, result.plan, {name: [choice.code()] for name, choice in result.plan.layers.items()})
    states = [trial.state.name for trial in study(file.resolve(), "search").trials]
    assert states == ["COMPLETE"] * len(result.searched_trials) + ["RUNNING"]


def test_logs_have_the_result_before_the_run_is_finished(tmp_path, monkeypatch):
    """A finished run does not open them again."""
    ended: list[bool] = []
    monkeypatch.setattr(Logs, "end", lambda logs, summary: ended.append((tmp_path / "run" / "summary.json").exists()))
    search("tiny", load_data("digits", limit=100), 1200, tmp_path / "run", QUICK)
    assert ended == [False] and (tmp_path / "run" / "summary.json").exists()


def test_tensorboard_reads_every_epoch_and_the_result(logged):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result, folder, _ = logged

    def scalars(name: str, tag: str) -> list[tuple[int, float]]:
        events = accumulator.EventAccumulator(str(folder / "run" / "tensorboard" / name))
        events.Reload()
        return [(event.step, event.value) for event in events.Scalars(tag)]

    for trial in result.searched_trials:
        found = scalars(f"search-{trial.number}", "accuracy")
        assert found == [(i, pytest.approx(value)) for i, value in enumerate(trial.metrics["epochs"], 1)]
        assert scalars(f"search-{trial.number}", "file/file_bytes") == [(0, trial.file_bytes)]
    assert len(scalars("uncompressed-0", "loss")) == 2
    assert scalars("result", "result/test_accuracy") == [(0, pytest.approx(result.test_accuracy))]


def test_mlflow_has_one_run_with_the_metrics_of_every_epoch(logged):
    mlflow = pytest.importorskip("mlflow")
    result, folder, _ = logged
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("bankwise").experiment_id])
    assert run.info.run_id == (folder / "run" / "logs" / "mlflow-id.txt").read_text().strip()
    assert run.info.status == "FINISHED" and run.data.tags["network"] == "tiny"
    trial = result.searched_trials[0]
    history = client.get_metric_history(run.info.run_id, "search-0/accuracy")
    assert [(one.step, one.value) for one in history] == list(enumerate(trial.metrics["epochs"], 1))
    assert run.data.metrics["test_accuracy"] == result.test_accuracy


def test_wandb_writes_offline(logged):
    pytest.importorskip("wandb")
    _, folder, _ = logged
    name = (folder / "run" / "logs" / "wandb-id.txt").read_text().strip()
    (written,) = (folder / "run" / "wandb").glob(f"offline-run-*/run-{name}.wandb")
    assert written.stat().st_size > 1000


def test_a_missing_package_and_an_unknown_log_are_one_line(cli, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "wandb" else found(name, *more)
    )
    line = cli.bad(*cli.search, "--out", tmp_path / "run", "--log", "wandb")
    assert line == "error: log 'wandb' needs the package wandb: pip install 'bankwise[wandb]'\n"
    assert (
        "neptune" in (line := cli.bad(*cli.search, "--out", tmp_path / "run", "--log", "neptune")) and "mlflow" in line
    )
    assert not (tmp_path / "run").exists()
    with pytest.raises(BankwiseError, match="log 'neptune'"):
        check_logs(["neptune"])


def test_a_log_that_fails_is_ended_and_the_run_goes_on(tmp_path):
    class Full(Log):
        name = needs = "full"

        def end(self, summary):
            raise OSError("no space left on device")

    told: list[str] = []
    logs = Logs(["optuna"], tmp_path, {}, told.append)
    logs.logs.append(Full(tmp_path, {}))
    logs.end({"accuracy": 0.5})
    assert told == ["log 'full' failed and is ended; the run goes on: OSError: no space left on device"]
    assert [log.name for log in logs.logs] == ["optuna"]


def test_settings_and_metrics_are_flat():
    values = json.loads('{"a": {"b": 1, "c": {"d": "x"}}, "e": null, "f": [1], "g": true}')
    assert flat(values) == {"a.b": 1, "a.c.d": "x", "g": True}
    assert numbers({"a": 1, "b": 0.5, "c": True, "d": "x", "e": None}) == {"a": 1.0, "b": 0.5}
