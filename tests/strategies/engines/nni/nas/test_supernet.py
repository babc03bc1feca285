"""The supernet's layers inside NNI's strategies, against NNI's own layers of separate candidates."""

from __future__ import annotations

import copy

import pytest
import torch
from nni.mutable import frozen_context
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedLayer, GumbelSoftmax
from nni.nas.strategy import DARTS, GumbelDARTS, RandomOneShot
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.inherit import inherit
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.supernet import MixWeights
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas import BankSpace, SharedBankLayer
from bankwise.strategies.engines.nni.nas.supernet import DifferentiableBankLayer, SampledBankLayer
from bankwise.strategies.scores import log_capture

DIFFERENTIABLE = {"darts": DARTS, "gumbel": GumbelDARTS}


def exact(space: BudgetedSpace, sample: dict) -> Plan:
    return space.plan(PlanEncoding(space).indices(sample))


def mutated(strategy, task, space, most=6, **options) -> BankSpace:
    return strategy.mutate_model(BankSpace.of(task, space, most, **options))


def layers_of(bank_space: BankSpace) -> list[SharedBankLayer]:
    return [bank_space.network.get_submodule(name) for name in bank_space.budgeted.space.names]


def set_alphas(bank_space: BankSpace, sample: dict[str, str]) -> None:
    """All probability on the sample, to float32."""
    with torch.no_grad():
        for layer in layers_of(bank_space):
            layer._arch_alpha.zero_()[layer.choice.values.index(sample[layer.label])] = 1e4


@pytest.mark.parametrize("strategy", [DARTS, GumbelDARTS, RandomOneShot])
def test_nni_hooks_the_layers_in(strategy, task, space):
    bank_space = mutated(strategy(), task, space)
    kind = SampledBankLayer if strategy is RandomOneShot else DifferentiableBankLayer
    assert all(type(layer) is kind for layer in layers_of(bank_space))
    assert {label: one.values for label, one in bank_space.simplify().items()} == PlanEncoding(
        bank_space.budgeted
    ).codes
    own_hook = mutated(strategy(mutation_hooks=[SharedBankLayer.mutate]), task, space)  # named by the user as well
    assert all(type(layer) is kind for layer in layers_of(own_hook))


def test_architecture_parameters_are_nnis_and_apart(task, space):
    strategy = DARTS()
    bank_space = mutated(strategy, task, space)
    for layer in layers_of(bank_space):
        assert list(layer.arch_parameters()) == [strategy._arch_parameters[layer.label]]
        assert isinstance(layer._softmax, nn.Softmax)
    gumbel = mutated(GumbelDARTS(), task, space)
    assert all(isinstance(layer._softmax, GumbelSoftmax) for layer in layers_of(gumbel))
    sampled = mutated(RandomOneShot(), task, space)
    assert not any(hasattr(layer, "arch_parameters") for layer in layers_of(sampled))


@pytest.mark.parametrize("strategy", [DARTS, GumbelDARTS])
def test_logits_start_at_the_closed_form_or_at_zero(strategy, task, space):
    started, free = mutated(strategy(), task, space), mutated(strategy(), task, space, closed_form=False)
    for layer, other, row in zip(layers_of(started), layers_of(free), log_capture(started.budgeted), strict=True):
        torch.testing.assert_close(layer._arch_alpha.double(), torch.as_tensor(row), atol=1e-2, rtol=0)  # noise 1e-3
        torch.testing.assert_close(other._arch_alpha, torch.zeros(len(row)), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ["twice", "head", "in/out"])
def test_it_is_nnis_mixture_of_feature_maps_forward_and_backward(name, awkward, awkward_space):
    """NNI's own mixed layer over the children's layers, each with its own weights, against the one convolution."""
    bank_space = mutated(DARTS(), awkward, awkward_space, closed_form=False)
    layer = bank_space.network.get_submodule(name).double()
    with torch.no_grad():
        layer._arch_alpha.normal_()
        if layer.mixed.bias is not None:
            layer.mixed.bias.normal_()
    children = [inherit(layer.mixed, i).double() for i in range(len(layer.choice.values))]
    alpha = nn.Parameter(layer._arch_alpha.detach().clone())
    with frozen_context():
        theirs = DifferentiableMixedLayer(children, alpha, nn.Softmax(-1), label="theirs")
    x = torch.randn(2, 8, dtype=torch.double) if name == "head" else torch.randn(2, 1, 8, 8, dtype=torch.double)
    x = torch.randn(2, 8, 8, 8, dtype=torch.double) if name == "twice" else x
    mine, other = layer(x), theirs(x)
    if layer.mixed.shape.normalized:  # there children have no scale, the norm after them makes up for it
        maps = [scale(layer, i) * child(x) for i, child in enumerate(children)]
        other = sum(share * one for share, one in zip(alpha.softmax(0), maps, strict=True))
    torch.testing.assert_close(mine, other)
    weights = torch.randn_like(mine)
    (gradient,) = torch.autograd.grad((mine * weights).sum(), [layer._arch_alpha])
    (wanted,) = torch.autograd.grad((other * weights).sum(), [alpha])
    torch.testing.assert_close(gradient, wanted)


