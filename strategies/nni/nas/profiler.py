"""The price of a sample, as nni.nas profiles it."""

from __future__ import annotations

from nni.mutable import MutableExpression
from nni.nas.profiler import ExpressionProfiler

from search_space.budget import ACCOUNTINGS
from search_space.errors import unknown
from strategies.nni.nas.space import BankSpace


class PriceProfiler(ExpressionProfiler):
    """`profile(sample)` is the size of the file of exactly that sample in bytes, or, in the `paper` accounting, the
    bits of banks and indices: `search_space.price`.

    It is a sum of one term a layer, so that NNI's penalties can also take its expectation over the probabilities of a
    differentiable search. The choices are those of the space before or after it became a supernet.
    """

    def __init__(self, model_space: BankSpace, accounting: str = "file"):
        super().__init__(model_space)
        space, prices = model_space.budgeted, model_space.budgeted.space.prices
        if accounting not in ACCOUNTINGS:
            raise unknown("accounting", accounting, ACCOUNTINGS)
        in_file = accounting == "file"
        self.expression = prices.fixed_file_bytes if in_file else 0
        labelled = model_space.simplify()
        for i, name in enumerate(space.space.names):
            costs = (prices.file_bytes if in_file else prices.paper_bits)[i][space.allowed[i]]
            table = {choice.code(): int(cost) for choice, cost in zip(space.choices(i), costs, strict=True)}
            self.expression = MutableExpression(table.__getitem__, "cost[{}]", [labelled[name]]) + self.expression
