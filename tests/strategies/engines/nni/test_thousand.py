"""A thousand proposals of every tuner that can give so many: not one plan over the budget is trained."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nni.tools.package_utils import create_builtin_class_instance

from bankwise.search_space.price import price
from bankwise.strategies import strategy_names
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.config import Launch, configuration
from bankwise.strategies.engines.nni.search_space import search_space
from bankwise.strategies.engines.nni.tuner import BudgetTuner

pytestmark = pytest.mark.slow
MANY = 1000
LIMITED = {"rate": 1, "sensitivity": 1, "gradient": 1, "uniform": 5}  # proposals at least, of those that end
COSTLY = {"tpe": 200}  # Optuna's cost of a proposal grows with the results


@pytest.mark.parametrize("name", sorted(strategy_names()))
def test_budget_tuner(small, tmp_path, name):
    small.write(tmp_path)
    tuner = BudgetTuner(str(tmp_path), name, 2)
    points = PlanEncoding(small.budgeted)
    tuner.update_search_space(json.loads(json.dumps(search_space(points, "choice"))))
    rng, found = np.random.default_rng(0), []
    many = COSTLY.get(name, MANY)
    while len(found) < many:
        given = tuner.generate_multiple_parameters(list(range(len(found), len(found) + 2)), st_callback=None)
        for parameters in given:
            plan = small.budgeted.plan(points.decode(parameters))
            assert [choice.code() for choice in plan.layers.values()] == list(parameters.values())  # as it stands
            assert price(small.shape, plan).file_bytes <= 1000
            tuner.receive_trial_result(len(found), parameters, {"default": float(rng.random())})
            tuner.trial_end(len(found), True)
            found.append(tuple(parameters.values()))
        if len(given) < 2:
            break
    assert len(set(found)) == len(found) >= LIMITED.get(name, many)


@pytest.mark.parametrize("name", ["TPE", "Random", "Evolution", "GP"])
def test_a_tuner_of_nni_over_importances(tiny, home, tmp_path, name):
    experiment = tiny(encoding="importance")
    points = PlanEncoding(experiment.budgeted)
    space = search_space(points, "importance")
    arguments = configuration(tmp_path, experiment, Launch(tuner=name), space)["tuner"]["classArgs"]
    tuner = create_builtin_class_instance(name, dict(arguments), "tuners")
    tuner.update_search_space(space)
    rng = np.random.default_rng(1)
    for number in range(MANY):
        (point,) = tuner.generate_multiple_parameters([number], st_callback=None)
        plan = experiment.budgeted.plan(points.decode(json.loads(json.dumps(point))))
        assert price(experiment.shape, plan).file_bytes <= 1000
        if name != "GP" or number < 9 or number > MANY - 4:  # GP's cost is the cube of the results; it begins at ten
            tuner.receive_trial_result(number, point, {"default": float(rng.random()), "plan": "x", "file_bytes": 1})
        tuner.trial_end(number, True)
