from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ray")
from search_space.errors import BankwiseError
from strategies.gradient import make_supernet
from strategies.job import EngineOptions
from strategies.ray.supernet import evaluate_all, rank_plans
from trainers.recipe import Recipe
from trainers.supernet_training import evaluate_in_supernet, train_supernet

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("two_cpus")]


@pytest.fixture(scope="module")
def trained(quick, tight):
    """A supernet of up to 6 choices a layer after 2 epochs, and which choices they are."""
    supernet, kept = make_supernet(tight, quick, seed=0, most=6)
    train_supernet(supernet, quick, Recipe(epochs=2, threads=1))
    return supernet, kept


def test_spread_over_workers_as_one_after_another(trained, quick, tight):
    supernet, kept = trained
    rng = np.random.default_rng(0)
    rows = np.array([[rng.integers(len(row)) for row in kept] for _ in range(11)])
    serial = [evaluate_in_supernet(supernet, quick.data, row, 40) for row in rows]
    spread = evaluate_all(supernet, quick.data, rows, 40, EngineOptions(workers=2, cpus=0.5))
    assert spread.tolist() == serial
    assert len(set(serial)) > 1
    assert evaluate_all(supernet, quick.data, rows[:1], 40).tolist() == serial[:1]
    assert len(evaluate_all(supernet, quick.data, rows[:0])) == 0

    plans = [tight.plan([int(row[i]) for row, i in zip(kept, chosen, strict=True)]) for chosen in rows]
    ranked = rank_plans(supernet, quick, plans, 40, EngineOptions(workers=2, cpus=0.5))
    order = sorted(range(len(rows)), key=lambda i: -serial[i])
    assert [plan.to_yaml() for plan, _ in ranked] == [plans[i].to_yaml() for i in order]
    assert [accuracy for _, accuracy in ranked] == [serial[i] for i in order]


def test_a_plan_that_the_supernet_does_not_hold_is_one_clear_line(trained, quick, tight):
    supernet, kept = trained
    outside = [next(i for i in range(size) if i not in row) for size, row in zip(tight.sizes, kept, strict=True)]
    with pytest.raises(BankwiseError, match="layer '0.0': .* is not among the supernet's choices"):
        rank_plans(supernet, quick, [tight.plan(outside)])


def test_resources_that_no_node_has_are_said_at_once(trained, quick):
    with pytest.raises(BankwiseError, match="no node of the Ray cluster has more than 2"):
        evaluate_all(trained[0], quick.data, np.zeros((1, 5), int), options=EngineOptions(gpus=5))
