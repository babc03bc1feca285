"""NNI's DARTS over the shared-bank supernet of a small network on the digits, to a plan within 900 bytes.

    python examples/nni/nas_one_shot.py

It takes about half a minute.
"""

from bankwise.strategies.engines.nni.nas import BankSpace, PriceProfiler, train_one_shot  # isort: skip - before nni.nas
from nni.nas.strategy import DARTS

from bankwise.search_space.budget import Budget
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from bankwise.trainers.trial import run_trial

task = make_task("tiny", load_data("digits"), Recipe(epochs=10))
budgeted = BudgetedSpace(SearchSpace(task.shape), Budget(900))

# An NNI model space: every layer a choice among its 12 most efficient settings. Any one-shot strategy of NNI takes it;
# `search_one_shot("darts", task, budgeted)`, beside BankSpace, does all of the following up to the plan.
space = BankSpace.of(task, budgeted, most=12)
penalty = {"profiler": PriceProfiler(space), "baseline": 900, "nonlinear": "positive"}
strategy = DARTS(arc_learning_rate=3e-3, penalty=penalty)
train_one_shot(space, strategy, task, task.recipe, held_out=1 / 3)

(exported,) = strategy.list_models()  # the most probable architecture within the budget, whatever the penalty left
plan = space.plan(exported.sample)
print(plan.to_yaml())
result = run_trial(task, plan, task.recipe)
assert result.file_bytes == price(task.shape, plan).file_bytes <= 900
print(f"{result.file_bytes} bytes, validation accuracy {100 * result.accuracy:.1f} %")
