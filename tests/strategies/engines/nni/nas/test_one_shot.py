"""NNI's one-shot strategies train the supernet on real data, and end within the budget."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys

import pytest
import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.experiment import NasExperiment
from nni.nas.space import RawFormatModelSpace
from nni.nas.strategy import DARTS, GumbelDARTS, RandomOneShot
from torch.utils.data import TensorDataset

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.limits import Limits
from bankwise.search_space.price import price
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas import (
    BankSpace,
    OneShotSettings,
    PriceProfiler,
    best_of,
    most_probable,
    search_one_shot,
)
from bankwise.strategies.engines.nni.nas.one_shot import make_one_shot, train_one_shot
from bankwise.strategies.engines.nni.nas.supernet import SharedBankLayer
from bankwise.strategies.engines.nni.nas.training import RecipeModule
from bankwise.trainers.data import to_input
from bankwise.trainers.evaluate import accuracy, measure_on, recalibrate
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.trial import run_trial

SHORT = Recipe(epochs=1, batch=50)
SMALL = OneShotSettings(most=6, plans=4, arc_learning_rate=0.1)
NAMES = ("darts", "gumbel", "random")


def layers_of(space: BankSpace) -> list[SharedBankLayer]:
    return [space.network.get_submodule(name) for name in space.budgeted.space.names]


def weights_of(space: BankSpace) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in space.network.state_dict().items()}


def classification(task) -> Classification:
    """As a user of NNI writes it."""

    def loader(x, y):
        return DataLoader(TensorDataset(to_input(x), y), batch_size=50, shuffle=True)

    data = task.data
    return Classification(
        num_classes=data.classes, learning_rate=4e-3, train_dataloaders=loader(data.train_x, data.train_y),
        val_dataloaders=loader(data.val_x, data.val_y), max_epochs=1, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


@pytest.mark.parametrize("strategy", [DARTS, GumbelDARTS, RandomOneShot])
def test_a_user_of_nni_runs_its_strategies_as_they_are(strategy, task, space):
    """NNI's Classification, with NNI's penalty or filter on the exact price; everything learns, the export fits."""
    bank_space = BankSpace.of(task, space, most=6)
    profiler, budget = PriceProfiler(bank_space), space.budget.bytes
    if strategy is RandomOneShot:
        run = RandomOneShot(filter={"profiler": profiler, "max": budget})
    else:
        run = strategy(arc_learning_rate=0.1, penalty={"profiler": profiler, "baseline": budget})
    run.initialize(RawFormatModelSpace(bank_space, classification(task)), SequentialExecutionEngine())
    before = weights_of(bank_space)
    run.run()
    after = weights_of(bank_space)
    for layer in layers_of(bank_space):
        learned = ("mixed.latent", "mixed.bank") + (() if strategy is RandomOneShot else ("_arch_alpha",))
        for name in learned:
            key = f"{layer.label}.{name}"
            assert (after[key] - before[key]).abs().max() > 1e-3, key
            assert torch.isfinite(after[key]).all()
    (model,) = run.list_models()
    assert price(task.shape, space.plan(PlanEncoding(space).indices(model.sample))).file_bytes <= budget
    child = model.executable_model()
    assert child.bankwise_plan == space.plan(PlanEncoding(space).indices(model.sample))
    assert child.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_logits_receive_gradients(name, task, space):
    bank_space = BankSpace.of(task, space, most=6)
    strategy = make_one_shot(name, bank_space, SMALL)
    train_one_shot(bank_space, strategy, task, SHORT, held_out=0.3, limit_train_batches=1)
    for module in bank_space.modules():
        if isinstance(module, SharedBankLayer) and hasattr(module, "resample"):
            module.resample(strategy.oneshot_module.export())
    bank_space.zero_grad()
    torch.nn.functional.cross_entropy(
        bank_space.train()(to_input(task.data.train_x[:50])), task.data.train_y[:50]
    ).backward()
    for layer in layers_of(bank_space):
        assert layer.mixed.latent.grad.abs().sum() > 0
        for alpha in layer.arch_parameters() if name != "random" else ():
            assert alpha.grad.abs().sum() > 0
    if name != "random":
        assert sum(layer.mixed.bank.grad.abs().sum() > 0 for layer in layers_of(bank_space)) > 3


@pytest.mark.parametrize("name", NAMES)
def test_a_search_ends_in_a_plan_that_a_trial_runs(name, task, space):
    plan = search_one_shot(name, task, space, SHORT, settings=SMALL)
    cost = price(task.shape, plan)
    assert cost.file_bytes <= space.budget.bytes
    assert space.fits(space.indices(plan))  # a plan of the whole space
    state = torch.random.get_rng_state()
    assert search_one_shot(name, task, space, SHORT, settings=SMALL) == plan  # seeded
    assert torch.equal(torch.random.get_rng_state(), state)
    if name == "darts":
        assert run_trial(task, plan, SHORT).file_bytes == cost.file_bytes


@pytest.mark.parametrize("name", NAMES)
def test_awkward_networks_and_one_choice_layers(name, awkward, awkward_space):
    plan = search_one_shot(name, awkward, awkward_space, settings=SMALL)
    assert price(awkward.shape, plan).file_bytes <= awkward_space.budget.bytes
    assert plan.layers["head"].code() == "F32"


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_obeyed(name, task):
    whole = SearchSpace(task.shape)
    free = BudgetedSpace(whole, Budget(600, "paper"))
    most = 2 * sum(int(row.min()) for row in free.operations)
    plan = search_one_shot(name, task, BudgetedSpace(whole, Limits(free.budget, max_ops=most)), SHORT, settings=SMALL)
    cost = price(task.shape, plan)
    totals = cost.totals("merge")
    assert cost.paper_bits <= 8 * 600 and totals.additions + totals.multiplications <= most


def test_in_a_nas_experiment_the_exported_architecture_is_within_the_budget(task, space, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # NNI notes its experiments there
    bank_space = BankSpace.of(task, space, most=6)
    experiment = NasExperiment(bank_space, classification(task), DARTS(arc_learning_rate=0.1))
    try:
        experiment.run()
        (sample,) = experiment.export_top_models(formatter="dict")
        (child,) = experiment.export_top_models(formatter="instance")
    finally:
        experiment.stop()
    assert price(task.shape, space.plan(PlanEncoding(space).indices(sample))).file_bytes <= space.budget.bytes
    assert child.bankwise_plan == space.plan(PlanEncoding(space).indices(sample))


def test_what_nni_exports_is_the_decoding_of_what_it_learned(task, space):
    bank_space = BankSpace.of(task, space, most=6)
    strategy = make_one_shot("darts", bank_space, SMALL)
    train_one_shot(bank_space, strategy, task, SHORT, held_out=0.3)
    module = strategy.oneshot_module
    assert module.export() == most_probable(bank_space.budgeted, module.export_probs())


def test_a_penalty_makes_the_expected_size_smaller(task, space):
    expected = []
    for penalty in (0.0, 30.0):
        torch.manual_seed(0)
        bank_space = BankSpace.of(task, space, most=6)
        strategy = make_one_shot("darts", bank_space, dataclasses.replace(SMALL, penalty=penalty))
        train_one_shot(bank_space, strategy, task, dataclasses.replace(SHORT, epochs=2), held_out=0.3)
        rows = strategy.oneshot_module.export_probs()
        shares = [torch.stack(list(rows[name].values())).detach() for name in bank_space.budgeted.space.names]
        costs = [torch.as_tensor(row).float() for row in bank_space.budgeted.costs]
        expected.append(sum(float(p @ c) for p, c in zip(shares, costs, strict=True)))
    assert expected[1] < 0.9 * expected[0]


def test_the_best_of_sampled_plans_is_the_most_accurate_with_shared_weights(task, space):
    bank_space = BankSpace.of(task, space, most=6)
    train_one_shot(bank_space, make_one_shot("random", bank_space, SMALL), task, SHORT)
    before = weights_of(bank_space)
    found = [best_of(bank_space, task.data, plans=plans, seed=1) for plans in (1, 2, 4, 8, 16)]  # of ever more plans
    assert all(space.fits(PlanEncoding(space).indices(sample)) for sample in found)

    def reached(sample) -> float:
        network = copy.deepcopy(bank_space.network)
        for module in network.modules():
            if isinstance(module, SharedBankLayer):
                module.resample(sample)
        recalibrate(network, task.data.train_x, batches=5)
        return accuracy(network, task.data.val_x, task.data.val_y)

    accuracies = [reached(sample) for sample in found]
    assert accuracies == sorted(accuracies) and accuracies[0] < accuracies[-1]
    after = weights_of(bank_space)
    assert all(torch.equal(after[name], before[name]) for name in before)  # it worked on a copy


def test_the_metric_of_the_recipe_validates_over_the_whole_split(task, monkeypatch):
    """Macro-F1 over all images is not the mean of those over batches."""
    module = RecipeModule(task.data, dataclasses.replace(SHORT, metric="macro-f1"))
    module.set_model(task.network.eval())
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    with torch.no_grad():
        for part in torch.arange(len(task.data.val_y)).split(7):
            module.validation_step((task.data.val_x[part], task.data.val_y[part]), 0)
    module.on_validation_epoch_end()
    assert logged == {"val_acc": pytest.approx(measure_on(task.network, task.data, "macro-f1"))}


def test_wrong_names_and_spaces_are_refused(task, space):
    with pytest.raises(BankwiseError, match="unknown one-shot strategy 'dart': did you mean darts"):
        search_one_shot("dart", task, space, SHORT)
    bank_space = BankSpace.of(task, space, most=4)
    with pytest.raises(BankwiseError, match="RandomOneShot"):
        best_of(bank_space, task.data)
    with pytest.raises(BankwiseError, match="plans=0"):
        best_of(bank_space, task.data, plans=0)


def test_after_this_package_nni_offers_its_one_shot_strategies():
    code = (
        "import bankwise.strategies.engines.nni.nas, nni.nas.strategy as s; assert s.DARTS.__name__ == 'DARTS', s.DARTS"
    )
    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", code], check=True)
