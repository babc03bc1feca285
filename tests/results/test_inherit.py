"""The study of trials that inherit: what a child takes over, from which parent, and what the tables make of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from bankwise.search_space.layer import build_child
from results.bench.setting import SETTINGS
from results.inherit import study, tables, work
from results.inherit.descent import FITS, Nearness, Trained, shared, start
from results.inherit.fields import TABLES, Field
from results.inherit.tables import FROM_FLOAT, Trials, worth

NAME = "digits-500"
SPACE = SETTINGS[NAME].space


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Field:
    """Six plans, of which two are parents; trainings of one epoch on few images."""
    of = Field(NAME, "", tmp_path_factory.mktemp("inherit"))
    recipe = dataclasses.replace(of.setting.recipe, epochs=1)
    of.setting = dataclasses.replace(of.setting, images=200, teacher_epochs=1, recipe=recipe)
    of.plans = of.plans[:6]
    of.parents = lambda seed: [1, 4]
    return of


def changed_in(layer: int, plan: tuple[int, ...]) -> tuple[int, ...]:
    """The plan with another choice there; whether it fits does not matter here."""
    return tuple((index + (i == layer)) % SPACE.sizes[i] for i, index in enumerate(plan))


@pytest.mark.parametrize("fit", FITS)
def test_a_child_keeps_what_is_unchanged_and_fits_what_is_changed(small, fit):
    task, plan = small.task, small.plans[0]
    parent = Trained(plan, SPACE.plan(plan), start(task, SPACE.plan(plan), 3, None, fit))
    with torch.no_grad():
        for value in parent.network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand(value.shape))
    other = SPACE.plan(changed_in(1, plan))
    child = start(task, other, 5, parent, fit)
    changed = SPACE.space.names[1]
    before, after = parent.network.state_dict(), child.state_dict()
    kept = [name for name in after if not name.startswith(f"{changed}.")]
    assert kept and all(torch.equal(after[name], before[name]) for name in kept)
    fitted = build_child(task.network, task.shape, other, 5, task.teacher)
    if fit == "parent":
        fitted.get_submodule(changed).start_from(parent.network.get_submodule(changed).generated(), None)
    assert torch.equal(child.get_submodule(changed).generated(), fitted.get_submodule(changed).generated())


def test_without_a_parent_a_child_starts_from_the_float_network(small):
    plan = SPACE.plan(small.plans[0])
    child = start(small.task, plan, 3, None, "teacher").state_dict()
    fresh = build_child(small.task.network, small.task.shape, plan, 3, small.task.teacher).state_dict()
    assert all(torch.equal(child[name], fresh[name]) for name in fresh)


def test_the_nearest_shares_most_layers_then_moves_least(small):
    nearness, rng = Nearness(SPACE), np.random.default_rng(0)
    plans = [tuple(int(i) for i in SPACE.sample(rng)) for _ in range(40)]
    among = [Trained(plan, None, None) for plan in [*plans[:20], *plans[:20]]]
    for plan in plans:
        found = nearness.nearest(plan, among)
        most = max(shared(plan, one.indices) for one in among)
        best = [one for one in among if shared(plan, one.indices) == most]
        moves = [sum(abs(r[i] - r[j]) for r, i, j in zip(nearness.scores, plan, one.indices, strict=True))
                 for one in best]  # fmt: skip
        assert found is best[int(np.argmin(moves))], "and of equals the earliest"
    assert nearness.nearest(plans[0], []) is None


def test_trials_of_parents_are_none_and_those_of_others_are_repeated_alike(small, monkeypatch):
    monkeypatch.setattr(work, "field", lambda *arguments: small)
    arguments = (NAME, "", "", 0, "teacher", 1)
    found = work.inherited(*arguments)
    assert [i for i, one in enumerate(found["accuracies"]) if one is None] == [1, 4]
    parents = [small.plans[i] for i in (1, 4)]
    most = [max(shared(plan, parent) for parent in parents) for plan in small.plans]
    assert [one for one in found["shared"] if one is not None] == [most[i] for i in (0, 2, 3, 5)]
    assert work.inherited(*arguments) == found, "the parents come from the cache"


def test_a_chain_counts_generations_and_begins_at_the_float_network(small, monkeypatch):
    monkeypatch.setattr(work, "field", lambda *arguments: small)
    found = work.chain(NAME, "", "", 0, "teacher", 1)
    order = np.random.default_rng((6, 0)).permutation(6).tolist()
    nearness = Nearness(SPACE)
    for at, number in enumerate(order):
        before = [Trained(small.plans[i], None, None, found["generations"][i]) for i in order[:at]]
        parent = nearness.nearest(small.plans[number], before)
        assert found["generations"][number] == (0 if parent is None else 1 + parent.generation)
    monkeypatch.setattr(small, "parents", lambda seed: [i for i in range(6) if i != order[0]])
    fresh = work.fresh(NAME, "", "", 0, 1)["accuracies"]
    assert [one is None for one in fresh] == [i != order[0] for i in range(6)]
    assert found["accuracies"][order[0]] == fresh[order[0]]


def test_a_search_that_inherits_begins_as_one_that_does_not(small, monkeypatch):
    monkeypatch.setattr(work, "field", lambda *arguments: small)
    monkeypatch.setattr(work, "TRIALS", 3)
    fresh, inherits = (work.search(NAME, "", "", 0, 1, which) for which in (False, True))
    assert fresh["plans"][0] == inherits["plans"][0] and fresh["accuracies"][0] == inherits["accuracies"][0]
    assert fresh["generations"] == [0, 0, 0] and inherits["generations"][:2] == [0, 1]


def test_statistics_find_what_was_put_in():
    rng = np.random.default_rng(0)
    truth, layers = rng.random(30), rng.integers(0, 5, (2, 30)).astype(float)
    fresh = {epochs: np.stack([truth, truth]) - 0.1 for epochs in (1, 2, 4, 8)}
    late = {epochs: fresh[epochs] + 0.01 + 0.02 * layers for epochs in (1, 2, 4)}
    for rows in late.values():
        rows[0, :10] = np.nan
    trials = Trials(truth, {FROM_FLOAT: fresh, "inherit": late}, {"inherit": dict.fromkeys(late, layers)})
    every = np.arange(30)
    assert trials.compared.sum() == 50 and trials.tau(FROM_FLOAT, 1, every) == 1
    assert trials.slope("inherit", 2, every) == pytest.approx(2)
    assert trials.gain("inherit", 2, every) == pytest.approx(1 + 2 * layers[trials.compared].mean())
    mean = np.mean([kendalltau(late[1][0, 10:], truth[10:]).statistic, kendalltau(late[1][1], truth).statistic])
    assert trials.less("inherit", 1, every) == pytest.approx(mean - 1)
    interval = trials.interval(trials.tau, "inherit", 1)
    assert interval.value == pytest.approx(mean) and interval.low < mean < interval.high


def test_the_worth_of_an_epoch_is_read_off_the_curve_from_the_float_network():
    fresh = {1: 0.2, 2: 0.4, 4: 0.6, 8: 0.7}
    assert all(float(worth(tau, fresh)) == epochs for epochs, tau in fresh.items())
    assert worth(0.5, fresh) == "2.8" and worth(0.1, fresh) == "< 1" and worth(0.8, fresh) == "> 8"


def test_the_tables_hold_a_row_for_every_way(monkeypatch, tmp_path):
    """From results that were made up, by the names that the study's jobs have."""
    monkeypatch.setattr(tables, "bootstrapped", lambda statistic, count: tables.Tau(statistic(np.arange(count)), 0, 0))
    rng, found = np.random.default_rng(0), {}
    for make, name, arguments in study.trial_jobs("", str(tmp_path)):
        count, parents = TABLES[arguments[0]]
        rows, numbers = rng.random(count).tolist(), rng.integers(0, 5, count).tolist()
        if make is not work.chain:
            rows[:parents] = [None] * parents
        found[name] = {"accuracies": rows, "shared": numbers, "generations": numbers}
    fields = study.ordered(found, "", str(tmp_path))
    ways = sum(1 + len(study.WAYS[name]) for name in study.SEEDS)
    assert len(tables.taus(fields).splitlines()) == 2 + ways
    short = len(study.EPOCHS) * (ways - len(study.SEEDS))
    assert len(tables.values(fields).splitlines()) == len(tables.gains(fields).splitlines()) == 2 + short
    trials, plans = {}, [list(plan) for plan in Field(NAME, "", tmp_path).plans[:8]]
    for _, name, arguments in study.search_jobs("", str(tmp_path)):
        of = {"plans": plans, "accuracies": list(np.arange(8) / 10), "generations": list(range(8))}
        trials[name] = of | {"shared": [None, *range(7)] if arguments[-1] else [None] * 8}
    jobs = study.truth_jobs(trials, "", str(tmp_path))
    assert len(jobs) == 8, "a plan that several searches met is trained once"
    truths = {name: {"accuracy": i / 20} for i, (_, name, _) in enumerate(jobs)}
    rows = tables.searches(study.searched(trials, truths)).splitlines()
    assert rows[2:4] == [
        "| 2 | 3 | from float | 1.00 ± 0.00 | 27.5 ± 0.0 | - | - |",
        "| 2 | 3 | inherit, teacher | 1.00 ± 0.00 | 27.5 ± 0.0 | 3.0 ± 0.0 | +5.00 ± 0.00 |",
    ]
