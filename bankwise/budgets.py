"""One search for each of several budgets: data and the uncompressed networks are those of the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from bankwise.inputs import take
from bankwise.progress import UNCOMPRESSED, OnProgress, Progress
from bankwise.result import SearchResult
from bankwise.search_settings import SearchSettings
from bankwise.search_space.budget import UNITS
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.sizes import split
from bankwise.searching import check, search_in

FURTHER = "further budgets"  # the epochs of what is still to be searched, as a phase


def parted(text: str) -> list[str]:
    """The budgets of a text with commas between them; 1,000 is one number.

    >>> parted("2KiB, 4KiB"), parted("1,000")
    (['2KiB', '4KiB'], ['1,000'])
    """
    return [text] if split(text, UNITS) is not None else [part.strip() for part in text.split(",")]


def search_budgets(
    network: str | nn.Module | None,
    data: object,
    budgets: Sequence[str | int],
    out: str | Path,
    settings: SearchSettings | None = None,
    *,
    accounting: str = "file",
    on_progress: OnProgress | None = None,
    options: Mapping[str, object] | None = None,
    log: Sequence[str] = (),
    side_by_side: int | None = None,
) -> list[SearchResult]:
    """`bankwise.search` for every budget, into OUT/BUDGET, by rising bytes. Data are read once, and the uncompressed
    networks, which no budget changes, are trained once (but for searched widths or depths: each has its own network).

    Raises InfeasibleBudget or BankwiseError for any of the budgets before the first is searched.
    """
    settings = settings or SearchSettings()
    inputs = take(network, data, settings.space.keep)
    sizes: dict[int, str] = {}
    for budget in budgets:
        limit = check(inputs, budget, settings, accounting)
        if limit.bytes in sizes:
            raise BankwiseError(
                f"budgets {sizes[limit.bytes]!r} and {str(budget)!r} are the same {limit.bytes:,} bytes"
            )
        sizes[limit.bytes] = str(budget)
    results: list[SearchResult] = []
    ordered = [budget for _, budget in sorted(sizes.items())]
    work = settings.work(inputs.source.network)
    one = sum(epochs for phase, epochs in work.items() if phase != UNCOMPRESSED)
    for number, budget in enumerate(ordered):
        folder = Path(out) / budget
        first = results[0].folder if results and not settings.searches_architectures else None
        told = on_progress and _with_further(on_progress, one * (len(ordered) - number - 1))
        results.append(search_in(inputs, budget, folder, settings, accounting, told, options, log, side_by_side, first))
    return results


def _with_further(on_progress: OnProgress, epochs: int) -> OnProgress:
    def report(event: Progress) -> None:
        on_progress(dataclasses.replace(event, ahead={**event.ahead, FURTHER: epochs}) if epochs else event)

    return report


def front(results: Sequence[SearchResult]) -> list[bool]:
    """Of each whether no smaller or equal file has a better mean validation accuracy: the Pareto front."""
    found = [(result.file_bytes, result.accuracy or 0.0) for result in results]
    return [
        not any(size <= own and right >= best and (size, right) != (own, best) for size, right in found)
        for own, best in found
    ]
