"""The report of a run, or of several side by side: one self-contained HTML page, and its figures as PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_bytes, write_text
from bankwise.search_space.imports import code_in_files


def write_report(runs: Sequence[str | Path], out: str | Path | None = None, allow_code: bool = False) -> Path:
    """Write the page of one run or conversion (RUN/report.html, or `out`) or of several runs (`out`).

    Returns where it is. Figures go to plots/*.png beside the page. What a run names of code of a user's own is
    imported with `allow_code` alone.

    Raises:
        BankwiseError: a run is not finished or is damaged, no run is given, or several are without `out`.
    """
    from bankwise.report.conversion import conversion_view, is_conversion
    from bankwise.report.gather import read_run  # matplotlib and jinja2 are loaded where they are needed
    from bankwise.report.pages import comparison_page, conversion_page, run_page

    if not runs:
        raise BankwiseError("no run was given; a report needs the folder of at least one finished run")
    if len(runs) > 1 and out is None:
        raise BankwiseError(f"a report of {len(runs)} runs belongs to none of their folders; name the page by --out")
    path = Path(runs[0]) / "report.html" if out is None else Path(out)
    if path.is_dir():
        raise BankwiseError(f"{str(path)!r} is a folder; name the page, such as {str(path / 'report.html')!r}")
    if len(runs) == 1 and is_conversion(RunFolder(runs[0])):
        with code_in_files(allow_code):
            page = conversion_page(conversion_view(RunFolder(runs[0])))
    else:
        found = [read_run(run, allow_code=allow_code) for run in runs]
        page = run_page(found[0]) if len(found) == 1 else comparison_page(found)
    for name, picture in page.pictures.items():
        write_bytes(path.parent / "plots" / f"{name}.png", picture.light)
    write_text(path, page.html)
    return path


__all__ = ["write_report"]
