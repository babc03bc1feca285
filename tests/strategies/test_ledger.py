"""The ledger against a simple model: orders of events, failures, kills and torn journals."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.price import price
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.ledger import RETRIES, Ledger
from bankwise.strategies.trials import FIRST, SearchFailed, Trials

BUDGET = 1300


def accuracy(plan) -> float:
    return zlib.crc32(plan.to_yaml().encode()) / 2**32


def state(ledger: Ledger) -> dict:
    """All of a ledger that a search's further course hangs on."""
    names = ("plans", "running", "queue", "failures", "records", "exhausted", "done")
    return {name: getattr(ledger, name) for name in names} | {"strategy": ledger.strategy.state_dict()}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "search" / "ledger.jsonl"


@pytest.fixture(params=["evolution", "thompson", "tpe"])
def opened(request, space, path):
    """Opens the ledger of a search with a fresh strategy; what was open is closed."""
    ledgers = []

    def again(trials: int | None = 6, **options) -> Ledger:
        for ledger in ledgers:
            ledger.close()
        ledgers.append(Ledger(path, make_strategy(request.param, space, seed=3), trials, **options))
        return ledgers[-1]

    yield again
    for ledger in ledgers:
        ledger.close()


class Machine(RuleBasedStateMachine):
    """`model` maps the number of each trial to "running", "queue" or how it ended; `tries` counts failed ones."""

    space: BudgetedSpace
    TRIALS = 14

    @initialize(name=st.sampled_from(["random", "evolution", "thompson", "tpe"]))
    def begin(self, name):
        self.folder = Path(tempfile.mkdtemp())
        self.name, self.ledger = name, None
        self.model, self.plans, self.tries = {}, {}, {}
        self.open()

    def open(self):
        if self.ledger is not None:
            self.ledger.close()
        self.ledger = Ledger(self.folder / "j.jsonl", make_strategy(self.name, self.space, seed=1), self.TRIALS)

    def numbers(self, status: str) -> list[int]:
        return [number for number, found in self.model.items() if found == status]

    def hopeless(self) -> bool:
        failed, finished = len(self.numbers("failed")), len(self.numbers("finished"))
        return bool(failed) and not finished and (failed >= FIRST or self.ledger.done)

    @rule()
    def ask(self):
        if self.hopeless():
            with pytest.raises(SearchFailed):
                self.ledger.ask()
            return
        queued = self.numbers("queue")
        trial = self.ledger.ask()
        if trial is None:
            assert not queued and len(self.model) == self.TRIALS
            return
        if queued:
            assert trial.number in queued and trial.plan == self.plans[trial.number]
        else:
            assert trial.number == len(self.model)
            assert trial.plan not in self.plans.values(), "a plan comes twice"
            assert price(self.space.space.shape, trial.plan).file_bytes <= BUDGET
        self.plans[trial.number] = trial.plan
        self.model[trial.number] = "running"

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def finish(self, data):
        number = data.draw(st.sampled_from(sorted(self.model)))
        self.ledger.finished(number, {"accuracy": accuracy(self.plans[number]), "epochs": (0.5,)})
        if self.model[number] in ("running", "queue", "cancelled"):  # a cancelled one may have finished after all
            self.model[number] = "finished"

    @precondition(lambda self: self.model)
    @rule(data=st.data(), retry=st.booleans())
    def fail(self, data, retry):
        number = data.draw(st.sampled_from(sorted(self.model)))
        again = self.ledger.failed(number, "it raised", retry=retry)
        if self.model[number] not in ("running", "queue"):
            assert not again
            return
        assert again == (retry and self.tries.get(number, 0) < RETRIES)
        self.tries[number] = self.tries.get(number, 0) + 1
        self.model[number] = "queue" if again else "failed"

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def lose_or_cancel(self, data):
        number, lose = data.draw(st.tuples(st.sampled_from(sorted(self.model)), st.booleans()))
        if lose:
            self.ledger.lost(number)
            if self.model[number] == "running":
                self.model[number] = "queue"
        else:
            self.ledger.cancelled(number)
            if self.model[number] in ("running", "queue"):
                self.model[number] = "cancelled"

    @rule(torn=st.binary(max_size=20))
    def crash(self, torn):
        """A kill, perhaps in the middle of a line."""
        before = state(self.ledger)
        with open(self.ledger.path, "ab") as stream:
            stream.write(torn.replace(b"\n", b""))
        self.open()
        assert state(self.ledger) == before

    def teardown(self):
        if getattr(self, "ledger", None) is None:
            return
        for status in ("running", "queue"):
            assert sorted(getattr(self.ledger, status)) == self.numbers(status)
        ended = {record.number: record.status for record in self.ledger.records}
        assert ended == {n: s for n, s in self.model.items() if s not in ("running", "queue")}
        assert len(ended) == len(self.ledger.records) and len(self.plans) <= self.TRIALS
        assert all(record.failures <= RETRIES + 1 for record in self.ledger.records)
        assert Trials.read(self.ledger.path).records == self.ledger.records
        strategy = self.ledger.strategy
        assert len(strategy.results) == len(self.numbers("finished"))
        assert len(strategy.failed) == len(self.numbers("failed"))
        self.ledger.close()
        shutil.rmtree(self.folder)


