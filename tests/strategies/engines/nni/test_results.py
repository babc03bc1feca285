from __future__ import annotations

import json

import numpy as np
import pytest

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.strategies import find_strategy, make_strategy
from bankwise.strategies.engines.nni.config import Launch, write_folder
from bankwise.strategies.engines.nni.listed import note_folder
from bankwise.strategies.engines.nni.results import best, trials


@pytest.fixture
def tuner(make):
    return make()


@pytest.fixture
def plans(small):
    """Of different prices, the dearest first."""
    space = small.budgeted
    found = [space.solve([(weight - row) ** 2 * -1.0 for row in space.costs]) for weight in (40, 60, 80, 100, 20, 5)]
    unique = {tuple(int(i) for i in plan) for plan in found}
    return sorted(unique, key=space.cost, reverse=True)


def begin(tuner, plan):
    return tuner.begin(tuner.points.encode(plan))


def test_the_best_of_a_folder_is_priced_anew_and_of_equals_the_smaller(small, tuner, folder, plans, home):
    space = small.budgeted
    assert len(plans) >= 3
    with pytest.raises(BankwiseError, match="no finished trial yet .0 running, 0 failed, 0 cancelled"):
        best(str(folder))
    for plan, accuracy in zip(plans, (0.5, 0.7, 0.7), strict=False):
        process = begin(tuner, plan)
        process.record.plan.check(small.shape)
        process.end("finished", accuracy=accuracy)
        values = json.loads((process.place / "trial.json").read_text())
        values["metrics"]["file_bytes"] = price(small.shape, space.plan(plan)).file_bytes
        (process.place / "trial.json").write_text(json.dumps(values))
    others = [
        one for one in (space.sample(tuner.search.ledger.strategy.rng) for _ in range(20)) if tuple(one) not in plans
    ]
    begin(tuner, others[0]).end("crashed", "x")
    begin(tuner, others[1]).end("interrupted", "Cancelled")
    begin(tuner, others[2]).die()
    running = begin(tuner, others[3])
    found = best(str(folder))
    assert found.plan == space.plan(plans[2]) and found.accuracy == 0.7
    assert found.cost.file_bytes == price(small.shape, found.plan).file_bytes
    assert (found.finished, found.failed, found.cancelled, found.running) == (3, 2, 1, 1)
    running.end("finished", accuracy=0.1)

    (home / "nni-experiments" / "EXP").mkdir(parents=True)
    listed = {"EXP": {"logDir": str(home / "nni-experiments")}}
    (home / "nni-experiments" / ".experiment").write_text(json.dumps(listed))
    with pytest.raises(BankwiseError, match="'EXP' is none of bankwise, or no trial of it has begun"):
        best("EXP")
    note_folder("EXP", folder)
    assert best("EXP") == best(str(folder))


def test_what_is_no_experiment(folder, home, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BankwiseError, match="no NNI experiment of bankwise"):
        best(str(tmp_path / "empty"))
    with pytest.raises(BankwiseError, match="not the folder of an experiment, and unknown NNI experiment 'abc'"):
        best("abc")


@pytest.mark.parametrize("doubts", [False, True])
@pytest.mark.parametrize("strategy", ["thompson", "random"])
def test_the_best_is_what_the_strategy_holds_best(small, make, folder, home, monkeypatch, strategy, doubts):
    """As in a search; what a strategy that doubts every accuracy holds best is the plan of the lowest."""
    if doubts:
        monkeypatch.setattr(
            find_strategy(strategy), "estimates", lambda self: np.array([-accuracy for _, accuracy in self.results])
        )
    write_folder(folder, small, Launch(strategy=strategy))
    tuner, judge = make(strategy), make_strategy(strategy, small.budgeted, small.seed)
    rng = np.random.default_rng(0)
    measured = {}
    for number in range(12):  # a scale is estimated anew after eight: the order of ends counts
        parameters = tuner.generate_parameters(number)
        accuracy = round(float(rng.uniform(0.3, 0.9)), 3)
        tuner.begin(parameters).end("finished", accuracy=accuracy)
        measured[tuner.plan(parameters).text] = accuracy
        judge.tell(tuner.plan(parameters), {"accuracy": accuracy})
    found, listed = best(str(folder)), trials(str(folder))
    assert found.plan == judge.best == listed[0].plan and found.accuracy == measured[found.plan.text]
    values = dict(zip(measured, judge.estimates().tolist(), strict=True))
    assert [values[record.plan.text] for record in listed] == sorted(values.values(), reverse=True)
    if doubts or strategy == "random":
        assert found.accuracy == (min if doubts else max)(measured.values())


def test_trials_of_a_tuner_of_nni_count_as_they_were_measured(small, tuner, folder, plans, home):
    write_folder(folder, small, Launch(tuner="Random", strategy="thompson"))
    for plan, accuracy in zip(plans, (0.5, 0.7, 0.6), strict=False):
        begin(tuner, plan).end("finished", accuracy=accuracy)
    assert [record.metrics["accuracy"] for record in trials(str(folder))] == [0.7, 0.6, 0.5]
    assert best(str(folder)).accuracy == 0.7
