"""The searcher through Ray's own wrappers (SearchGenerator, ConcurrencyLimiter), as `tune.Tuner` calls them."""

from __future__ import annotations

import json
import math
import pickle
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ray")
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies import make_strategy, strategy_names
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.ray.configs import importance_space
from bankwise.strategies.engines.ray.searcher import BudgetSearcher
from bankwise.strategies.journal import FAILED
from bankwise.strategies.ledger import RETRIES
from bankwise.strategies.trials import SearchFailed


def result_of(plan) -> dict:
    """A made-up accuracy that depends on the plan alone, as the last report of a trial."""
    return {"accuracy": zlib.crc32(plan.to_yaml().encode()) / 2**32, "epoch": 4, "last_epoch": 4}


@pytest.fixture(scope="module", params=sorted(strategy_names()))
def prepared(request, task, prepared_states) -> tuple[str, dict]:
    """A strategy's name and its state after `prepare` (the supernet of one is trained once)."""
    return request.param, prepared_states(request.param)


@pytest.fixture(scope="module")
def prepared_states(task, tight):
    states: dict[str, dict] = {}

    def state(name: str) -> dict:
        if name not in states:
            strategy = make_strategy(name, tight, seed=3)
            strategy.prepare(task)
            states[name] = strategy.state_dict()
        return json.loads(json.dumps(states[name]))

    return state


def fresh(prepared, tight):
    name, state = prepared
    strategy = make_strategy(name, tight, seed=99)
    strategy.load_state_dict(json.loads(json.dumps(state)))
    return strategy


