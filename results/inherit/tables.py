"""What the trainings say: tau by epochs, what an epoch is worth, and what a trial gains by what it descends from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from results.bench.taus import Tau, bootstrapped

FROM_FLOAT = "from float"


@dataclass(frozen=True)
class Trials:
    """Of one field. `truth` (n,) are accuracies after full trainings, `found[way][epochs]` those of trials (seeds, n),
    NaN where a plan was not tried; `about[way][epochs]` beside them the shared layers or generations."""

    truth: np.ndarray
    found: Mapping[str, Mapping[int, np.ndarray]]
    about: Mapping[str, Mapping[int, np.ndarray]]

    @property
    def compared(self) -> np.ndarray:
        """(seeds, n): the plans that every way tried."""
        every = [rows for by_epochs in self.found.values() for rows in by_epochs.values()]
        return np.asarray(np.isfinite(every).all(0))

    def tau(self, way: str, epochs: int, some: np.ndarray) -> float:
        """The mean over the seeds, over plans `some` (indices, which may repeat)."""
        rows = zip(self.found[way][epochs], self.compared, strict=True)
        return float(np.mean([_tau(row[some[use[some]]], self.truth[some[use[some]]]) for row, use in rows]))

    def less(self, way: str, epochs: int, some: np.ndarray) -> float:
        """That tau less the one of as many epochs from the float network."""
        return self.tau(way, epochs, some) - self.tau(FROM_FLOAT, epochs, some)

    def gain(self, way: str, epochs: int, some: np.ndarray) -> float:
        """Points of accuracy by which trials are above those of the same plans and seeds from the float network."""
        return float(np.mean(self._gains(way, epochs, some)[0]))

    def slope(self, way: str, epochs: int, some: np.ndarray) -> float:
        """Points of that gain a shared layer, or a generation; 0 where all have the same number."""
        gains, about = self._gains(way, epochs, some)
        return float(np.polyfit(about, gains, 1)[0]) if np.ptp(about) else 0.0

    def _gains(self, way: str, epochs: int, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fresh, rows = self.found[FROM_FLOAT][epochs], self.found[way][epochs]
        use = self.compared[:, some]
        return 100 * (rows - fresh)[:, some][use], self.about[way][epochs][:, some][use]

    def interval(self, statistic: Callable[[str, int, np.ndarray], float], way: str, epochs: int) -> Tau:
        """One of the above over all plans, with its interval over plans."""
        return bootstrapped(partial(statistic, way, epochs), len(self.truth))


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b, without the test that makes scipy's slow in a bootstrap."""
    pairs = [np.sign(values[:, None] - values) for values in (one, other)]
    return float((pairs[0] * pairs[1]).sum() / np.sqrt((pairs[0] ** 2).sum() * (pairs[1] ** 2).sum()))


def worth(tau: float, fresh: Mapping[int, float]) -> str:
    """How many epochs from the float network have that tau: `fresh` by epochs, read between them by the logarithm of
    the epochs.

    >>> worth(0.6, {1: 0.4, 2: 0.5, 4: 0.7}), worth(0.3, {1: 0.4, 2: 0.5, 4: 0.7})
    ('2.8', '< 1')
    """
    epochs, rising = list(fresh), np.maximum.accumulate(list(fresh.values()))
    if tau < rising[0]:
        return f"< {epochs[0]}"
    if tau > rising[-1]:
        return f"> {epochs[-1]}"
    return f"{2 ** np.interp(tau, rising, np.log2(epochs)):.1f}"


def taus(fields: Mapping[str, Trials]) -> str:
    columns = sorted({epochs for of in fields.values() for rows in of.found.values() for epochs in rows})
    lines = _head("plans", "trials", *(f"{epochs} epoch{'s' * (epochs > 1)}" for epochs in columns))
    for name, of in fields.items():
        for way, rows in of.found.items():
            cells = [str(of.interval(of.tau, way, epochs)) if epochs in rows else "-" for epochs in columns]
            lines.append(_row(name, way, *cells))
    return "\n".join(lines) + "\n"


def values(fields: Mapping[str, Trials]) -> str:
    lines = _head("plans", "trials", "epochs", "tau, less that from float", "worth as many epochs from float")
    for name, of in fields.items():
        every = np.arange(len(of.truth))
        fresh = {epochs: of.tau(FROM_FLOAT, epochs, every) for epochs in of.found[FROM_FLOAT]}
        for way, epochs in _ways(of):
            worth_of = worth(of.tau(way, epochs, every), fresh)
            lines.append(_row(name, way, str(epochs), _signed(of.interval(of.less, way, epochs)), worth_of))
    return "\n".join(lines) + "\n"


def gains(fields: Mapping[str, Trials]) -> str:
    lines = _head("plans", "trials", "epochs", "gain, points", "of it a shared layer, or a generation in a chain")
    for name, of in fields.items():
        for way, epochs in _ways(of):
            found = [of.interval(statistic, way, epochs) for statistic in (of.gain, of.slope)]
            lines.append(_row(name, way, str(epochs), *map(_signed, found)))
    return "\n".join(lines) + "\n"


def searches(found: Mapping[tuple[int, bool], list[Mapping[str, np.ndarray]]]) -> str:
    """By epochs and whether trials inherit: of every search `accuracies`, `truth`, `generations`, `shared` layers."""
    lines = _head(
        "epochs",
        "searches",
        "trials",
        "tau within a search",
        "four best by trial, %",
        "layers shared",
        "points a generation",
    )
    for (epochs, inherits), of in found.items():
        order = [_tau(one["accuracies"], one["truth"]) for one in of]
        best = [100 * one["truth"][np.argsort(-one["accuracies"], kind="stable")[:4]].mean() for one in of]
        cells = ["-", "-"]
        if inherits:
            over = [100 * (one["accuracies"] - one["truth"]) for one in of]
            slopes = [np.polyfit(one["generations"], rows, 1)[0] for one, rows in zip(of, over, strict=True)]
            cells = [_spread([float(np.nanmean(one["shared"])) for one in of], ".1f"), _spread(slopes, "+.2f")]
        way = "inherit, teacher" if inherits else FROM_FLOAT
        lines.append(_row(str(epochs), str(len(of)), way, _spread(order, ".2f"), _spread(best, ".1f"), *cells))
    return "\n".join(lines) + "\n"


def _ways(trials: Trials) -> list[tuple[str, int]]:
    return [(way, epochs) for way, rows in trials.found.items() if way != FROM_FLOAT for epochs in rows]


def _spread(of: Sequence[float], shown: str) -> str:
    return f"{np.mean(of):{shown}} ± {np.std(of, ddof=1):{shown.lstrip('+')}}"


def _signed(tau: Tau) -> str:
    return f"{tau.value:+.2f} ({tau.low:+.2f} to {tau.high:+.2f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]
