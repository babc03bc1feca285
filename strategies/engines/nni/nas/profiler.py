"""The price of a sample, as nni.nas profiles it."""

from __future__ import annotations

from nni.mutable import MutableExpression
from nni.nas.profiler import ExpressionProfiler

from bankwise.search_space.accounting import make_accounting
from bankwise.strategies.engines.nni.nas.space import BankSpace


class PriceProfiler(ExpressionProfiler):
    """`profile(sample)` is the size of the file of exactly that sample in bytes, or, in the `paper` accounting, the
    bits of banks and indices: `bankwise.search_space.price`.

    It is a sum of one term a layer, so that NNI's penalties can also take its expectation over the probabilities of a
    differentiable search. The choices are those of the space before or after it became a supernet.
    """

    def __init__(self, model_space: BankSpace, accounting: str = "file"):
        super().__init__(model_space)
        space, prices = model_space.budgeted, model_space.budgeted.space.prices
        counted = make_accounting(accounting)
        self.expression = counted.fixed(prices)
        labelled = model_space.simplify()
        for i, name in enumerate(space.space.names):
            costs = counted.table(prices)[i][space.allowed[i]]
            table = {choice.code(): int(cost) for choice, cost in zip(space.choices(i), costs, strict=True)}
            self.expression = MutableExpression(table.__getitem__, "cost[{}]", [labelled[name]]) + self.expression
