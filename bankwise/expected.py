"""What a search may expect before any trial: how far the closed form's plan is ahead of the best uniform one.

What the closed form was learned from says it in logits of accuracy (`strategies.additive.gain`), with an interval; how
often the interval held is in results/bench. A logit is worth p (1 - p) points where the accuracy is p, which nobody
knows before: points are said for given accuracies of the uniform plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bankwise.search_space.strict import to_dict
from bankwise.strategies import BudgetedSpace
from bankwise.strategies.additive.gain import SHARE, expected_gain
from bankwise.strategies.scores import weighted_capture
from bankwise.strategies.uniform import ranked
from bankwise.trainers.metric import SHARES

LEVELS = (0.9, 0.7)  # accuracies of the uniform plan where nothing is known
BELOW = 0.1  # the uncompressed network's
TRAININGS = 3  # of each plan, as a search measures them by default


@dataclass(frozen=True)
class Points:
    """In points: the median and the interval's ends, where the uniform plan has the accuracy `uniform` (0 to 1)."""

    uniform: float
    points: float
    low: float
    high: float


@dataclass(frozen=True)
class Expected:
    """The `chance` that the closed form's plan measures better than the best uniform plan, the difference of the logits
    of their accuracies, `logit`, with the interval `low` to `high` that holds the `share` of the probability, and the
    same in points. `uncompressed`: the first of `levels` is the uncompressed network's accuracy."""

    chance: float
    logit: float
    low: float
    high: float
    share: float
    levels: tuple[Points, ...]
    uncompressed: bool = False

    def to_dict(self) -> dict[str, object]:
        return dict(to_dict(self))

    @property
    def lines(self) -> list[str]:
        """For people: the chance, then the points of each level."""
        lines, whose = [f"better with a chance of {100 * self.chance:.0f} %"], self.uncompressed
        for one in self.levels:
            has = ("the uncompressed network's " if whose else "") + f"{100 * one.uniform:.4g} %"
            interval = f"{100 * self.share:.0f} % interval {one.low:+.1f} to {one.high:+.1f}"
            lines.append(f"{one.points:+.1f} points ({interval}) where that has {has}")
            whose = False
        return lines

    @property
    def line(self) -> str:
        """
        >>> Expected(0.6, 0.1, -0.4, 0.6, 0.8, (Points(0.9, 0.86, -4.2, 4.3),)).line
        'better with a chance of 60 %; +0.9 points (80 % interval -4.2 to +4.3) where that has 90 %'
        """
        return "; ".join(self.lines)


def expected(
    space: BudgetedSpace, uncompressed: float | None = None, trainings: int = TRAININGS, metric: str = "accuracy"
) -> Expected | None:
    """None where no uniform plan fits, or where the closed form's plan is the best uniform one.

    `uncompressed` is the accuracy of the float network where it is known: points are then said for it and for `BELOW`
    less. They are fewest there, as far as accuracies are above one half. None are said of a metric that is no share.
    """
    best = ranked(space)[:1]
    if not best:
        return None
    uniform, plan = np.array(best[0]), space.solve(weighted_capture(space))
    if np.array_equal(plan, uniform):
        return None
    gain = expected_gain(space, plan, uniform, trainings)
    known = None if uncompressed is None else (uncompressed, uncompressed - BELOW)
    levels = [one for one in (LEVELS if known is None else known) if 0 < one < 1 and metric in SHARES]
    return Expected(
        gain.chance, gain.mean, *gain.interval, SHARE, tuple(Points(one, *gain.points(one)) for one in levels),
        known is not None and levels[:1] == [uncompressed],
    )  # fmt: skip
