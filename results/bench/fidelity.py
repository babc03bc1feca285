"""What is it worth to stop trials early, at equal epochs? Searches on the surrogate, with learning curves of the table.

    python results/bench/fidelity.py [SETTING ...] [--trials 64]   (half an hour; writes its table into README.md)

A trial reports its accuracy after every epoch, and a rule may stop it, from a quarter of its epochs on. All rules have
the epochs of as many whole trials. The curve of a plan is that of one of the table's trainings that ended about as
well, moved to end where the plan does. What is through lies in runs/bench and is taken from there, unless the table
has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.search_space.files import write_text
from bankwise.strategies.additive.factor import Factor
from bankwise.strategies.additive.posterior import Posterior
from bankwise.strategies.additive.prior import DEVIATIONS, JITTER, Prior
from bankwise.strategies.additive.scale import as_logit, likeliest
from bankwise.strategies.additive.strategy import SCALED, Thompson
from bankwise.strategies.base import Strategy
from bankwise.strategies.evolution import Evolution
from results.bench.page import write_between
from results.bench.setting import SETTINGS
from results.bench.surrogate import Surrogate
from results.bench.table import Table, table_path

HERE = Path(__file__).resolve().parent
STRATEGIES = ("evolution", "thompson")
RUNS, MARKS = 20, (16, 64)
LEAST_PLANS = 50  # of a table whose surrogate is searched
NEAREST = 8  # trainings of which one gives a curve
GRACE = 4  # no trial is stopped before this part of its epochs
FACTOR = 3  # of the trials that reach a rung of halving one in so many goes on
CHANCE = 0.05  # of being the best, below which the model stops a trial
WHOLE = 4  # trials before the model stops any
SPREAD, TRUST = 0.3, 4  # of a curve's end about where the model has it, in logits, and how many trials that counts for


class Views(Posterior):
    """A posterior after trials of which some are known less well, by a further variance each."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.further = np.empty(0)

    @property
    def _noise(self) -> np.ndarray:
        return np.asarray(self.prior.deviations.noise**2 + self.further)

    def view(self, plan: tuple[int, ...], value: float, further: float) -> None:
        own, d = np.array([plan]), self.prior.deviations
        variance = float(self.covariance(own, own)[0, 0]) + d.noise**2 + further
        self._values_factor.add(self.covariance(own)[0], variance)
        self._together_factor.add(self._together(own, self.plans)[0], d.together**2 + JITTER)
        self.plans, self.values = np.concatenate([self.plans, own]), np.append(self.values, value)
        self.further = np.append(self.further, further)

    def under(self, prior: Prior) -> Views:
        other = Views(prior)
        other.plans, other.values, other.further = self.plans, self.values, self.further
        other._values_factor = Factor(other.covariance(self.plans) + np.diag(other._noise))
        other._together_factor = Factor(other._together(self.plans, self.plans) + JITTER * np.eye(len(self.plans)))
        return other

    def scaled(self) -> Views:
        """Of the prior as the whole trials ask."""
        whole, base = Posterior(self.prior.of(DEVIATIONS)), self.prior.of(DEVIATIONS)
        for plan, value in zip(self.plans[self.further == 0], self.values[self.further == 0], strict=True):
            whole.add(tuple(plan), float(value))
        return self.under(likeliest(base, whole))

    def mean_of_tried(self) -> np.ndarray:
        return np.asarray(self.values - self._noise * self._left())

    def _prior_draw(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        worths, shown = super()._prior_draw(rng)
        return worths, shown + rng.normal(0, 1, len(shown)) * np.sqrt(self.further)

    def variance(self, plan: np.ndarray) -> float:
        """Of the noiseless logit of a plan (layers,)."""
        own = plan[None]
        side = self._values_factor.halved(self.covariance(own)[0])
        return float(self.covariance(own, own)[0, 0] - side @ side)


class Viewed(Thompson):
    """Thompson sampling that knows a stopped trial less well."""

    posterior: Views

    def __init__(self, space: Any, seed: int = 0) -> None:
        super().__init__(space, seed)
        self.posterior = Views(self.prior)
        self.further = 0.0  # variance of the next trial that is told

    def _observe(self, indices: tuple[int, ...], accuracy: float) -> None:
        self.posterior.view(indices, as_logit(accuracy), self.further)
        if len(self.posterior.plans) in SCALED:
            self.posterior = self.posterior.scaled()


class Rule:
    """Runs every trial to its end."""

    def __init__(self, epochs: int, strategy: Strategy) -> None:
        self.epochs, self.grace, self.strategy = epochs, max(1, epochs // GRACE), strategy
        self.curves: list[np.ndarray] = []  # logits after every epoch, of trials that ended: shorter where stopped

    def stops(self, plan: np.ndarray, curve: np.ndarray, truth: float) -> bool:
        """Whether a trial of `curve` (epochs so far,) ends here."""
        return False

    def ended(self, plan: np.ndarray, curve: np.ndarray) -> None:
        self.curves.append(curve)

    def told(self, curve: np.ndarray) -> tuple[float, float]:
        """The logit that a trial counts as, and its further variance."""
        return float(curve[-1]), 0.0


class Oracle(Rule):
    """Knows the truth: a trial that is no better than the plan held ends at once. What no rule can be better than."""

    best = -np.inf

    def stops(self, plan: np.ndarray, curve: np.ndarray, truth: float) -> bool:
        return len(curve) >= self.grace and truth <= self.best


class Median(Rule):
    """Below the median of the other trials' running means (Golovin et al. 2017), as Ray's and NNI's rules have it."""

    def stops(self, plan: np.ndarray, curve: np.ndarray, truth: float) -> bool:
        age = len(curve)
        means = [expit(other[:age]).mean() for other in self.curves if len(other) >= age]
        return age >= self.grace and len(means) >= FACTOR and expit(curve).max() < np.median(means)


class Halving(Rule):
    """Asynchronous successive halving (Li et al. 2020), as Ray has it: at a rung one in FACTOR
    goes on, the best by those that were there before."""

    def __init__(self, epochs: int, strategy: Strategy) -> None:
        super().__init__(epochs, strategy)
        self.rungs: dict[int, list[float]] = {}
        rung = self.grace
        while rung < epochs:
            self.rungs[rung] = []
            rung *= FACTOR

    def stops(self, plan: np.ndarray, curve: np.ndarray, truth: float) -> bool:
        if (seen := self.rungs.get(len(curve))) is None:
            return False
        found = bool(seen) and curve[-1] < np.quantile(seen, 1 - 1 / FACTOR)
        seen.append(float(curve[-1]))
        return bool(found)


class Predicting(Rule):
    """What whole trials gained after an epoch, its mean and its variance, says where a curve will end."""

    def end(self, curve: np.ndarray) -> tuple[float, float]:
        """Mean and variance."""
        age = len(curve)
        gains = np.array([other[-1] - other[age - 1] for other in self.curves if len(other) == self.epochs])
        variance = (TRUST * SPREAD**2 + ((gains - gains.mean()) ** 2).sum()) / (TRUST + len(gains) - 1)
        return float(curve[-1] + gains.mean()), float(variance)

    def told(self, curve: np.ndarray) -> tuple[float, float]:
        return (float(curve[-1]), 0.0) if len(curve) == self.epochs else self.end(curve)


class Model(Predicting):
    """The additive model's posterior of the plan's value, without the trial, and the curve's view of it, together:
    below CHANCE of being above the best posterior mean, the trial is stopped."""

    def __init__(self, epochs: int, strategy: Strategy) -> None:
        super().__init__(epochs, strategy)
        self._own = None if isinstance(strategy, Viewed) else Views(Prior(strategy.space, DEVIATIONS))

    @property
    def views(self) -> Views:
        return self.strategy.posterior if self._own is None else self._own  # type: ignore[attr-defined]

    def stops(self, plan: np.ndarray, curve: np.ndarray, truth: float) -> bool:
        if len(curve) < self.grace or len(self.curves) < WHOLE:
            return False
        views, (end, variance) = self.views, self.end(curve)
        if len(curve) == self.grace:  # nothing is told while a trial runs
            self._believed = float(views.mean(plan[None])[0]), max(views.variance(plan), JITTER)
            self._best = float(views.mean_of_tried().max())
        mean, own = self._believed
        seen = variance + views.prior.deviations.noise**2
        mean, own = (mean * seen + end * own) / (own + seen), own * seen / (own + seen)
        return norm.sf((self._best - mean) / np.sqrt(own)) < CHANCE

    def ended(self, plan: np.ndarray, curve: np.ndarray) -> None:
        if self._own is not None:
            value, further = self.told(curve)
            self._own.view(tuple(int(i) for i in plan), value, further)
            if len(self._own.plans) in SCALED:
                self._own = self._own.scaled()
        super().ended(plan, curve)


RULES: Mapping[str, type[Rule]] = {
    "none": Rule,
    "median": Median,
    "halving": Halving,
    "by the model": Model,
    "by the truth": Oracle,
}


class Curves:
    """Learning curves of a table's trainings, in logits: `ends` (rows,), `curves` (rows, epochs), the last the end."""

    def __init__(self, table: Table) -> None:
        usable = np.isfinite(table.epochs).all(1) & np.isfinite(table.accuracy_of_row)
        accuracies = np.concatenate([table.epochs[usable, :-1], table.accuracy_of_row[usable, None]], 1)
        self.curves = np.array([[as_logit(value) for value in row] for row in accuracies])
        self.epochs = self.curves.shape[1]

    def draw(self, end: float, rng: np.random.Generator) -> np.ndarray:
        near = np.argsort(np.abs(self.curves[:, -1] - end), kind="stable")[:NEAREST]
        found = self.curves[rng.choice(near)]
        return np.asarray(found + end - found[-1])


class _Search:
    """One search under way: epochs spent, and what is held after each trial."""

    def __init__(self, name: str, rule: type[Rule], surrogate: Surrogate, curves: Curves, seed: int) -> None:
        made = Evolution if name == "evolution" else Viewed if issubclass(rule, Predicting) else Thompson
        self.strategy = made(surrogate.space, seed)
        self.rule, self.curves = rule(curves.epochs, self.strategy), curves
        self.rng = np.random.default_rng((13, seed))
        self.truths: dict[str, float] = {}
        self.spent, self.trials, self.course = 0, 0, []  # type: ignore[var-annotated]
        self.whole: list[tuple[float, float]] = []  # what was seen of trials that ran to their end, and the truth

    def end(self, plan: Any, truth: float, noise: float) -> None:
        indices = self.strategy.space.indices(plan)
        seen = float(np.clip(truth + self.rng.normal(0, noise), 0, 1))
        curve, rule = self.curves.draw(as_logit(seen), self.rng), self.rule
        ages = range(1, len(curve))
        age = next((age for age in ages if rule.stops(indices, curve[:age], truth)), len(curve))
        self.spent, self.trials = self.spent + age, self.trials + 1
        value, further = rule.told(curve[:age])
        if isinstance(self.strategy, Viewed):
            self.strategy.further = further
        rule.ended(indices, curve[:age])
        self.truths[plan.text] = truth
        self.strategy.tell(plan, {"accuracy": float(expit(value))})
        if age == len(curve):
            self.whole.append((value, truth))
        rule.best = self.held  # type: ignore[attr-defined]
        self.course.append((self.spent, self.held))

    @property
    def held(self) -> float:
        """The truth of the plan that the strategy holds best. One without a model would hold a plan for what its curve
        promised: there it is the best of those that ran to their end."""
        if isinstance(self.rule, Predicting) and not isinstance(self.strategy, Viewed):
            return max(self.whole, key=lambda pair: pair[0])[1]
        best = self.strategy.best
        assert best is not None
        return self.truths[best.text]


def courses(
    name: str, rule: type[Rule], surrogate: Surrogate, curves: Curves, noise: float, trials: int, runs: int
) -> tuple[np.ndarray, list[float]]:
    """True accuracies (runs, trials) of the plan held when the epochs of so many whole trials were spent, and how many
    trials each run made of them."""
    searches = [_Search(name, rule, surrogate, curves, seed) for seed in range(runs)]
    total = trials * curves.epochs
    while under := [search for search in searches if search.spent < total]:
        plans = [search.strategy.ask() for search in under]
        truths = surrogate.predict([surrogate.space.indices(plan) for plan in plans])  # type: ignore[arg-type]
        for search, plan, truth in zip(under, plans, truths, strict=True):
            search.end(plan, float(truth), noise)
    held = np.empty((runs, trials))
    for i, search in enumerate(searches):
        spent, values = (np.array(row) for row in zip(*search.course, strict=True))
        places = np.searchsorted(spent, curves.epochs * np.arange(1, trials + 1), side="right") - 1
        held[i] = values[np.maximum(places, 0)]
    return held, [float(search.trials) for search in searches]


@cache
def surrogate(name: str) -> Surrogate:
    return Surrogate.of(Table.read(name))


def course(table: Table, name: str, rule: str, trials: int, cache: Path) -> dict[str, Any]:
    """Of `courses`, from the cache where it is there."""
    digest = hashlib.sha256(table_path(table.name).read_bytes()).hexdigest()[:12]
    path = cache / f"fidelity-{table.name}-{name}-{rule.replace(' ', '-')}-{trials}-{digest}.json"
    if not path.exists():
        held, made = courses(name, RULES[rule], surrogate(table.name), Curves(table), table.noise, trials, RUNS)
        write_text(path, json.dumps({"held": held.round(6).tolist(), "made": made}))
        print(table.name, name, rule, np.mean(made), flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def interval(values: np.ndarray) -> str:
    """Mean and half the width of its 95 % interval."""
    return f"{values.mean():.2f} ± {1.96 * values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def fidelity_table(tables: list[Table], trials: int, cache: Path) -> str:
    marks = [mark for mark in MARKS if mark <= trials]
    heads = ["setting", "strategy", "stopped", "trials", *(f"regret, epochs of {mark}" for mark in marks)]
    heads += [f"better than none, epochs of {mark}" for mark in marks]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for table in tables:
        found = {(name, rule): course(table, name, rule, trials, cache) for name in STRATEGIES for rule in RULES}
        best = float(surrogate(table.name).predict(table.indices()[table.usable]).max())
        best = max(best, *(np.max(one["held"]) for one in found.values()))
        for (name, rule), one in found.items():
            regret = 100 * (best - np.array(one["held"]))
            cells = [table.name, name, rule, f"{np.mean(one['made']):.0f}"]
            cells += [interval(regret[:, mark - 1]) for mark in marks]
            better = 100 * (np.array(one["held"]) - np.array(found[name, "none"]["held"]))
            cells += ["" if rule == "none" else interval(better[:, mark - 1]) for mark in marks]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="default: all with enough plans")
    parser.add_argument("--trials", type=int, default=MARKS[-1])
    parser.add_argument("--cache", default="runs/bench")
    options = parser.parse_args()
    names = options.settings or [name for name in SETTINGS if table_path(name).exists()]
    tables, cache = [Table.read(name) for name in names], Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    text = fidelity_table([table for table in tables if len(table.plans) >= LEAST_PLANS], options.trials, cache)
    write_between(HERE / "README.md", "fidelity", text)
    print(text)


if __name__ == "__main__":
    main()