class Tune:
    """What Ray does with a searcher: suggestions with identifiers of its own, results and ends by keyword."""

    def __init__(self, searcher: BudgetSearcher, at_once: int | None = None):
        self.space = searcher.strategy.space
        self.generator = SearchGenerator(searcher if at_once is None else ConcurrencyLimiter(searcher, at_once))
        self.asked, self.running, self.finished = 0, {}, False

    def suggest(self) -> str | None:
        """The next trial; None where there is none now. Identifiers count up."""
        trial_id = f"{self.asked:08x}"
        config = self.generator.searcher.suggest(trial_id)
        if config == Searcher.FINISHED:
            self.finished = True
        if config in (None, Searcher.FINISHED):
            return None
        self.asked += 1
        self.running[trial_id] = PlanEncoding(self.space).plan(config)
        return trial_id

    def end(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        plan = self.running.pop(trial_id)
        result = result_of(plan) if result is None and not error else result
        if not error:
            self.generator.on_trial_result(trial_id, result)
        self.generator.on_trial_complete(trial_id, result=result, error=error)

    def run(self, at_once: int = 1) -> list:
        """To the end, the oldest trial ending first; the plans in their order."""
        plans = []
        while True:
            while len(self.running) < at_once and (trial_id := self.suggest()) is not None:
                plans.append(self.running[trial_id])
            if not self.running:
                return plans
            self.end(next(iter(self.running)))


def directly(strategy, trials: int) -> list:
    plans = []
    while len(plans) < trials and (plan := strategy.ask()) is not None:
        plans.append(plan)
        strategy.tell(plan, result_of(plan))
    return plans


def test_one_trial_at_a_time_is_ask_and_tell(prepared, tight):
    strategy = fresh(prepared, tight)
    ray = Tune(BudgetSearcher(strategy, trials=12))
    expected = fresh(prepared, tight)
    assert ray.run() == directly(expected, 12)
    assert ray.finished
    assert strategy.state_dict() == expected.state_dict()


def test_saved_and_restored_in_the_middle_it_goes_on_as_undisturbed(prepared, tight, tmp_path):
    """With trials under way, one that failed and waits, one that reported: all of it outlives the process."""

    def first_half(ray: Tune) -> None:
        for _ in range(3):
            ray.suggest()
        ids = list(ray.running)
        for trial_id in ids[:1]:
            ray.end(trial_id)
        for trial_id in ids[1:2]:
            ray.end(trial_id, error=True)
        for trial_id in ids[2:]:
            ray.generator.on_trial_result(trial_id, result_of(ray.running[trial_id]) | {"epoch": 1})

    undisturbed = Tune(BudgetSearcher(fresh(prepared, tight), trials=10), at_once=3)
    first_half(undisturbed)
    broken = Tune(BudgetSearcher(fresh(prepared, tight), trials=10), at_once=3)
    first_half(broken)
    broken.generator.save_to_dir(str(tmp_path), "2026-01-01_00-00-00")

    restored = Tune(BudgetSearcher(make_strategy(prepared[0], tight, seed=1), trials=10), at_once=3)
    restored.generator.restore_from_dir(str(tmp_path))
    restored.running, restored.asked = dict(broken.running), broken.asked
    left = undisturbed.run(at_once=3)
    assert restored.run(at_once=3) == left
    searchers = [ray.generator.searcher.searcher for ray in (restored, undisturbed)]
    assert searchers[0].get_state() == searchers[1].get_state()
    assert searchers[0].strategy.state_dict() == searchers[1].strategy.state_dict()
    assert len(searchers[0].strategy.results) == len(searchers[0].ledger.plans)


def test_the_pickled_searcher_is_the_searcher(prepared, tight):
    """`tune.Tuner` pickles it with the experiment."""
    ray = Tune(BudgetSearcher(fresh(prepared, tight), trials=8))
    ray.end(ray.suggest())
    copied = Tune(pickle.loads(pickle.dumps(ray.generator.searcher)))
    copied.asked = ray.asked
    assert copied.run() == ray.run()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_events_with_restores_between(tight, tmp_path, data):
    """Suggest, end, fail, stop early, end twice, save and restore in any order: nothing is lost or counted twice."""
    searcher = BudgetSearcher(make_strategy("evolution", tight, seed=5), trials=6)
    ray = Tune(searcher, at_once=3)
    ended: list[str] = []
    ray.end(ray.suggest())  # where every trial fails, the search ends by itself
    for event in data.draw(st.lists(st.sampled_from("ssssefffrx2"), max_size=40)):
        if event == "s":
            before = len(ray.running)
            trial_id = ray.suggest()
            assert trial_id is None or before < 3
        elif event == "r":
            ray.generator.save_to_dir(str(tmp_path), "session")
            restored = Tune(BudgetSearcher(make_strategy("evolution", tight, seed=0), trials=6), at_once=3)
            restored.generator.restore_from_dir(str(tmp_path))
            restored.running, restored.asked, ray = ray.running, ray.asked, restored
        elif event == "2" and ended:
            ray.generator.on_trial_complete(data.draw(st.sampled_from(ended)), result={"accuracy": 0.5})
        elif ray.running and event in "efx":
            trial_id = data.draw(st.sampled_from(sorted(ray.running)))
            ended.append(trial_id)
            stopped = result_of(ray.running[trial_id]) | {"epoch": 2}
            ray.end(trial_id, result=stopped if event == "x" else None, error=event == "f")
    ray.run(at_once=3)
    ledger = ray.generator.searcher.searcher.ledger
    assert ray.finished and len(ledger.plans) == len(ledger.records) == 6
    results = [indices for indices, _ in ledger.strategy.results]
    failed = [record for record in ledger.records if record.status == FAILED]
    assert len(results) == len(set(results)) == 6 - len(failed)
    assert all(record.failures == RETRIES + 1 for record in failed)


def test_a_failed_plan_is_proposed_again_twice_and_then_given_up(tight):
    strategy = make_strategy("evolution", tight)
    ray = Tune(BudgetSearcher(strategy, trials=2))
    plan = ray.running[ray.suggest()]
    for _ in range(2):
        ray.end(next(iter(ray.running)), error=True)
        assert ray.running[ray.suggest()] == plan
    ray.end(next(iter(ray.running)), error=True)
    other = ray.running[ray.suggest()]
    assert other != plan
    ray.end(next(iter(ray.running)))
    assert ray.suggest() is None and ray.finished
    assert strategy.failed == [tuple(int(i) for i in strategy.space.indices(plan))]
    assert [strategy.space.plan(indices) for indices, _ in strategy.results] == [other]


@pytest.mark.parametrize(
    ("result", "again", "reason"),
    [
        ({"accuracy": math.nan}, False, "accuracy nan is not a finite number"),
        ({"accuracy": None}, True, "it reported no accuracy"),
        ({"loss": 1.0}, True, "it reported no accuracy"),
        ({}, True, "it reported no accuracy"),
        ({"accuracy": 0.5, "status": "crashed", "reason": "KeyError: 'x'"}, True, "KeyError: 'x'"),
        ({"accuracy": 0.5, "status": "diverged", "reason": "the loss is nan"}, False, "the loss is nan"),
    ],
)
def test_a_trial_without_a_result_has_failed(tight, result, again, reason):
    strategy = make_strategy("random", tight)
    searcher = BudgetSearcher(strategy, trials=1)
    config = searcher.suggest("a")
    searcher.on_trial_complete("a", result=result)
    assert not strategy.results
    if again:
        assert searcher.suggest("b") == config
    else:
        with pytest.raises(SearchFailed, match=reason):
            searcher.suggest("b")
    assert reason in searcher.ledger.path.read_text()


def test_a_trial_ended_early_counts_with_its_latest_accuracy_and_is_flagged(tight):
    strategy, results = make_strategy("evolution", tight), []
    strategy.tell = lambda plan, metrics: results.append(metrics)
    searcher = BudgetSearcher(strategy)
    for trial_id in "abc":
        searcher.suggest(trial_id)
    searcher.on_trial_result("a", {"accuracy": 0.25, "epoch": 2, "last_epoch": 8})
    searcher.on_trial_complete(trial_id="a", result=None)  # as Ray ends a paused trial
    searcher.on_trial_complete(trial_id="b", result={"accuracy": 0.5, "epoch": 4, "last_epoch": 8})
    searcher.on_trial_complete(trial_id="c", result={"accuracy": 0.75, "epoch": 8, "last_epoch": 8})
    assert results == [{"accuracy": 0.25, "stopped": 2}, {"accuracy": 0.5, "stopped": 4}, {"accuracy": 0.75}]


def test_it_waits_for_the_last_trials_before_it_ends(tight):
    searcher = BudgetSearcher(make_strategy("rate", tight))  # which has one plan alone
    assert isinstance(searcher.suggest("a"), dict)
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", error=True)
    assert isinstance(searcher.suggest("b"), dict)
    searcher.on_trial_complete("b", result={"accuracy": 0.1})
    assert searcher.suggest("c") == Searcher.FINISHED


def test_points_evaluated_elsewhere_are_imported_once(tight):
    strategy = make_strategy("tpe", tight)
    searcher = BudgetSearcher(strategy)
    config = searcher.suggest("a")
    searcher.add_evaluated_point(config, 0.5)
    searcher.add_evaluated_point(config, 0.6)
    searcher.add_evaluated_point(dict.fromkeys(tight.space.names, 1.5), 0.7, error=True)
    searcher.on_trial_complete("a", result={"accuracy": 0.8})
    assert [accuracy for _, accuracy in strategy.results] == [0.5]
    assert searcher.suggest("b") != config


def test_the_space_is_the_strategys_and_larger_is_better(tight):
    searcher = BudgetSearcher(make_strategy("random", tight))
    assert not searcher.set_search_properties("accuracy", "max", importance_space(tight))
    with pytest.raises(BankwiseError, match="mode 'min'"):
        searcher.set_search_properties("loss", "min", {})
    with pytest.raises(BankwiseError, match="mode 'min'"):
        BudgetSearcher(make_strategy("random", tight), mode="min")


def test_a_journal_is_gone_on_with(tight, tmp_path):
    """Trials that were running when the process died are the next ones; no state of Ray's is needed."""
    journal = tmp_path / "ledger.jsonl"
    searcher = BudgetSearcher(make_strategy("evolution", tight, seed=2), trials=5, journal=journal)
    configs = [searcher.suggest(trial_id) for trial_id in "abc"]
    searcher.on_trial_complete("b", result={"accuracy": 0.5})
    searcher.ledger.close()
    again = BudgetSearcher(make_strategy("evolution", tight, seed=9), trials=5, journal=journal)
    assert [again.suggest("d"), again.suggest("e")] == [configs[0], configs[2]]
    assert again.strategy.results == searcher.strategy.results


def test_a_metric_of_another_name(tight):
    strategy = make_strategy("random", tight)
    searcher = BudgetSearcher(strategy, metric="top1")
    searcher.suggest("a")
    searcher.on_trial_complete("a", result={"top1": 0.4})
    assert strategy.results[0][1] == 0.4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"strategy": {}}', '{"running": 3}'])
def test_a_damaged_state_is_one_clear_line(tight, tmp_path, content):
    path = Path(tmp_path / "searcher-state-x.pkl")
    path.write_text(content)
    with pytest.raises(BankwiseError, match="searcher-state-x.pkl"):
        BudgetSearcher(make_strategy("random", tight)).restore(str(path))


def test_the_state_of_another_strategy_is_refused(tight, tmp_path):
    BudgetSearcher(make_strategy("random", tight)).save(str(tmp_path / "state"))
    with pytest.raises(BankwiseError, match="is of strategy 'random'"):
        BudgetSearcher(make_strategy("tpe", tight)).restore(str(tmp_path / "state"))


def test_configs_are_small_and_plain(tight):
    config = BudgetSearcher(make_strategy("random", tight)).suggest("a")
    assert config == PlanEncoding(tight).plan(config).codes
    assert len(json.dumps(config)) < 200
