"""Exact Pareto dynamic programme over the layers, cut by the bound of the linear relaxation.

After each layer a state is kept only if its score and the relaxed score of the layers to come can still equal the best
plan known (branch and bound inside the dynamic programme: Dyer, Riha & Walker 1995; Pisinger 1995). Each state is also
completed greedily, which raises the best plan known while the programme runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from bankwise.strategies.solver.hull import Steps
from bankwise.strategies.solver.merge import merge

HISTORY = 1 << 22  # states remembered for tracing a plan back; older ones are found again by a second pass
WIDTHS = (64, 1024, None)  # states a layer: two narrow passes find a good plan, the last pass proves the best one

States = tuple[np.ndarray, np.ndarray]  # costs and scores after a layer, both rising strictly


@dataclass(frozen=True)
class Found:
    """A plan: the place of the choice in each layer; `proved` if no plan of these layers scores more."""

    places: np.ndarray
    proved: bool


class ParetoProgramme:
    """Layers of choices `costs[i]`, `scores[i]` that rise strictly in both and start at cost 0 and score 0.

    Costs are int64 of any common unit; `capacity` is in the same unit. States within `slack` of the best plan known are
    kept, so that rounding never drops an optimum; of plans within `slack` of the best the cheapest is returned.
    """

    def __init__(self, costs: list[np.ndarray], scores: list[np.ndarray], capacity: int, slack: float):
        self.costs, self.scores, self.capacity, self.slack = costs, scores, capacity, slack
        self.steps = Steps.of(costs, scores)
        whole = self.steps.suffix(0)
        taken, _, bound = (row[0] for row in whole.bounds(np.array([capacity])))
        self.bound, self.price = float(bound), float(whole.slope[taken])
        self.greedy = self.steps.plan(len(costs), int(taken))
        best = [float((s - self.price * c).max()) for c, s in zip(costs, scores, strict=True)]
        self.to_come = np.concatenate([np.cumsum(best[::-1])[::-1], [0.0]])

    def run(self, floor: float, width: int | None) -> Found | None:
        """The best plan of at least `floor`, from at most `width` states a layer (None: all, so it is proved).

        None if no plan was found that scores `floor` or more.
        """
        costs, scores = np.zeros(1, np.int64), np.zeros(1)
        history: list[States | None] = [(costs, scores)]
        forgotten, remembered, proved = 0, 1, True
        best: tuple[int, int, float, int] | None = None  # layers, cost, score, greedy steps after them
        for layer, choices in enumerate(zip(self.costs, self.scores, strict=True)):
            least = floor - self.slack - self.price * self.capacity - self.to_come[layer + 1]
            keep = partial(self._worth, least)
            costs, scores = merge(costs, scores, *choices, self.capacity, keep)
            taken, gained, bound = self.steps.suffix(layer + 1).bounds(self.capacity - costs)
            completed = scores + gained
            i = int(completed.argmax()) if len(completed) else 0
            if len(completed) and completed[i] >= floor and (best is None or completed[i] > floor):
                best = layer + 1, int(costs[i]), float(scores[i]), int(taken[i])
                floor = float(completed[i])
            bound += scores
            kept = bound >= floor - self.slack
            costs, scores = costs[kept], scores[kept]
            if width is not None and len(costs) > width:
                proved = False
                most = np.sort(np.argsort(-bound[kept], kind="stable")[:width])
                costs, scores = costs[most], scores[most]
            history.append((costs, scores))
            remembered += len(costs)
            while remembered > HISTORY and forgotten < len(history) - 2:
                remembered -= len(states[0]) if (states := history[forgotten]) is not None else 0
                history[forgotten] = None
                forgotten += 1
            if not len(costs):
                break
        else:
            cheapest = int((scores >= scores.max() - self.slack).argmax())
            if scores[cheapest] >= floor - self.slack:
                best = len(self.costs), int(costs[cheapest]), float(scores[cheapest]), 0
        return None if best is None else Found(self._places(history, *best), proved)

    def _worth(self, least: float, costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The states that the layers to come may complete to the score wanted, by their Lagrangian bound."""
        kept: np.ndarray = scores - self.price * costs >= least
        return kept

    def _places(self, history: list[States | None], layer: int, cost: int, score: float, taken: int) -> np.ndarray:
        """Trace the state (cost, score) after `layer` layers back; the others take the first `taken` of their steps."""
        to_come = np.flatnonzero(self.steps.layer >= layer)[:taken]
        places = np.zeros(len(self.costs), np.int64)
        places[self.steps.layer[to_come]] = self.steps.target[to_come]
        for i in range(layer - 1, -1, -1):
            states = history[i]
            if states is None:
                return np.concatenate([self._again(i + 1, cost, score), places[i + 1 :]])
            costs, scores = states
            at = np.searchsorted(costs, cost - self.costs[i])
            at[at == len(costs)] = 0
            # the very sum that made the state, so equal to the last bit
            made = (costs[at] + self.costs[i] == cost) & (scores[at] + self.scores[i] == score)
            places[i] = made.argmax()
            cost, score = int(costs[at[places[i]]]), float(scores[at[places[i]]])
        return places

    def _again(self, layers: int, cost: int, score: float) -> np.ndarray:
        """Places in the first `layers` layers, whose history was forgotten, of a plan of that cost and score."""
        prefix = ParetoProgramme(self.costs[:layers], self.scores[:layers], cost, self.slack)
        tries = (prefix.run(score, width) for width in WIDTHS)
        return next(found.places for found in tries if found is not None)
