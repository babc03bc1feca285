"""The tuner of a resumed experiment: NNI's books say what it runs again, the trials' files what became of others."""

from __future__ import annotations

import json
import time

import pytest

from strategies.nni import attempts


def finish(tuner, books, number, parameters, accuracy=0.5):
    tuner.begin(number, parameters).end(attempts.DONE)
    tuner.receive_trial_result(number, parameters, tuner.metric(parameters, accuracy))
    books.event(f"job{number}", "SUCCEEDED")


def test_resumed_it_goes_on_as_undisturbed(make, books):
    def run(tuner, numbers):
        plans = []
        for number in numbers:
            (parameters,) = tuner.generate_multiple_parameters([number])
            plans.append(parameters)
            books.submit(f"job{number}", number, parameters)
            finish(tuner, books, number, parameters, number / 20)
        return plans

    undisturbed = make("evolution", 7)
    wanted = run(undisturbed, range(12))
    books.clear()
    first = run(make("evolution", 7), range(7))
    resumed = make("evolution", 7, resume=True)
    resumed.import_data([{"parameter": one, "value": resumed.metric(one, 0.9)} for one in first])
    assert resumed.told() == [number / 20 for number in range(7)]
    assert first + run(resumed, range(7, 12)) == wanted


def test_what_nni_runs_again_is_not_proposed_and_new_trials_wait_for_it(make, books):
    tuner = make()
    first, second = tuner.generate_multiple_parameters([0, 1])
    for number, parameters in enumerate((first, second)):
        books.submit(f"job{number}", number, parameters)
        tuner.begin(number, parameters).end(attempts.CANCELLED)  # by `nnictl stop`
    time.sleep(0.01)
    resumed = make(resume=True)
    books.event("job0", "ADD_RESUMED")
    assert resumed.generate_multiple_parameters([2, 3]) == []  # both slots are taken
    assert set(resumed.search.proposals.pending) == {0, 1}
    resumed.import_data([{"parameter": first, "value": resumed.metric(first)}])  # so NNI tells a resumed trial's end
    (third,) = resumed.generate_multiple_parameters([4])
    assert third not in (first, second) and set(resumed.search.proposals.pending) == {1, 4}


def test_what_nni_lost_is_proposed_first(make, books):
    tuner = make()
    plans = tuner.generate_multiple_parameters(list(range(6)))
    books.submit("job0", 0, plans[0])
    tuner.begin(0, plans[0]).end(attempts.CANCELLED)
    books.event("job0", "USER_CANCELED")  # the user's
    books.submit("job1", 1, plans[1])
    tuner.begin(1, plans[1])._lock.release()
    books.event("job1", "USER_CANCELED")  # killed by a signal
    books.submit("job2", 2, plans[2])  # running: again
    books.submit("job3", 3, plans[3])
    books.event("job3", "ADD_RESUMED", ago=3600)  # by a resume that was killed itself: forgotten
    # 4 and 5 were never submitted
    time.sleep(0.01)
    resumed = make(resume=True)
    assert resumed.search.proposals.failures == {resumed.points.decode(plans[1]): 1}
    given = resumed.generate_multiple_parameters(list(range(6, 12)))
    assert given[:4] == [plans[1], plans[3], plans[4], plans[5]]
    assert len(given) == 5  # one is held back for job2
    assert plans[0] not in given and plans[2] not in given


def test_a_job_that_took_over_another_s_parameter(make, books):
    """Job B, of parameter 1, ran parameter 0 when the experiment was stopped; job A had died before it asked."""
    tuner = make()
    first, second = tuner.generate_multiple_parameters([0, 1])
    books.submit("A", 0, first)
    books.event("A", "USER_CANCELED")
    books.submit("B", 1, second)
    tuner.begin(0, first, job="B").end(attempts.CANCELLED)
    time.sleep(0.01)
    resumed = make(resume=True)
    assert set(resumed.search.proposals.pending) == {1}
    assert resumed.generate_multiple_parameters([2, 3]) == [first]


def test_a_trial_resumed_by_nni_that_dies_is_proposed_again(make, books):
    tuner = make()
    (parameters,) = tuner.generate_multiple_parameters([0])
    books.submit("job0", 0, parameters)
    tuner.begin(0, parameters).end(attempts.STOPPED)
    time.sleep(0.01)
    resumed = make(resume=True)
    assert resumed.generate_multiple_parameters([1]) == []
    resumed.begin(0, parameters)._lock.release()
    assert resumed.generate_multiple_parameters([2]) == [parameters]


@pytest.mark.parametrize("harm", ["missing", "cut", "list", "foreign", "old"])
def test_a_damaged_state_is_said_and_the_imported_trials_are_what_is_known(make, books, harm, caplog):
    tuner = make()
    (parameters,) = tuner.generate_multiple_parameters([0])
    books.submit("job0", 0, parameters)
    finish(tuner, books, 0, parameters)
    path = books.checkpoint / "bankwise-tuner.json"
    state = json.loads(path.read_text())
    if harm == "missing":
        path.unlink()
    elif harm == "foreign":
        path.write_text(json.dumps(state | {"seed": 99}))
    elif harm == "old":
        path.write_text(json.dumps({key: value for key, value in state.items() if key != "asked"}))
    else:
        path.write_text({"cut": path.read_text()[:50], "list": "[]"}[harm])
    resumed = make(resume=True)
    assert "no state to resume" in caplog.text
    resumed.import_data([{"parameter": parameters, "value": resumed.metric(parameters, 0.5)}])
    assert resumed.told() == [0.5]
    assert parameters not in resumed.generate_multiple_parameters(list(range(1, 9)))
