from __future__ import annotations

import pytest

pytest.importorskip("ray")
from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, TrialScheduler

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.ray.schedulers import SCHEDULERS, make_scheduler

CLASSES = {"asha": ASHAScheduler, "hyperband": HyperBandScheduler, "median": MedianStoppingRule, "none": type(None)}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("epochs", [1, 2, 8, 100])
def test_every_name_for_any_number_of_epochs(name, epochs):
    scheduler = make_scheduler(name, epochs, metric="accuracy", mode="max")
    assert type(scheduler) is CLASSES[name]
    if scheduler is not None:
        assert scheduler.metric == "accuracy"
        assert not scheduler.set_search_properties("accuracy", "max")
        assert make_scheduler(name, epochs).set_search_properties("accuracy", "max")


def test_without_a_name_every_trial_runs_through():
    assert make_scheduler(None, 8) is None


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(BankwiseError, match="unknown scheduler 'hyperbandd': did you mean hyperband"):
        make_scheduler("hyperbandd", 8)


def test_asha_judges_from_a_quarter_of_the_epochs_on():
    """Of trials that all report the same but one, at epoch 2 of 8 the poorer one ends and not before."""
    scheduler = make_scheduler("asha", 8, metric="accuracy", mode="max")

    class Trial:
        def __init__(self, trial_id):
            self.trial_id = trial_id

    for number in range(4):
        trial, accuracy = Trial(str(number)), 0.5 if number < 3 else 0.4
        scheduler.on_trial_add(None, trial)
        decisions = [scheduler.on_trial_result(None, trial, {"epoch": epoch, "accuracy": accuracy}) for epoch in (1, 2)]
        expected = TrialScheduler.STOP if number == 3 else TrialScheduler.CONTINUE
        assert decisions == [TrialScheduler.CONTINUE, expected]