def test_any_order_of_events_and_kills(space):
    machine = type("OverSpace", (Machine,), {"space": space})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    )


def test_a_ledger_is_begun_once_its_first_line_is_whole(opened, path):
    assert not Trials.begun(path)
    opened()
    whole = path.read_bytes()
    assert Trials.begun(path)
    for torn in (b"", whole[:1], whole[:-1]):
        path.write_bytes(torn)
        assert not Trials.begun(path)
        opened()
        assert path.read_bytes() == whole


def test_a_search_that_is_killed_after_every_event_goes_on_as_the_undisturbed_one(space, opened, tmp_path):
    undisturbed = Ledger(tmp_path / "u.jsonl", opened().strategy.__class__(space, 3), 12)
    while (trial := undisturbed.ask()) is not None:
        undisturbed.finished(trial.number, {"accuracy": accuracy(trial.plan)})
    while not (ledger := opened(12)).done:
        trial = ledger.ask()
        ledger = opened(12)
        assert ledger.running == [trial.number]
        ledger.lost(trial.number)
        ledger = opened(12)
        assert ledger.ask() == trial
        ledger.finished(trial.number, {"accuracy": accuracy(trial.plan)})
    assert ledger.records == undisturbed.records
    assert ledger.strategy.state_dict() == undisturbed.strategy.state_dict()
    undisturbed.close()


def test_the_first_trials_that_all_fail_end_the_search_with_their_cause(opened):
    ledger = opened()
    for _ in range(FIRST):
        assert not ledger.failed(ledger.ask().number, "KeyError: 'x' (net.py:7 in forward)", retry=False)
    for found in (ledger, opened()):
        with pytest.raises(SearchFailed, match=r"all of the first 3 trials failed: KeyError: 'x' \(net.py:7") as caught:
            found.ask()
        assert "\n" not in str(caught.value) and "ledger.jsonl' to try the same again" in str(caught.value)


def test_one_good_result_and_the_search_goes_on(opened):
    ledger = opened(trials=6)
    ledger.finished(ledger.ask().number, {"accuracy": 0.5})
    while (trial := ledger.ask()) is not None:
        ledger.failed(trial.number, "diverged", retry=False)
    assert ledger.done and [record.status for record in ledger.records] == ["finished"] + 5 * ["failed"]
    ledger.check()


def test_a_single_trial_that_fails_is_no_result(opened):
    ledger = opened(trials=1)
    ledger.failed(ledger.ask().number, "boom", retry=False)
    with pytest.raises(SearchFailed, match="the first trial failed: boom"):
        ledger.check()


def test_a_result_that_is_no_number_is_a_failure(opened):
    ledger = opened()
    ledger.finished(ledger.ask().number, {"accuracy": math.nan})
    assert ledger.records[0].status == "failed" and "accuracy nan" in ledger.records[0].reason


