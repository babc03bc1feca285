"""The tuner of a resumed experiment: NNI says what it runs again, the trials' records what became of others."""

from __future__ import annotations

import pytest

from bankwise.strategies.engines.nni.search_space import search_space
from bankwise.strategies.trials import SearchFailed


def test_resumed_it_goes_on_as_undisturbed(make, folder, tmp_path):
    def run(tuner, numbers):
        plans = []
        for number in numbers:
            (parameters,) = tuner.generate_multiple_parameters([number])
            plans.append(parameters)
            tuner.begin(parameters).end("finished", accuracy=number / 20)
            tuner.receive_trial_result(number, parameters, tuner.metric(parameters, number / 20))
        return plans

    first = run(make("evolution", 7), range(7))
    resumed = make("evolution", 7, again=[])
    resumed.import_data([{"parameter": one, "value": resumed.metric(one, 0.9)} for one in first])
    assert resumed.results() == [number / 20 for number in range(7)]
    found = first + run(resumed, range(7, 12))
    resumed.search.ledger.path.unlink()
    for place in (folder / "trials").iterdir():
        (place / "trial.json").unlink()
    assert run(make("evolution", 7), range(12)) == found


def test_what_nni_runs_again_is_not_proposed_and_new_trials_wait_for_it(make):
    tuner = make()
    first, second = tuner.generate_multiple_parameters([0, 1])
    for parameters in (first, second):
        tuner.begin(parameters).end("interrupted", "Cancelled")  # by `nnictl stop`
    resumed = make(again=[first, second])
    assert resumed.generate_multiple_parameters([2, 3]) == []  # both slots are taken
    assert resumed.search.ledger.running == [0, 1]
    resumed.import_data([{"parameter": first, "value": resumed.metric(first)}])  # so NNI tells a resumed trial's end
    (third,) = resumed.generate_multiple_parameters([4])
    assert third not in (first, second) and resumed.search.ledger.running == [1, 2]


def test_what_nni_runs_again_though_it_had_ended_takes_a_place(make):
    tuner = make()
    (first,) = tuner.generate_multiple_parameters([0])
    tuner.begin(first).end("finished")
    tuner.search.settle()  # the experiment is stopped before NNI sees the end
    resumed = make(again=[first])
    assert resumed.generate_multiple_parameters([1]) == []
    resumed.import_data([{"parameter": first, "value": resumed.metric(first)}])
    (second,) = resumed.generate_multiple_parameters([2])
    assert second != first and resumed.results() == [0.5]


def test_what_nni_lost_is_proposed_first(make):
    tuner = make()
    plans = tuner.generate_multiple_parameters(list(range(6)))
    tuner.begin(plans[0]).end("interrupted", "Cancelled")  # by the user
    tuner.begin(plans[1]).die()
    tuner.begin(plans[3]).end("interrupted", "NNI's manager does not answer")
    resumed = make(again=[plans[2]])
    assert resumed.search.ledger.failures == {1: 1}
    given = resumed.generate_multiple_parameters(list(range(6, 12)))
    assert given[:4] == [plans[1], plans[3], plans[4], plans[5]]
    assert len(given) == 5  # one is left out for what NNI runs again
    assert plans[0] not in given and plans[2] not in given


@pytest.mark.parametrize("resumed", [True, False], ids=["a manager that does not answer", "an experiment of its own"])
def test_where_nobody_knows_what_nni_ran_nothing_was_cancelled_by_the_user(make, resumed):
    """A stop tells every trial to end, as the user does."""
    tuner = make()
    plans = tuner.generate_multiple_parameters([0, 1, 2])
    tuner.begin(plans[0]).end("interrupted", "Cancelled")
    tuner.begin(plans[1]).end("finished")
    tuner.begin(plans[2]).end("diverged", "the loss is nan")
    again = make(again=[] if resumed else None, answers=False)
    assert again.generate_multiple_parameters([3])[0] == plans[0]
    assert [(one.number, one.status) for one in again.search.ledger.records] == [(1, "finished"), (2, "failed")]


def test_a_stop_that_the_tuner_saw_as_a_cancellation(make):
    tuner = make()
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.begin(parameters).end("interrupted", "Cancelled")
    tuner.trial_end(0, False)
    assert [one.status for one in tuner.search.ledger.records] == ["cancelled"]
    resumed = make(again=[parameters])
    resumed.begin(parameters).end("finished", accuracy=0.75)
    resumed.import_data([{"parameter": parameters, "value": resumed.metric(parameters, 0.75)}])
    assert resumed.results() == [0.75]
    assert [one.status for one in resumed.search.ledger.records] == ["finished"]


def test_a_trial_resumed_by_nni_that_dies_is_proposed_again(make):
    tuner = make()
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.begin(parameters).end("interrupted", "NNI's manager does not answer")
    resumed = make(again=[parameters])
    assert resumed.generate_multiple_parameters([1]) == []
    resumed.begin(parameters).die()
    assert resumed.generate_multiple_parameters([2]) == [parameters]


def test_an_edited_search_space_is_kept(make):
    tuner = make()
    (parameters,) = tuner.generate_multiple_parameters([0])
    narrow = search_space(tuner.points, "choice") | {"1.0": {"_type": "choice", "_value": [parameters["1.0"]]}}
    tuner.update_search_space(narrow)
    before = tuner.generate_multiple_parameters([1, 2])
    resumed = make(again=[parameters, *before])
    resumed.update_search_space(narrow)
    resumed.generate_multiple_parameters([])
    assert resumed.search.ledger.running == [0, 1, 2]
    assert {resumed.generate_parameters(number)["1.0"] for number in (5, 6)} == {parameters["1.0"]}


def test_the_first_trials_that_all_fail_end_the_experiment(make):
    tuner = make()
    for number in range(3):
        tuner.begin(tuner.generate_parameters(number)).end("diverged", "the loss is nan")
    with pytest.raises(SearchFailed, match="all of the first 3 trials failed: the loss is nan"):
        tuner.generate_parameters(3)


def test_a_damaged_ledger_is_said(make, folder):
    make().generate_parameters(0)
    path = folder / "ledgers" / "EXP.jsonl"
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(ValueError, match="damaged: line 1 is not JSON: .*; delete it"):
        make(again=[])
