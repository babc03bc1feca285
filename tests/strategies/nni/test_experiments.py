"""Whole experiments by `nnictl`, disturbed in every way that NNI and its users have."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
import yaml

from search_space.price import price
from strategies import make_strategy
from strategies.job import Job
from strategies.local import run_local
from strategies.nni import attempts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONG = ("--trial-epochs", 25, "--batch", 10)  # a trial of some seconds


def checked(nni) -> dict:
    """What is exported of an ended experiment: the best of its records, by folder and by id, within the budget."""
    told = json.loads(nni.command("nni", "export", nni.folder, "--json"))
    by_id = json.loads(nni.command("nni", "export", nni.id, "--json"))
    same = ("plan", "accuracy", "file_bytes", "finished", "running", "train")
    assert {key: told[key] for key in same} == {key: by_id[key] for key in same}
    assert told["accuracy"] == max(record.metrics["accuracy"] for record in nni.records())
    assert told["running"] == 0
    for record in nni.records():
        shape = nni.experiment.shape
        assert price(shape, record.plan).file_bytes == record.metrics["file_bytes"] <= 1000
    return told


def test_budget_tuner_runs_and_its_plan_is_trained(nni, tmp_path):
    nni.init("--trials", 3).create()
    nni.until("a finished trial", nni.records)
    running = json.loads(nni.command("nni", "export", nni.folder, "--output", tmp_path / "now.yaml", "--json"))
    assert running["finished"] >= 1
    nni.finish()
    assert nni.states() == ["SUCCEEDED"] * 3 and len(nni.records()) == 3
    for job in nni.jobs():
        points = [f"{name}={job.parameters[name]}" for name in nni.experiment.budgeted.space.names]
        assert job.final["plan"].split() == points
        assert [job.epochs[i]["epoch"] for i in sorted(job.epochs)] == [1, 2]
    told = checked(nni)
    assert told["finished"] == 3 and told["failed"] == told["cancelled"] == 0
    words = told["train"].split()
    trained = json.loads(nni.command(*words[1:], "--epochs", 1, "--json"))
    assert trained["file_bytes"] == trained["planned_bytes"] == told["file_bytes"]


def test_a_killed_trial_is_tried_again_from_its_checkpoint(nni):
    nni.init("--trials", 3, *LONG).create()
    nni.until("a checkpoint", nni.checkpoints)
    (trial,) = nni.trials()
    trial.send_signal(signal.SIGKILL)
    nni.finish()
    states = nni.states()
    assert states[0] == "USER_CANCELED"  # which is what NNI calls it
    assert states[1:] == ["SUCCEEDED"] * 2
    first, again, _ = nni.jobs()
    assert first.parameters == again.parameters
    assert len(nni.records()) == 2
    assert "is proposed again" in nni.log()
    assert [again.epochs[i]["epoch"] for i in range(25)] == list(range(1, 26))
    died = [one for one in attempts.attempts(nni.folder) if one.state == attempts.DIED]
    assert [one.job for one in died] == [first.id]
    assert json.loads(nni.command("nni", "export", nni.folder, "--json"))["failed"] == 1


def undisturbed(nni, folder, trials: int) -> list[dict]:
    """The records of the same search in this process."""
    experiment = nni.experiment
    source, space = experiment.source, experiment.budgeted
    strategy = make_strategy("evolution", space, experiment.seed)
    return run_local(Job(strategy, experiment.task(nni.folder), experiment.recipe, trials, folder / "j.json", source))


def test_a_killed_manager_and_resume_end_as_an_undisturbed_search(nni, tmp_path):
    nni.init("--trials", 4, *LONG).create()
    nni.until("a finished trial and one that trains", lambda: nni.records() and nni.checkpoints() and nni.trials())
    known = [record.plan for record in nni.records()]
    nni.manager.send_signal(signal.SIGKILL)
    nni.until("the manager's end", lambda: not nni.manager_lives())
    nni.resume(nni.port).finish()  # where NNI's old tuner would attach itself, did it live
    assert nni.states() == ["SUCCEEDED"] * 4
    done = nni.records()
    assert [record.plan for record in done][: len(known)] == known
    assert [(one.plan.to_dict(), one.metrics["accuracy"]) for one in done] == [
        (one["plan"], one["metrics"]["accuracy"]) for one in undisturbed(nni, tmp_path, 4)
    ]
    assert checked(nni)["finished"] == 4


def test_a_cancelled_trial_is_neither_tried_again_nor_lost(nni):
    nni.init("--trials", 3, *LONG).create()
    nni.until("a checkpoint", nni.checkpoints)
    job = nni.jobs()[0]
    nni.rest(f"trial-jobs/{job.id}", "DELETE")
    assert not nni.trials()
    (attempt,) = attempts.attempts(nni.folder)
    assert (attempt.job, attempt.state) == (job.id, attempts.CANCELLED)
    (checkpoint,) = nni.folder.glob("trials/*/checkpoint.pt")
    nni.finish()
    assert nni.states() == ["USER_CANCELED", "SUCCEEDED", "SUCCEEDED"]
    assert len({json.dumps(one.parameters, sort_keys=True) for one in nni.jobs()}) == 3
    assert checkpoint.exists() and not list(checkpoint.parent.glob(".*"))
    assert checked(nni)["cancelled"] == 1


def test_stop_and_resume_go_on_with_the_trial(nni):
    nni.init("--trials", 2, *LONG).create()
    nni.until("a checkpoint", nni.checkpoints)
    nni.stop()
    assert not [one for one in nni.seen() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    (attempt,) = attempts.attempts(nni.folder)
    assert attempt.state in (attempts.CANCELLED, attempts.STOPPED)  # by the signal, or a report without an answer
    nni.resume().finish()
    first, second = nni.jobs()
    assert (first.id, first.status, second.status) == (attempt.job, "SUCCEEDED", "SUCCEEDED")
    assert first.parameters == attempt.parameters != second.parameters
    assert checked(nni)["finished"] == 2


@pytest.mark.parametrize("tuner", ["TPE", "Evolution"])
def test_a_tuner_of_nni_runs_without_a_change(nni, tuner):
    """NNI's TPE dies, and its experiment hangs, where it hears of a trial's end before its metric: seen one time in
    seven. That is no fault of the trials, and such an experiment is begun anew, twice at most."""
    nni.init("--trials", 3, "--tuner", tuner)
    for left in (2, 1, 0):
        nni.create()
        nni.until("the end or the tuner's", lambda: nni.status() == "DONE" or "KeyError" in nni.log())
        if nni.status() == "DONE" or not left or tuner != "TPE":
            break
        nni.end()
    assert nni.status() == "DONE"
    assert nni.states() == ["SUCCEEDED"] * 3
    for job in nni.jobs():
        assert all(isinstance(value, float) for value in job.parameters.values())
    checked(nni)


def test_medianstop_ends_poor_trials_and_the_rest_go_on(nni):
    nni.init("--trials", 3, "--assessor", "Medianstop", "--strategy", "random", "--trial-epochs", 12, "--batch", 5)
    nni.create().finish()
    states = nni.states()
    assert states[0] == "SUCCEEDED" and {"USER_CANCELED", "EARLY_STOPPED"} & set(states[1:])
    assert len({json.dumps(one.parameters, sort_keys=True) for one in nni.jobs()}) == 3
    told = checked(nni)
    assert told["finished"] == states.count("SUCCEEDED") and told["cancelled"] == 3 - told["finished"]


def test_registered_by_name(nni):
    nni.init("--trials", 2)
    nni.ctl("algo", "register", "--meta", nni.folder / "register.yml")
    assert "BudgetTuner" in nni.ctl("algo", "list")
    config = yaml.safe_load(nni.read("config.yml"))
    config["tuner"] = {"name": "BudgetTuner", "classArgs": config["tuner"]["classArgs"]}
    (nni.folder / "config.yml").write_text(yaml.safe_dump(config))
    nni.create().finish()
    checked(nni)
    nni.ctl("algo", "unregister", "BudgetTuner")
    assert "BudgetTuner" not in nni.ctl("algo", "list")


def test_what_a_user_does_on_the_web_page(nni):
    """Two trials at a time, parameters of the user's own, imported results, and an edited search space."""
    nni.init("--trials", 6, "--concurrency", 2, "--strategy", "random").create()
    nni.until("two trials", lambda: len(nni.jobs()) >= 2)
    names = nni.experiment.budgeted.space.names
    nni.rest("trial-jobs", "POST", {"0.0": "X"})
    nni.rest("trial-jobs", "POST", dict.fromkeys(names, 0.5))
    nni.rest("experiment/import-data", "POST", [{"parameter": dict.fromkeys(names, 0), "value": 0.5}, {"value": 3}])
    profile = nni.rest("experiment")
    code = profile["params"]["searchSpace"]["1.0"]["_value"][5]
    profile["params"]["searchSpace"]["1.0"]["_value"] = [code]
    nni.rest("experiment?update_type=SEARCH_SPACE", "PUT", profile)
    nni.until("the edited search space", lambda: "search space changed" in nni.log())
    known = {job.id for job in nni.jobs()}
    nni.finish()
    assert sorted(nni.states()) == ["FAILED", *["SUCCEEDED"] * 5]
    assert "1 of 2 imported trials are new" in nni.log()
    later = [job for job in nni.jobs() if job.id not in known and job.parameter_id is not None]
    assert all(job.parameters["1.0"] == code for job in later[2:])  # two may have been asked for before
    (failed,) = [job for job in nni.jobs() if job.status == "FAILED"]
    said = (nni.path / "environments" / "local-env" / "trials" / failed.id / "trial.stderr").read_text()
    assert said == "error: {'0.0': 'X'} has no value for layer '1.0'\n"
    checked(nni)


def test_a_tuner_that_cannot_run_is_shown_as_an_error(nni):
    nni.init("--trials", 2)
    nni.folder.joinpath("bankwise.json").unlink()
    nni.create()
    nni.until("the error", lambda: nni.rest("check-status")["status"] == "ERROR")
    assert "is no NNI experiment of bankwise" in nni.log()
