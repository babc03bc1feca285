"""The trainings of the study; each function is a job whose result is plain JSON."""

from __future__ import annotations

import numpy as np

from bankwise.strategies import make_strategy
from results.inherit.descent import Trained, shared, try_plan
from results.inherit.fields import SEARCH_SEED, TRIAL_SEED, field

TRIALS = 32  # of a search


def fresh(name: str, root: str, cache: str, seed: int, epochs: int) -> dict:
    """Accuracies (n,), None for the parents of `seed`; each started from the float network."""
    of = field(name, root, cache)
    numbers, recipe = of.parents(seed), of.recipe(epochs, TRIAL_SEED + seed)
    return {
        "accuracies": [
            None if number in numbers else try_plan(of.task, of.space, plan, recipe, None, "teacher")[1]
            for number, plan in enumerate(of.plans)
        ]
    }


def inherited(name: str, root: str, cache: str, seed: int, fit: str, epochs: int) -> dict:
    """Accuracies (n,), None for the parents; each started from the nearest of these, which are trained in full."""
    of = field(name, root, cache)
    numbers, recipe = of.parents(seed), of.recipe(epochs, TRIAL_SEED + seed)
    parents = {number: of.trained(number, TRIAL_SEED + seed) for number in numbers}
    accuracies: list[float | None] = []
    taken: list[int | None] = []
    for number, plan in enumerate(of.plans):
        parent = None if number in parents else of.nearness.nearest(plan, list(parents.values()))
        found = None if parent is None else try_plan(of.task, of.space, plan, recipe, parent, fit)[1]
        accuracies.append(found)
        taken.append(None if parent is None else shared(plan, parent.indices))
    return {"accuracies": accuracies, "shared": taken}


def chain(name: str, root: str, cache: str, seed: int, fit: str, epochs: int) -> dict:
    """Accuracies (n,) of all plans, tried one after another in an order drawn by the seed, each started from the
    nearest that was tried before it, whatever that had started from; and the generation of each."""
    of = field(name, root, cache)
    recipe = of.recipe(epochs, TRIAL_SEED + seed)
    tried: list[Trained] = []
    accuracies, generations, taken = [0.0] * len(of.plans), [0] * len(of.plans), [0] * len(of.plans)
    for number in np.random.default_rng((6, seed)).permutation(len(of.plans)).tolist():
        plan = of.plans[number]
        parent = of.nearness.nearest(plan, tried)
        trained, accuracies[number] = try_plan(of.task, of.space, plan, recipe, parent, fit)
        generations[number] = trained.generation
        taken[number] = 0 if parent is None else shared(plan, parent.indices)
        tried.append(trained)
    return {"accuracies": accuracies, "shared": taken, "generations": generations}


def search(name: str, root: str, cache: str, seed: int, epochs: int, inherits: bool) -> dict:
    """A search by evolution; with `inherits` each trial starts from the nearest before it."""
    of = field(name, root, cache)
    strategy, recipe, tried = (
        make_strategy("evolution", of.space, seed),
        of.recipe(epochs, SEARCH_SEED + seed),
        list[Trained](),
    )
    accuracies: list[float] = []
    taken: list[int | None] = []
    for _ in range(TRIALS):
        plan = strategy.ask()
        assert plan is not None
        indices = tuple(map(int, of.space.indices(plan)))
        parent = of.nearness.nearest(indices, tried) if inherits else None
        trained, accuracy = try_plan(of.task, of.space, indices, recipe, parent, "teacher")
        strategy.tell(plan, {"accuracy": accuracy})
        tried.append(trained)
        accuracies.append(accuracy)
        taken.append(None if parent is None else shared(indices, parent.indices))
    return {
        "plans": [list(one.indices) for one in tried], "accuracies": accuracies, "shared": taken,
        "generations": [one.generation for one in tried],
    }  # fmt: skip


def in_full(name: str, root: str, cache: str, plan: list[int], seed: int) -> dict:
    """The accuracy after a full training from the float network."""
    of = field(name, root, cache)
    recipe = of.recipe(of.setting.recipe.epochs, seed)
    return {"accuracy": try_plan(of.task, of.space, plan, recipe, None, "teacher")[1]}
