"""Random events in random orders: the tuner never tells a plan twice, never proposes one over the budget, never one
that was measured or cancelled, and a crashed one three times at most."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bankwise.search_space.price import price
from bankwise.search_space.space import SpaceSettings
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.experiment import Experiment
from bankwise.strategies.engines.nni.search import Search
from bankwise.strategies.engines.nni.search_space import kept_choices, search_space
from bankwise.strategies.engines.nni.tuner import BudgetTuner
from bankwise.strategies.ledger import RETRIES
from bankwise.strategies.trials import SearchFailed
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

EXPERIMENT = Experiment(
    TaskSource("tiny", "digits", limit=200), Recipe(epochs=1), "1000", (1, 8, 8), 10, trial_epochs=1,
    space=SpaceSettings(hidden=("stacked", "binary"), max_k=4, tiles=((3, 3),)),
)  # fmt: skip
POINTS = PlanEncoding(EXPERIMENT.budgeted)
ODD = [None, math.nan, "x", {}, {"default": None}, {"default": 7}, {"plan": 3}, [1]]


class Orders(RuleBasedStateMachine):
    """NNI and its trials, as far as the tuner can see them."""

    @initialize(strategy=st.sampled_from(["random", "evolution", "thompson", "tpe"]))
    def start(self, strategy):
        self.place = tempfile.TemporaryDirectory()
        root = Path(self.place.name)
        self.folder, self.strategy, self.tuner = root / "experiment", strategy, None
        EXPERIMENT.write(self.folder)
        (root / "EXP" / "checkpoint").mkdir(parents=True)
        self.patches = [
            mock.patch.dict(os.environ, {"NNI_CHECKPOINT_DIRECTORY": str(root / "EXP" / "checkpoint")}),
            mock.patch.object(Search, "_run_again", lambda search: self.again()),
        ]
        for patch in self.patches:
            patch.start()
        self.number = 0
        self.waiting, self.running = [], []
        self.cancelled, self.measured = set(), {}
        self.proposed, self.crashes, self.lost = Counter(), Counter(), Counter()
        self.kept = search_space(POINTS, "choice")
        self.open()

    def again(self):
        return [POINTS.space.plan(plan) for _, plan, _ in self.running]

    def open(self, resume: bool = False):
        if self.tuner is not None:
            self.tuner.search.ledger.close()
        self.tuner = BudgetTuner(str(self.folder), self.strategy, 1)
        if resume:
            self.tuner.load_checkpoint()
        self.tuner.update_search_space(self.kept)

    def teardown(self):
        if hasattr(self, "place"):
            for _, _, process in self.running:
                process.die()
            self.tuner.search.ledger.close()
            for patch in self.patches:
                patch.stop()
            self.place.cleanup()

    @rule(count=st.integers(1, 3))
    def request(self, count):
        numbers = list(range(self.number, self.number + count))
        self.number += count
        surplus = self.tuner.search.surplus
        try:
            given = self.tuner.generate_multiple_parameters(numbers)
        except SearchFailed:
            assert not self.measured and sum(n > RETRIES for n in self.crashes.values())
            return
        assert len(given) <= max(0, count - surplus)
        for number, parameters in zip(numbers, given, strict=False):
            plan = POINTS.decode(parameters)
            assert POINTS.encode(plan) == parameters
            assert price(EXPERIMENT.shape, EXPERIMENT.budgeted.plan(plan)).file_bytes <= 1000
            assert plan not in self.measured and plan not in self.cancelled
            self.proposed[plan] += 1
            assert self.proposed[plan] <= 1 + min(RETRIES, self.crashes[plan]) + self.lost[plan]
            if self.proposed[plan] == 1:
                assert all(parameters[name] in row["_value"] for name, row in self.kept.items())
            self.waiting.append((number, parameters))

    @rule(data=st.data())
    def begin(self, data):
        if self.waiting:
            number, parameters = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
            plan = POINTS.decode(parameters)
            self.running.append((number, plan, self.process(self.tuner.search, POINTS.space.plan(plan))))

    @rule(killed=st.booleans())
    def stop_and_resume(self, killed):
        """NNI runs the running trials again, loses those it had not submitted, counts parameters from the former."""
        for *_, process in self.running:
            process.die() if killed else process.end("interrupted", "NNI's manager does not answer")
        self.lost.update(POINTS.decode(parameters) for _, parameters in self.waiting)
        self.waiting = []
        self.number = max([number for number, *_ in self.running], default=0) + 1
        self.open(resume=True)
        self.tuner.import_data([{"parameter": POINTS.encode(plan), "value": 0.5} for plan in self.measured])
        for i, (number, plan, _) in enumerate(self.running):
            self.running[i] = (number, plan, self.process(self.tuner.search, POINTS.space.plan(plan)))

    @rule(data=st.data(), how=st.sampled_from(["finished", "finished", "crashed", "died", "cancelled"]),
          first=st.booleans(), wrong=st.booleans(), accuracy=st.floats(0, 1))  # fmt: skip
    def end(self, data, how, first, wrong, accuracy):
        if not self.running:
            return
        number, plan, process = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        ended = data.draw(st.integers(0, self.number)) if wrong else number
        if how == "died":
            process.die()
        elif how == "cancelled":
            process.end("interrupted", "Cancelled")
        else:
            process.end(how, accuracy=accuracy)
        if first:
            self.tuner.trial_end(ended, how == "finished")
        if how == "finished":
            self.tuner.receive_trial_result(number, "", {"default": accuracy, "plan": POINTS.space.plan(plan).text})
            self.measured.setdefault(plan, accuracy)
        elif plan not in self.measured and how == "cancelled":
            self.cancelled.add(plan)
        elif plan not in self.measured:
            self.crashes[plan] += 1
        if not first:
            self.tuner.trial_end(ended, how == "finished")

    @rule(number=st.one_of(st.none(), st.integers(-3, 99)), value=st.sampled_from(ODD))
    def odd_metric(self, number, value):
        self.tuner.receive_trial_result(number, None, value)

    @rule(number=st.integers(-3, 99), success=st.booleans())
    def odd_end(self, number, success):
        self.tuner.trial_end(number, success)

    @rule(importances=st.lists(st.floats(-2, 2), min_size=5, max_size=5), accuracy=st.floats(0, 1))
    def import_trials(self, importances, accuracy):
        point = dict(zip(POINTS.names, importances, strict=True))
        plan = POINTS.decode(point)
        self.tuner.import_data([{"parameter": point, "value": accuracy}, {"parameter": 3}, None])
        if self.crashes[plan] <= RETRIES:
            self.measured.setdefault(plan, accuracy)
            self.cancelled.discard(plan)

    @rule(data=st.data())
    def narrow(self, data):
        edited = {
            name: {"_type": "choice", "_value": data.draw(st.lists(st.sampled_from(row), min_size=1, max_size=3))}
            if data.draw(st.integers(0, 3)) == 0
            else {"_type": "choice", "_value": row}
            for name, row in POINTS.codes.items()
        }
        before = self.tuner.search.kept
        self.tuner.update_search_space(edited)
        if self.tuner.search.kept != before or kept_choices(POINTS, edited) == before:
            self.kept = edited

    @rule(wrong=st.sampled_from([None, {}, {"0.0": 3}, "space", {"x": {"_type": "choice", "_value": ["B"]}}]))
    def wrong_space(self, wrong):
        self.tuner.update_search_space(wrong)

    @invariant()
    def each_plan_is_told_once(self):
        if getattr(self, "tuner", None) is None:
            return
        self.tuner.trial_end(0, True)
        ledger = self.tuner.search.ledger
        found = {tuple(POINTS.space.indices(one.plan).tolist()): one.metrics["accuracy"] for one in ledger.results}
        assert found == self.measured
        told = [indices for indices, _ in ledger.strategy.results]
        assert len(told) == len(set(told)) == sum(ledger.strategy.contains(one.plan) for one in ledger.results)


def test_orders(trial_process):
    machine = type("Machine", (Orders,), {"process": staticmethod(trial_process)})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
