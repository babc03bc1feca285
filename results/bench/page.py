"""Tables that a command writes into a page, between two comments that name them."""

from __future__ import annotations

from pathlib import Path

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_text


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what lies between the lines `<!-- name -->` and `<!-- end of name -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, found, rest = page.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise BankwiseError(f"{page.name} has no place for {name!r}: a line {begin.strip()} and a line {end}")
    write_text(page, f"{head}{begin}\n{text.strip()}\n\n{end}{tail}")
