"""The tuner under every event that NNI can send, in any order; trials are files here, whole experiments are beside."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from nni import NoMoreTrialError

from bankwise.search_space.price import price
from bankwise.search_space.space import SpaceSettings
from bankwise.strategies.engines.nni.search_space import search_space
from bankwise.strategies.engines.nni.tuner import BudgetTuner
from bankwise.strategies.trials import Trials


@pytest.fixture
def tuner(make):
    return make()


def test_it_proposes_readable_parameters_within_the_budget(tuner, small):
    for parameters in tuner.generate_multiple_parameters(list(range(5)), st_callback=None):
        assert list(parameters) == list(small.budgeted.space.names)
        plan = small.budgeted.plan(tuner.points.decode(parameters))
        assert [choice.code() for choice in plan.layers.values()] == list(parameters.values())
        assert price(small.shape, plan).file_bytes <= 1000


def test_results_are_told_once_by_the_plan_they_carry(tuner):
    first, second = tuner.generate_multiple_parameters([0, 1])
    tuner.receive_trial_result(0, "", tuner.metric(first, 0.25))
    tuner.receive_trial_result(0, first, tuner.metric(first, 0.75))  # twice
    tuner.receive_trial_result(77, None, tuner.metric(second, 0.5))  # an id that nobody knows
    tuner.import_data([{"parameter": first, "value": tuner.metric(first)}])
    assert tuner.results() == [0.25, 0.5]
    assert not tuner.search.ledger.running


def test_a_bare_number_is_of_the_pending_plan(tuner):
    tuner.generate_parameters(4)
    tuner.receive_trial_result(4, None, 0.5, customized=False, trial_job_id="x")
    assert tuner.results() == [0.5]


@pytest.mark.parametrize(
    "value",
    [None, math.nan, -math.inf, 93.0, "0.5", True, [], {}, {"default": None}, {"default": "x"}, {"a": 1}],
)
def test_what_is_no_accuracy_is_skipped(tuner, value, caplog):
    tuner.generate_parameters(0)
    tuner.receive_trial_result(0, None, value)
    assert tuner.results() == [] and "is no value of the metric" in caplog.text
    tuner.receive_trial_result(0, None, 0.5)
    assert tuner.results() == [0.5]


def test_a_result_of_nothing_known_is_skipped(tuner, caplog):
    tuner.receive_trial_result(9, None, 0.5)
    tuner.receive_trial_result(None, None, {"default": 0.5, "plan": "0.0=X"})
    assert tuner.results() == [] and caplog.text.count("no plan of it is known") == 2


@pytest.mark.parametrize("how", ["crashed", "died"])
def test_a_crashed_trial_is_tried_three_times(tuner, how):
    parameters = tuner.generate_parameters(0)
    for number in range(3):
        process = tuner.begin(parameters)
        if how == "died":
            process.die()
        else:
            process.end("crashed", "RuntimeError: out of memory")
        tuner.trial_end(number, False)
        tuner.trial_end(number, False)  # twice
        again = tuner.generate_parameters(number + 1)
        assert (again == parameters) == (number < 2)
    (record,) = tuner.search.ledger.records
    assert record.status == "failed" and record.failures == 3
    assert record.reason == ("its process died" if how == "died" else "RuntimeError: out of memory")


def test_a_diverged_trial_is_not_tried_again(tuner):
    parameters = tuner.generate_parameters(0)
    tuner.begin(parameters).end("diverged", "the loss is nan")
    assert tuner.generate_parameters(1) != parameters
    assert [one.reason for one in tuner.search.ledger.records] == ["the loss is nan"]


@pytest.mark.parametrize("order", ["end first", "metric first", "no end", "twice"])
def test_the_end_and_the_metric_come_in_any_order(tuner, order):
    parameters = tuner.generate_parameters(0)
    tuner.begin(parameters).end("finished")
    if order in ("end first", "twice"):
        tuner.trial_end(0, True)
    tuner.receive_trial_result(0, parameters, tuner.metric(parameters))
    if order in ("metric first", "twice"):
        tuner.trial_end(0, True)
    assert tuner.results() == [0.5] and tuner.generate_parameters(1) != parameters


def test_a_cancelled_trial_is_not_tried_again(tuner):
    parameters = tuner.generate_parameters(0)
    tuner.begin(parameters).end("interrupted", "Cancelled")
    tuner.trial_end(0, False)
    assert parameters not in [tuner.generate_parameters(number) for number in range(1, 20)]


def test_the_end_that_nni_ascribes_to_another_parameter(tuner):
    """Two trials at a time: NNI hands a parameter to whichever process asks first, and names its own at the end."""
    first, second = tuner.generate_multiple_parameters([0, 1])
    alive = tuner.begin(first)
    tuner.begin(second).end("crashed")
    tuner.trial_end(0, False)  # the job which was meant to run parameter 0
    assert tuner.generate_parameters(2) == second
    alive.end("finished")


def test_the_end_of_the_space(tiny, folder, make):
    (folder / "bankwise.json").unlink()
    settings = SpaceSettings(hidden=("binary",), first=("binary",), last=("int4", "binary"), vectors=("v8",))
    tiny(space=settings, budget="10000").write(folder)
    tuner = make()
    given = tuner.generate_multiple_parameters([0, 1, 2, 3])
    assert len(given) == 2
    with pytest.raises(NoMoreTrialError):
        tuner.generate_parameters(4)
    tuner.begin(given[0]).end("crashed")
    assert tuner.generate_multiple_parameters([5, 6]) == [given[0]]
    tuner.receive_trial_result(5, "", tuner.metric(given[0]))
    assert tuner.results() == [0.5]


def test_imports(tuner, small, caplog):
    space, rng = small.budgeted, np.random.default_rng(0)
    own, other = (tuner.points.encode(space.sample(rng)) for _ in range(2))
    dear = {name: tuner.points.codes[name][int(space.costs[i].argmax())] for i, name in enumerate(own)}
    data = [
        {"parameter": own, "value": tuner.metric(own, 0.25), "trialJobId": "x"},
        {"parameter": other, "value": 0.5},
        {"parameter": dict.fromkeys(own, 0.5), "value": {"default": 0.75}},  # importances
        {"parameter": dear, "value": 0.8},  # over the budget: the plan that its trial had trained
        {"parameter": own, "value": 0.9},  # again
        {"parameter": {"lr": 0.1}, "value": 0.9}, {"parameter": None, "value": 0.9}, {"parameter": own}, {}, None, 3,
        {"parameter": dict.fromkeys(own, 1.0), "value": None}, {"value": 0.3}, {"parameter": own, "value": "good"},
        {"parameter": {**own, "0.0": "S9.9.9x9"}, "value": 0.5},
    ]  # fmt: skip
    tuner.import_data(data)
    assert tuner.results() == [0.25, 0.5, 0.75, 0.8]
    assert own not in tuner.generate_multiple_parameters(list(range(20)))
    assert space.fits(space.indices(tuner.search.ledger.strategy.best))


def test_an_edited_search_space_narrows_and_a_wrong_one_is_refused(tuner, small, caplog):
    full = search_space(tuner.points, "choice")
    before = tuner.generate_multiple_parameters([0, 1, 2])
    tuner.receive_trial_result(0, None, tuner.metric(before[0]))
    narrow = {**full, "1.0": {"_type": "choice", "_value": [before[0]["1.0"]]}}
    tuner.update_search_space(narrow)
    assert {tuner.generate_parameters(number)["1.0"] for number in range(3, 9)} == {before[0]["1.0"]}
    assert tuner.results() == [0.5]
    dearest = {name: {"_type": "choice", "_value": [tuner.points.codes[name][int(small.budgeted.costs[i].argmax())]]}
               for i, name in enumerate(full)}  # fmt: skip
    for wrong in (dearest, {}, None, {**full, "1.0": {"_type": "uniform", "_value": [0, 1]}}, {"x": full["1.0"]}):
        caplog.clear()
        tuner.update_search_space(wrong)
        assert "search space refused" in caplog.text
        assert tuner.generate_parameters(100)["1.0"] == before[0]["1.0"]


def test_an_unknown_strategy_or_folder_is_said_at_the_first_call(folder, tmp_path):
    with pytest.raises(ValueError, match="unknown strategy 'evoluton'"):
        BudgetTuner(str(folder), "evoluton").update_search_space({})
    with pytest.raises(ValueError, match="no NNI experiment"):
        BudgetTuner(str(tmp_path / "nowhere")).generate_parameters(0)


def test_a_strategy_that_looks_at_the_data_is_prepared_at_its_first_proposal(make, folder):
    tuner = make("sensitivity")
    assert not (folder / "teacher.pt").exists()
    tuner.generate_parameters(0)
    assert (folder / "teacher.pt").exists()
    with pytest.raises(NoMoreTrialError):
        tuner.generate_parameters(1)


def test_a_proposal_is_on_disk_before_it_is_given_out(tuner, folder):
    (parameters,) = tuner.generate_multiple_parameters([0])
    trials = Trials.read(folder / "ledgers" / "EXP.jsonl")
    assert trials.running == [0] and trials.plans == [tuner.plan(parameters)]


def test_two_threads_as_nni_has_them(make):
    tuner = make()
    errors, done = [], threading.Event()

    def ends():
        try:
            while not done.is_set():
                for number in range(30):
                    tuner.trial_end(number, bool(number % 3))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ends)
    thread.start()
    try:
        given = {}
        for number in range(30):
            given[number] = tuner.generate_parameters(number)
            tuner.begin(given[number]).end("finished" if number % 3 else "crashed")
            if number % 3:
                tuner.receive_trial_result(number, None, tuner.metric(given[number]))
    finally:
        done.set()
        thread.join()
    assert not errors
    plans = [tuple(one.values()) for one in given.values()]
    assert max(map(plans.count, plans)) <= 3
    assert len(tuner.results()) == len(tuner.search.ledger.results) >= 15
