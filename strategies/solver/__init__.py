"""The exact budget solver: one choice a layer, the largest total score, integer costs within hard budgets.

Knows arrays alone: neither networks nor layers nor what a score means.
"""

from strategies.solver.counting import FeasibleSampler
from strategies.solver.exact import solve
from strategies.solver.milp import solve_many
from strategies.solver.problem import Problem, Solution
from strategies.solver.projection import project
from strategies.solver.shadow import Shadow, shadow_prices
from strategies.solver.staircase import staircase

__all__ = [
    "FeasibleSampler",
    "Problem",
    "Shadow",
    "Solution",
    "project",
    "shadow_prices",
    "solve",
    "solve_many",
    "staircase",
]
