"""The report of a run, or of several side by side: one self-contained HTML page, and its figures as PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bankwise.report.comparison import comparison_page
from bankwise.report.gather import read_run
from bankwise.report.page import run_page
from search_space.errors import BankwiseError
from search_space.files import write_text


def write_report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the page of one run (RUN/report.html, or `out`) or of several (`out`); returns where it is.

    Figures go to plots/*.png beside the page. Raises BankwiseError for a run that is not finished or is damaged.
    """
    if not runs:
        raise BankwiseError("no run was given; a report needs the folder of at least one finished run")
    if len(runs) > 1 and out is None:
        raise BankwiseError(f"a report of {len(runs)} runs belongs to none of their folders; name the page by --out")
    found = [read_run(run) for run in runs]
    page = Path(runs[0]) / "report.html" if out is None else Path(out)
    folder = page.parent / "plots"
    write_text(page, run_page(found[0], folder) if len(found) == 1 else comparison_page(found, folder))
    return page


__all__ = ["write_report"]
