"""The profiled size is the price, to the byte; its expectation is that over the probabilities, with gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty, RangeProfilerFilter, SampleProfilerPenalty
from nni.nas.strategy import DARTS

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.strategies.budgeted import BudgetedSpace
from bankwise.strategies.encodings import PlanEncoding
from bankwise.strategies.engines.nni.nas import BankSpace, PriceProfiler


def exact(space: BudgetedSpace, sample: dict) -> Plan:
    return space.plan(PlanEncoding(space).indices(sample))


def samples(space, count: int):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield PlanEncoding(space).encode([int(rng.integers(size)) for size in space.sizes])


def test_it_is_the_price_of_the_very_sample(task, space):
    bank_space = BankSpace.of(task, space)
    file, paper = PriceProfiler(bank_space), PriceProfiler(bank_space, "paper")
    over = 0
    for sample in samples(space, 200):
        cost = price(task.shape, space.plan(PlanEncoding(space).indices(sample)))
        assert file.profile(sample) == cost.file_bytes
        assert paper.profile(sample) == cost.paper_bits
        over += cost.file_bytes > space.budget.bytes
    assert over  # of samples over the budget too


def test_of_an_awkward_network_and_of_a_supernet(awkward, awkward_space):
    bank_space = BankSpace.of(awkward, awkward_space)
    DARTS().mutate_model(bank_space)
    profiler = PriceProfiler(bank_space)
    for sample in samples(awkward_space, 50):
        assert profiler.profile(sample) == price(awkward.shape, exact(awkward_space, sample)).file_bytes


def test_an_unknown_accounting_is_refused(task, space):
    with pytest.raises(BankwiseError, match="accounting 'files'"):
        PriceProfiler(BankSpace.of(task, space, 4), "files")


def test_the_expectation_is_the_sum_of_probability_times_price_and_trains_the_logits(task, space):
    """NNI's penalty on what the supernet exports: scale (E / baseline - 1), dE/dalpha_i = p_i (c_i - layer's E)."""
    bank_space = BankSpace.of(task, space, 8)
    strategy = DARTS()
    strategy.mutate_model(bank_space)
    layers = [bank_space.network.get_submodule(name) for name in bank_space.budgeted.space.names]
    profiler = PriceProfiler(bank_space)
    penalty = ExpectationProfilerPenalty(profiler, baseline=1000.0, scale=2.0)
    probabilities = {}
    for layer in layers:
        probabilities |= layer.export_probs(probabilities)
    loss, details = penalty(torch.tensor(0.5), probabilities)
    rows = [torch.softmax(next(iter(layer.arch_parameters())).detach().double(), 0) for layer in layers]
    costs = [torch.as_tensor(row, dtype=torch.double) for row in bank_space.budgeted.costs]
    means = [float((p * c).sum()) for p, c in zip(rows, costs, strict=True)]
    expected = bank_space.budgeted.fixed + sum(means)
    assert details["penalty"].item() == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(0.5 + 2 * (expected / 1000 - 1), rel=1e-5)
    loss.backward()
    for layer, p, c, mean in zip(layers, rows, costs, means, strict=True):
        wanted = 2 / 1000 * p * (c - mean)
        torch.testing.assert_close(next(iter(layer.arch_parameters())).grad.double(), wanted, rtol=1e-4, atol=1e-5)


def test_penalty_and_filter_of_one_sample(task, space):
    bank_space = BankSpace.of(task, space, 8)
    profiler = PriceProfiler(bank_space)
    fits = RangeProfilerFilter(profiler, max=space.budget.bytes)
    both = set()
    for sample in samples(bank_space.budgeted, 50):
        size = price(task.shape, space.plan(PlanEncoding(space).indices(sample))).file_bytes
        assert fits(sample) == (size <= space.budget.bytes)
        both.add(fits(sample))
        loss, _ = SampleProfilerPenalty(profiler, baseline=1000.0)(torch.tensor(1.0), sample)
        assert float(loss) == pytest.approx(size / 1000)
    assert both == {True, False}