def scale(layer: SharedBankLayer, i: int) -> torch.Tensor:
    """The factors by which the supernet's filters exceed those of the child's layer, (n, 1, 1)."""
    alone = F.one_hot(torch.tensor(i), len(layer.choice.values)).double()
    weight = MixWeights.apply(layer.mixed.latent, layer.mixed.bank, alone, layer.mixed.choices)
    child = inherit(layer.mixed, i).generated()
    return ((weight * child).sum((1, 2, 3)) / child.square().sum((1, 2, 3))).detach()[:, None, None]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_export_is_the_argmax_if_it_fits_and_the_most_probable_plan_else(name, task, space):
    bank_space = mutated(DIFFERENTIABLE[name](), task, space)
    small = bank_space.budgeted
    cheap = PlanEncoding(small).encode(small.project([int(row.argmin()) for row in small.costs]))
    dear = PlanEncoding(small).encode([int(row.argmax()) for row in small.costs])
    for wish, wanted in ((cheap, cheap), (dear, None)):
        set_alphas(bank_space, wish)
        found: dict = {}
        for layer in layers_of(bank_space):
            found.update(layer.export(found))
            assert layer.export(found) == {}
        assert wanted is None or found == wanted
        assert price(task.shape, small.plan(PlanEncoding(small).indices(found))).file_bytes <= space.budget.bytes


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_exported_probabilities_are_the_softmax_without_noise(name, task, space):
    bank_space = mutated(DIFFERENTIABLE[name](), task, space)
    for layer in layers_of(bank_space):
        row = layer.export_probs({})[layer.label]
        assert list(row) == layer.choice.values
        torch.testing.assert_close(torch.stack(list(row.values())), layer._arch_alpha.softmax(0))
        assert layer.export_probs({layer.label: row}) == {} and layer.resample({}) == {}


def test_gumbel_draws_anew_and_darts_does_not(task, space):
    x = torch.randn(4, 1, 8, 8)
    soft, drawn = (mutated(strategy(), task, space).eval() for strategy in (DARTS, GumbelDARTS))
    assert torch.equal(soft(x), soft(x)) and not torch.equal(drawn(x), drawn(x))


def test_sampled_plans_are_within_the_budget_and_memos_are_kept(task, space):
    bank_space = mutated(RandomOneShot(), task, space, seed=1)
    layers, seen = layers_of(bank_space), set()
    with pytest.raises(RuntimeError, match="resample"):
        bank_space(torch.randn(2, 1, 8, 8))
    for _ in range(40):
        memo: dict = {}
        for layer in layers:
            memo.update(layer.resample(memo))
        assert price(task.shape, exact(bank_space.budgeted, memo)).file_bytes <= space.budget.bytes
        assert [layer._sampled for layer in layers] == [memo[layer.label] for layer in layers]
        exported = layers[0].export({})
        assert price(task.shape, exact(bank_space.budgeted, exported)).file_bytes <= space.budget.bytes
        seen.add(tuple(memo.values()))
    assert len(seen) > 20
    sample = PlanEncoding(bank_space.budgeted).encode([0] * len(layers))
    assert all(layer.resample(sample) == {layer.label: sample[layer.label]} for layer in layers)
    assert all(layer.export(sample) == {} for layer in layers)
    with pytest.raises(NotImplementedError):
        layers[0].export_probs({})


@pytest.mark.parametrize("strategy", [DARTS, RandomOneShot])
def test_one_layer_at_several_places_stays_one(strategy, awkward, awkward_space):
    network = mutated(strategy(), awkward, awkward_space).network
    assert isinstance(network.twice, SharedBankLayer)
    assert network.twice is network.again is network.block[1] is network.blocks[1][1]
    parameters = list(network.parameters())
    assert len({id(parameter) for parameter in parameters}) == len(parameters)


def test_the_teacher_starts_the_weights(task, space):
    bank_space = mutated(DARTS(), task, space)
    for layer in layers_of(bank_space):
        weight = task.teacher.get_submodule(layer.label).weight
        assert torch.equal(layer.mixed.latent, weight.reshape(layer.mixed.latent.shape))
    norm = bank_space.network.get_submodule("0.1")
    assert torch.equal(norm.running_var, task.teacher.get_submodule("0.1").running_var)
    head = task.teacher.get_submodule("6")
    assert torch.equal(layers_of(bank_space)[-1].mixed.bias, head.bias)


@pytest.mark.parametrize("strategy", [DARTS, RandomOneShot])
def test_a_supernet_freezes_to_a_child_of_its_own_weights(strategy, awkward, awkward_space):
    """In training mode, where a norm sees its batch, the child is the supernet run with the sample alone."""
    bank_space = mutated(strategy(), awkward, awkward_space, closed_form=False)
    with torch.no_grad():
        for layer in layers_of(bank_space):
            layer.mixed.bank.normal_()
    small = bank_space.budgeted
    x = torch.randn(16, 1, 8, 8)
    for wish in (0, -1):
        sample = PlanEncoding(small).encode(small.project([wish % size for size in small.sizes]))
        if strategy is DARTS:
            set_alphas(bank_space, sample)
        else:
            assert [layer.resample(sample) for layer in layers_of(bank_space)]
        child = bank_space.freeze(sample)
        assert not any(isinstance(module, SharedBankLayer) for module in child.modules())
        assert child.bankwise_plan == small.plan(PlanEncoding(small).indices(sample))
        torch.testing.assert_close(child.train()(x), copy.deepcopy(bank_space).train()(x), rtol=1e-3, atol=1e-3)


def test_it_can_be_copied_after_a_step(task, space):
    bank_space = mutated(DARTS(), task, space)
    x = torch.randn(4, 1, 8, 8)
    bank_space(x).sum().backward()
    twin = copy.deepcopy(bank_space)
    assert torch.equal(twin.eval()(x), bank_space.eval()(x))
    set_alphas(twin, PlanEncoding(twin.budgeted).encode([0] * len(twin.budgeted.sizes)))
    assert layers_of(twin)[0].export({}) != layers_of(bank_space)[0].export({})