def test_results_from_elsewhere(opened, space):
    ledger, other = opened(trials=3), make_strategy("random", space, seed=9).ask()
    assert ledger.imported(other, {"accuracy": 0.9}) and not ledger.imported(other, {"accuracy": 0.1})
    trial = ledger.ask()
    assert ledger.imported(trial.plan, {"accuracy": 0.2}) and not ledger.running
    before = state(ledger)
    assert state(opened(trials=3)) == before
    assert [(one.number, one.status) for one in ledger.records] == [(None, "imported"), (0, "finished")]
    assert ledger.strategy.best == other


def test_another_strategy_takes_over_what_lies_in_its_space(opened, space, task):
    """The space is narrowed while the search runs: results outside it stay recorded; the strategy does not see them."""
    narrow = BudgetedSpace(SearchSpace(task.shape, SpaceSettings(max_k=8)), Budget(BUDGET))

    def rebuild(note):
        assert note == {"max_k": 8}
        return make_strategy("evolution", narrow, seed=4)

    ledger = opened(trials=None, rebuild=rebuild)
    running = ledger.ask()
    for _ in range(8):
        trial = ledger.ask()
        ledger.finished(trial.number, {"accuracy": accuracy(trial.plan)})
    ledger.replace(rebuild({"max_k": 8}), {"max_k": 8})
    ledger.finished(running.number, {"accuracy": 0.1})
    new = ledger.ask()
    assert ledger.strategy.contains(new.plan) and new.plan not in ledger.plans[:-1]
    assert len(ledger.records) == 9
    assert len(ledger.strategy.results) == sum(ledger.strategy.contains(one.plan) for one in ledger.records)
    before = state(ledger)
    assert state(opened(trials=None, rebuild=rebuild)) == before


def test_what_a_strategy_prepares_is_prepared_once(opened):
    calls = []
    ledger = opened(prepare=calls.append)
    assert not calls
    ledger.ask()
    ledger.ask()
    opened(prepare=calls.append).ask()
    assert len(calls) == 1


def test_two_processes_at_once_are_refused(opened, monkeypatch):
    monkeypatch.setattr("bankwise.strategies.ledger._WAIT", 0.1)
    ledger = opened()
    with pytest.raises(BankwiseError, match="another process works on"):
        Ledger(ledger.path, ledger.strategy)


def test_a_damaged_or_foreign_journal_is_one_line(opened, path, space, task):
    opened(trials=2).ask()
    good = path.read_bytes()
    for data, message in (
        (good.replace(b'"plan"', b'"p', 1), "damaged: line 2 is not JSON"),
        (b"{}\n", "version None is not known"),
        (good.replace(b'"has_uint32": 0', b'"has_uint32": 99999999999999999999'), "not a journal of trials"),
        (good + b'{"event": "flies"}\n', "event 'flies' is not known"),
        (good + b'{"event": "finished", "number": 7, "metrics": {"accuracy": 1}}\n', "not a journal of trials"),
    ):
        path.write_bytes(data)
        with pytest.raises(BankwiseError, match=message) as caught:
            opened()
        assert "\n" not in str(caught.value) and "delete it to start the search again" in str(caught.value)
        assert path.read_bytes() == data
    path.write_bytes(good)
    state = json.loads(good.splitlines()[0])["state"]
    other = make_strategy(state["strategy"], BudgetedSpace(SearchSpace(task.shape), Budget(BUDGET + 1)), seed=3)
    with pytest.raises(BankwiseError, match=r"another search space or budget \(budget, capacity differ\)"):
        Ledger(path, other)


def test_a_full_disk_loses_nothing(opened, path, monkeypatch):
    ledger = opened()
    trial = ledger.ask()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(BankwiseError, match="No space left"):
            ledger.finished(trial.number, {"accuracy": 0.5})
    assert ledger.running == [0] and not ledger.records
    ledger.finished(trial.number, {"accuracy": 0.5})
    assert opened().records == ledger.records
