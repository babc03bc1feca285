"""Random events in random orders: the tuner never raises, never tells a plan twice, never proposes one over the budget,
never one that was measured or cancelled, and a crashed one three times at most."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from search_space.price import price
from search_space.space import SpaceSettings
from strategies.nni.attempts import Held
from strategies.nni.experiment import Experiment
from strategies.nni.points import Points
from strategies.nni.tuner import BudgetTuner
from trainers.recipe import Recipe
from trainers.task import TaskSource

EXPERIMENT = Experiment(
    TaskSource("tiny", "digits", Recipe(epochs=1), limit=200), "1000", (1, 8, 8), 10, trial_epochs=1,
    space=SpaceSettings(hidden=("stacked", "binary"), max_k=4, tiles=((3, 3),)),
)  # fmt: skip
POINTS = Points(EXPERIMENT.budgeted)
ODD = [None, math.nan, "x", {}, {"default": None}, {"default": 7}, {"plan": 3}, [1], {"default": 0.5, "plan": "a=b"}]


class Orders(RuleBasedStateMachine):
    """NNI and its trials, as far as the tuner can see them."""

    @initialize(books=st.none(), strategy=st.sampled_from(["random", "evolution", "tpe"]))
    def start(self, books, strategy):
        self.place = tempfile.TemporaryDirectory()
        root = Path(self.place.name)
        self.folder, self.strategy = root / "experiment", strategy
        EXPERIMENT.write(self.folder)
        self.books = self.make_books(root / "nni")
        self.environment = mock.patch.dict(os.environ, {"NNI_CHECKPOINT_DIRECTORY": str(self.books.checkpoint)})
        self.environment.start()
        self.number = self.jobs = 0
        self.waiting, self.running, self.silent = [], [], []
        self.cancelled, self.measured = set(), {}
        self.proposed, self.crashes, self.lost = Counter(), Counter(), Counter()
        self.kept = POINTS.search_space("choice")
        self.open()

    def open(self, resume: bool = False):
        self.tuner = BudgetTuner(str(self.folder), self.strategy, 1)
        if resume:
            self.tuner.load_checkpoint()
        self.tuner.update_search_space(self.kept)

    def teardown(self):
        if hasattr(self, "place"):
            for _, _, _, held in self.running:
                held.end("done")
            self.environment.stop()
            self.place.cleanup()

    @rule(count=st.integers(1, 3))
    def request(self, count):
        numbers = list(range(self.number, self.number + count))
        self.number += count
        for number, parameters in zip(numbers, self.tuner.generate_multiple_parameters(numbers), strict=False):
            plan = POINTS.decode(parameters)
            assert POINTS.encode(plan) == parameters
            assert price(EXPERIMENT.shape, EXPERIMENT.budgeted.plan(plan)).file_bytes <= 1000
            assert plan not in self.measured and plan not in self.cancelled
            assert all(parameters[name] in row["_value"] for name, row in self.kept.items())
            self.proposed[plan] += 1
            assert self.proposed[plan] <= 1 + min(2, self.crashes[plan]) + self.lost[plan]
            self.waiting.append((number, parameters))

    @rule(data=st.data())
    def begin(self, data):
        if self.waiting:
            number, parameters = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
            self.jobs += 1
            held = Held(self.folder, "EXP", f"job{self.jobs}", parameters)
            self.books.submit(f"job{self.jobs}", number, parameters)
            self.running.append((number, POINTS.decode(parameters), parameters, held))

    @rule(killed=st.booleans())
    def stop_and_resume(self, killed):
        """NNI runs the running trials again, loses those it had not submitted, counts parameters from the former."""
        for *_, held in self.running:
            held._lock.release() if killed else held.end("stopped")
        self.lost.update(POINTS.decode(parameters) for _, parameters in self.waiting)
        self.lost.update(self.silent)
        self.waiting, self.silent = [], []
        self.number = max([number for number, *_ in self.running], default=0) + 1
        self.open(resume=True)
        text = [{"parameter": POINTS.encode(plan), "value": 0.5} for plan in self.measured]
        self.tuner.import_data(text)
        assert self.tuner.search.held == len(self.running)
        for i, (number, plan, parameters, held) in enumerate(self.running):
            again = Held(self.folder, "EXP", held.attempt.job, parameters)
            self.running[i] = (number, plan, parameters, again)

    @rule(data=st.data(), how=st.sampled_from(["done", "done", "failed", "died", "cancelled", "silent"]),
          first=st.booleans(), wrong=st.booleans(), accuracy=st.floats(0, 1))  # fmt: skip
    def end(self, data, how, first, wrong, accuracy):
        if not self.running:
            return
        number, plan, parameters, held = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        ended = data.draw(st.integers(0, self.number)) if wrong else number
        status = {"failed": "FAILED", "died": "USER_CANCELED", "cancelled": "USER_CANCELED"}.get(how, "SUCCEEDED")
        self.books.event(held.attempt.job, status)
        if how == "silent" and plan not in self.measured:
            self.silent.append(plan)
        if how == "died":
            held._lock.release()
        else:
            held.end({"silent": "done"}.get(how, how))
        if first:
            self.tuner.trial_end(ended, how in ("done", "silent"))
        if how == "done":
            value = {"default": accuracy, "plan": POINTS.text(plan)}
            self.tuner.receive_trial_result(number, "", value)
            self.measured.setdefault(plan, accuracy)
        if how in ("failed", "died"):
            self.crashes[plan] += 1
        if how == "cancelled" and plan not in self.measured:
            self.cancelled.add(plan)
        if not first:
            self.tuner.trial_end(ended, how in ("done", "silent"))

    @rule(number=st.one_of(st.none(), st.integers(-3, 99)), value=st.sampled_from(ODD))
    def odd_metric(self, number, value):
        if value != {"default": 0.5, "plan": "a=b"} or number is None or number > 50:
            self.tuner.receive_trial_result(number, None, value)

    @rule(number=st.integers(-3, 99), success=st.booleans())
    def odd_end(self, number, success):
        self.tuner.trial_end(number, success)

    @rule(again=st.data(), accuracy=st.floats(0, 1))
    def result_again(self, again, accuracy):
        if self.measured:
            plan = again.draw(st.sampled_from(sorted(self.measured)))
            self.tuner.receive_trial_result(self.number + 7, None, {"default": accuracy, "plan": POINTS.text(plan)})

    @rule(importances=st.lists(st.floats(-2, 2), min_size=5, max_size=5), accuracy=st.floats(0, 1))
    def import_trials(self, importances, accuracy):
        point = dict(zip(POINTS.names, importances, strict=True))
        self.tuner.import_data([{"parameter": point, "value": accuracy}, {"parameter": 3}, None])
        self.measured.setdefault(POINTS.decode(point), accuracy)

    @rule(data=st.data())
    def narrow(self, data):
        edited = {
            name: {"_type": "choice", "_value": data.draw(st.lists(st.sampled_from(row), min_size=1, max_size=3))}
            if data.draw(st.integers(0, 3)) == 0
            else {"_type": "choice", "_value": row}
            for name, row in zip(POINTS.names, POINTS.codes, strict=True)
        }
        before = self.tuner.search.proposals.kept
        self.tuner.update_search_space(edited)
        if self.tuner.search.proposals.kept != before or POINTS.kept(edited) == before:
            self.kept = edited

    @rule(wrong=st.sampled_from([None, {}, {"0.0": 3}, "space", {"x": {"_type": "choice", "_value": ["B"]}}]))
    def wrong_space(self, wrong):
        self.tuner.update_search_space(wrong)

    @invariant()
    def each_plan_is_told_once(self):
        if not hasattr(self, "tuner"):
            return
        proposals = self.tuner.search.proposals
        assert proposals.told == self.measured
        told = [indices for indices, _ in proposals.strategy.told]
        within = [plan for plan in proposals.told if proposals._lies_within(plan)]
        assert len(told) == len(set(told)) == len(within)


def test_orders(make_books):
    Orders.make_books = staticmethod(make_books)
    Orders.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
    case = Orders.TestCase()
    case.runTest()
