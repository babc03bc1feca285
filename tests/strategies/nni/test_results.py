from __future__ import annotations

import json

import pytest

from search_space.errors import BankwiseError
from search_space.price import price
from strategies.nni import attempts
from strategies.nni.attempts import Held
from strategies.nni.points import Points
from strategies.nni.records import TrialFolder, records
from strategies.nni.results import best
from trainers.loop import EpochReport


@pytest.fixture
def space(small):
    return small.budgeted


@pytest.fixture
def plans(space):
    """Of different prices, the dearest first."""
    found = [space.solve([(weight - row) ** 2 * -1.0 for row in space.costs]) for weight in (40, 60, 80, 100)]
    unique = {tuple(int(i) for i in plan) for plan in found}
    return sorted(unique, key=space.cost, reverse=True)


@pytest.fixture
def folder(small, tmp_path):
    small.write(tmp_path / "experiment")
    return tmp_path / "experiment"


def finish(small, folder, plan, accuracy):
    made = small.budgeted.plan(plan)
    place = TrialFolder(folder, small.key(made))
    return place.finish(made, {"accuracy": accuracy, "file_bytes": 1}, [EpochReport(1, 1, 0.5, accuracy, 1.0)])


def test_the_best_of_a_folder_is_priced_anew_and_of_equals_the_smaller(small, space, folder, plans):
    assert len(plans) >= 3
    for plan, accuracy in zip(plans, (0.5, 0.7, 0.7), strict=False):
        finish(small, folder, plan, accuracy)
    for job, state in (("a", attempts.FAILED), ("b", attempts.CANCELLED), ("c", attempts.DONE), ("d", "stopped")):
        Held(folder, "E", job, {}).end(state)
    Held(folder, "E", "e", {})._lock.release()
    running = Held(folder, "E", "f", {})
    found = best(str(folder))
    running.end(attempts.DONE)
    assert found.plan == space.plan(plans[2]) and found.accuracy == 0.7
    assert found.cost.file_bytes == price(small.shape, found.plan).file_bytes
    assert (found.finished, found.failed, found.cancelled, found.running) == (3, 2, 2, 1)


def test_records_come_in_the_order_of_their_ends(small, folder, plans):
    for plan in reversed(plans):
        finish(small, folder, plan, 0.1)
    assert [small.budgeted.indices(one.plan).tolist() for one in records(folder)] == [list(p) for p in reversed(plans)]


def test_a_record_through_its_file(small, folder, plans):
    written = finish(small, folder, plans[0], 0.25)
    assert records(folder) == [written]
    (path,) = folder.glob("trials/*/record.json")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(BankwiseError, match="record.json.*damaged"):
        best(str(folder))


def test_the_best_of_an_experiment_that_nni_knows(small, space, folder, plans, home, make_books):
    books = make_books(home / "nni-experiments")
    listed = {"EXP": {"logDir": str(home / "nni-experiments")}}
    (home / "nni-experiments" / ".experiment").write_text(json.dumps(listed))
    config = {"trainingService": {"trialCodeDirectory": str(folder)}}
    books._run("insert into ExperimentProfile values (?,?,?,?,?,?,?,?)", json.dumps(config), "EXP", 1, 1, 1, "", 1, 1)
    points = Points(space)
    with pytest.raises(BankwiseError, match="no finished trial yet .0 running"):
        best("EXP")
    for number, (plan, accuracy) in enumerate(zip(plans, (0.5, 0.9, 0.7), strict=False)):
        books.submit(f"job{number}", number, {"wrong": "NNI names another's"})
        books.metric(f"job{number}", "FINAL", 0, {"default": accuracy, "plan": points.text(plan)})
        books.event(f"job{number}", "SUCCEEDED")
    for job, events in (("x", ["FAILED"]), ("y", ["USER_CANCELED"]), ("z", []), ("w", ["ADD_RESUMED"])):
        books.submit(job, 9, {})
        for event in events:
            books.event(job, event)
    found = best("EXP")
    assert (found.plan, found.accuracy, found.folder) == (space.plan(plans[1]), 0.9, folder)
    assert (found.finished, found.failed, found.cancelled, found.running) == (3, 1, 1, 2)
    (folder / "bankwise.json").unlink()
    with pytest.raises(BankwiseError, match="none of bankwise"):
        best("EXP")


def test_what_is_no_experiment(folder, home, tmp_path):
    with pytest.raises(BankwiseError, match="no finished trial yet"):
        best(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BankwiseError, match="no NNI experiment of bankwise"):
        best(str(tmp_path / "empty"))
    with pytest.raises(BankwiseError, match="not the folder of an experiment, and unknown NNI experiment 'abc'"):
        best("abc")
