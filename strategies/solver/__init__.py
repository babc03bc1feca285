"""The exact budget solver: one choice a layer, the largest total score, integer costs within hard budgets.

Knows arrays alone: neither networks nor layers nor what a score means.
"""

from bankwise.strategies.solver.counting import FeasibleSampler
from bankwise.strategies.solver.exact import solve
from bankwise.strategies.solver.milp import solve_many
from bankwise.strategies.solver.problem import Problem, Solution
from bankwise.strategies.solver.projection import project
from bankwise.strategies.solver.shadow import Shadow, shadow_prices
from bankwise.strategies.solver.staircase import optima, staircase

__all__ = [
    "FeasibleSampler",
    "Problem",
    "Shadow",
    "Solution",
    "optima",
    "project",
    "shadow_prices",
    "solve",
    "solve_many",
    "staircase",
]
