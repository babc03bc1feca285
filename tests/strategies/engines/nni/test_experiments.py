"""Whole experiments by `nnictl`, disturbed in every way that NNI and its users have."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
import yaml

from bankwise.search_space.price import price
from bankwise.strategies import make_strategy
from bankwise.strategies.engines import Job, make_engine
from bankwise.strategies.trials import Trials

pytestmark = pytest.mark.slow
ENDS = "stacked,binary,int4,int8"
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


def undisturbed(nni, folder, trials: int) -> list[tuple]:
    """Plans and accuracies of the same search in this process."""
    experiment = nni.experiment
    strategy = make_strategy("evolution", experiment.budgeted, experiment.seed)
    job = Job(strategy, experiment.task(nni.folder), experiment.recipe, trials, folder / "local", experiment.source)
    return [(one.plan, one.metrics["accuracy"]) for one in make_engine("local").run(job)]


def third(nni) -> bool:
    """Whether the third plan has a checkpoint."""
    plans = Trials.read(nni.folder / "ledgers" / f"{nni.id}.jsonl").plans
    place = nni.experiment.store(nni.folder).place
    return len(plans) > 2 and (place(plans[2], nni.experiment.recipe) / "checkpoint.pt").exists()


def test_a_killed_trial_a_cancelled_one_a_killed_manager_and_a_resume(nni, tmp_path):
    """One experiment, disturbed in turn; the plans are those of an undisturbed search, less the cancelled one."""
    nni.init("--trials", 6, *LONG).create()
    nni.until("a checkpoint", nni.checkpoints)
    (trial,) = nni.trials()
    trial.send_signal(signal.SIGKILL)
    nni.until("the second try", lambda: "is proposed again" in nni.log() and nni.records())
    first, again = nni.jobs()[:2]
    assert first["status"] == "USER_CANCELED"  # which is what NNI calls it
    assert first["parameters"] == again["parameters"]
    assert [one["epoch"] for one in nni.epochs(again["trialJobId"])] == list(range(1, 26))
    nni.until("the next trial", lambda: nni.checkpoints() and nni.trials())
    nni.manager.send_signal(signal.SIGKILL)
    nni.until("the manager's end", lambda: not nni.manager_lives())
    nni.resume(nni.port)  # where NNI's old tuner would attach itself, did it live
    nni.until("a second result", lambda: len(nni.records()) == 2)
    nni.until("the third trial", lambda: third(nni) and nni.trials())
    running = [job for job in nni.jobs() if job["status"] == "RUNNING"][-1]
    nni.rest(f"trial-jobs/{running['trialJobId']}", "DELETE")
    nni.until("the cancellation", lambda: nni.records("interrupted"))
    nni.finish()
    trials = Trials.read(nni.folder / "ledgers" / f"{nni.id}.jsonl")
    assert [record.status for record in trials.records].count("cancelled") == 1
    (cancelled,) = [record.plan for record in trials.records if record.status == "cancelled"]
    assert cancelled == trials.plans[2] and not trials.queue
    found = [(one.plan, one.metrics["accuracy"]) for one in trials.results]
    assert found[:2] == undisturbed(nni, tmp_path, 2)
    assert len(found) == 4 == checked(nni)["finished"]
    told = checked(nni)
    assert told["cancelled"] == 1
    words = told["train"].split()
    trained = json.loads(nni.command(*words[1:], "--epochs", 1, "--json"))
    assert trained["file_bytes"] == trained["planned_bytes"] == told["file_bytes"]


def test_stop_and_resume_go_on_with_the_trial(nni):
    nni.init("--trials", 2, *LONG).create()
    nni.until("a checkpoint", nni.checkpoints)
    nni.stop()
    assert not [one for one in nni.seen() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    (stopped,) = nni.records("interrupted")
    nni.resume().finish()
    first, second = nni.jobs()
    assert (first["status"], second["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert first["parameters"] != second["parameters"] and stopped.plan in [one.plan for one in nni.records()]
    assert checked(nni)["finished"] == 2


@pytest.mark.parametrize("tuner", ["TPE", "Evolution"])
def test_a_tuner_of_nni_runs_without_a_change(nni, tuner):
    """NNI's TPE dies, and its experiment hangs, where it hears of a trial's end before its metric: seen one time in
    seven. That is no fault of the trials, and such an experiment is begun anew, five times at most."""
    nni.init("--trials", 3, "--tuner", tuner)
    for left in (5, 4, 3, 2, 1, 0):
        nni.create()
        nni.until("the end or the tuner's", lambda: nni.status() == "DONE" or "KeyError" in nni.log())
        if nni.status() == "DONE" or not left or tuner != "TPE":
            break
        nni.end()
    assert nni.status() == "DONE"
    assert nni.states() == ["SUCCEEDED"] * 3
    for job in nni.jobs():
        assert all(isinstance(value, float) for value in job["parameters"].values())
    checked(nni)


def test_medianstop_ends_poor_trials_and_the_rest_go_on(nni):
    space = "--first", ENDS, "--hidden", "stacked,binary", "--last", ENDS
    plans = "--strategy", "random", "--seed", 3, *space  # the second is worse than the first by 12 points in an epoch
    nni.init("--trials", 3, "--assessor", "Medianstop", "--trial-epochs", 12, "--batch", 5, *plans)
    nni.create().finish()
    states = nni.states()
    assert states[0] == "SUCCEEDED" and {"USER_CANCELED", "EARLY_STOPPED"} & set(states[1:])
    assert len({json.dumps(one["parameters"], sort_keys=True) for one in nni.jobs()}) == 3
    told = checked(nni)
    assert told["finished"] == states.count("SUCCEEDED") and told["cancelled"] == 3 - told["finished"]
    records = Trials.read(nni.folder / "ledgers" / f"{nni.id}.jsonl").records
    assert [one.status for one in records].count("cancelled") == told["cancelled"]


def test_what_a_user_does_on_the_web_page(nni):
    """A tuner registered by name, two trials at a time, parameters of the user's own, imported results, and an edited
    search space."""
    nni.init("--trials", 6, "--concurrency", 2, "--strategy", "random")
    nni.ctl("algo", "register", "--meta", nni.folder / "register.yml")
    assert "BudgetTuner" in nni.ctl("algo", "list")
    config = yaml.safe_load(nni.read("config.yml"))
    config["tuner"] = {"name": "BudgetTuner", "classArgs": config["tuner"]["classArgs"]}
    (nni.folder / "config.yml").write_text(yaml.safe_dump(config))
    nni.create()
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
    known = {job["trialJobId"] for job in nni.jobs()}
    nni.finish()
    assert sorted(nni.states()) == ["FAILED", *["SUCCEEDED"] * 5]
    assert "1 of 2 imported trials are new" in nni.log()
    later = [job for job in nni.jobs() if job["trialJobId"] not in known and job["parameter_id"] is not None]
    assert all(job["parameters"]["1.0"] == code for job in later[2:])  # two may have been asked for before
    (failed,) = [job for job in nni.jobs() if job["status"] == "FAILED"]
    said = (nni.path / "environments" / "local-env" / "trials" / failed["trialJobId"] / "trial.stderr").read_text()
    assert said == "error: {'0.0': 'X'} has no value for layer '1.0'\n"
    checked(nni)
    nni.ctl("algo", "unregister", "BudgetTuner")
    assert "BudgetTuner" not in nni.ctl("algo", "list")


def test_a_tuner_that_cannot_run_is_shown_as_an_error(nni):
    nni.init("--trials", 2)
    nni.folder.joinpath("bankwise.json").unlink()
    nni.create()
    nni.until("the error", lambda: nni.rest("check-status")["status"] == "ERROR")
    assert "is no NNI experiment of bankwise" in nni.log()
