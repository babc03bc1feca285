"""NNI's regularized evolution in a NAS experiment: six trials of a small network on the digits, within 900 bytes each.

    python examples/nni/nas_evolution.py

It takes about a minute; meanwhile the experiment's web page is http://127.0.0.1:8080.
"""

from bankwise.strategies.engines.nni.nas import BankSpace, Projection, experiment_config, trial_evaluator  # isort: skip - before nni.nas
from nni.nas.experiment import NasExperiment
from nni.nas.strategy import RegularizedEvolution
from nni.nas.strategy.middleware import Chain, Deduplication

from bankwise.search_space.budget import Budget
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

source, recipe = TaskSource("tiny", "digits"), Recipe(epochs=5)
task = source.make(recipe)
space = BankSpace.of(task, BudgetedSpace(SearchSpace(task.shape), Budget(900)), most=12)

# Each proposal is projected onto the budget before it is trained, so evolution learns of what fits alone.
evolution = RegularizedEvolution(population_size=3, sample_size=2, mutation_prob=0.3, seed=0)
strategy = Chain(evolution, Projection(space), Deduplication("invalid"))
evaluator = trial_evaluator(source, recipe, records="nas_records")  # and a JSON file a trial
config = experiment_config(space, evaluator, strategy)
config.max_trial_number = 6

if __name__ == "__main__":
    experiment = NasExperiment(space, evaluator, strategy, config)
    try:
        experiment.run(8080)
        for model in experiment.export_top_models(3):
            plan = space.plan(model.sample)
            print(f"{100 * model.metric:.1f} % with {price(task.shape, plan).file_bytes} bytes: {model.sample}")
    finally:
        experiment.stop()
