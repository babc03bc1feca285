"""The pieces of a page: text, tables and figures as HTML, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bankwise.report.style import DARK, LIGHT, Plot, draw
from bankwise.report.stylesheet import STYLE
from search_space.files import write_bytes


class Raw(str):
    """Text that is HTML already."""


def html(text: object) -> str:
    return text if isinstance(text, Raw) else escape(str(text))


def code(text: object) -> Raw:
    return Raw(f"<code>{html(text)}</code>")


PAPER, FILE = code("paper"), code("file")  # the labels of the two accountings


def heading(text: str) -> str:
    return f"<h1>{html(text)}</h1>"


def preformatted(text: str) -> str:
    return f"<pre>{html(text)}</pre>"


def details(title: str, *blocks: str) -> str:
    """A part that a reader may fold away; open, so that it is printed."""
    return f"<details open><summary>{html(title)}</summary>\n" + "\n".join(blocks) + "\n</details>"


def paragraph(*pieces: object, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{''.join(map(html, pieces))}</p>"


def section(title: str, *blocks: str) -> str:
    return f"<section>\n<h2>{html(title)}</h2>\n" + "\n".join(blocks) + "\n</section>"


def cards(items: Sequence[tuple[str, str]]) -> str:
    """(figure, what it is)."""
    made = "".join(f'<div class="card"><b>{html(number)}</b><span>{html(what)}</span></div>' for number, what in items)
    return f'<div class="cards">{made}</div>'


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    groups: Sequence[tuple[str, int]] = (),
    total: int = 0,
    strong: int = -1,
) -> str:
    """Columns whose name ends with ":" are text, the others numbers. `groups` are headings over (title, columns);
    the last `total` rows are sums, row `strong` is the one that counts."""
    marks = [' class="text"' if column.endswith(":") else "" for column in columns]
    above = "".join(f'<th colspan="{width}" class="text">{html(title)}</th>' for title, width in groups)
    head = f'<tr class="group">{above}</tr>' if groups else ""
    names = "".join(f"<th{m}>{html(c.rstrip(':'))}</th>" for c, m in zip(columns, marks, strict=True))
    head += f"<tr>{names}</tr>"
    body = []
    for i, row in enumerate(rows):
        kind = ' class="total"' if i == len(rows) - total else ' class="strong"' if i == strong else ""
        cells = "".join(f"<td{m}>{html(cell)}</td>" for cell, m in zip(row, marks, strict=True))
        body.append(f"<tr{kind}>{cells}</tr>")
    return f'<div class="wide"><table><thead>{head}</thead><tbody>\n' + "\n".join(body) + "\n</tbody></table></div>"


def beside(*blocks: str) -> str:
    """Next to each other where there is room."""
    return '<div class="beside">' + "\n".join(f"<div>{block}</div>" for block in blocks) + "</div>"


def listing(title: str, rows: Sequence[tuple[str, object]]) -> str:
    """Names and values."""
    body = "".join(f'<tr><td class="text">{html(k)}</td><td class="text">{html(v)}</td></tr>' for k, v in rows)
    head = f'<thead><tr><th class="text" colspan="2">{html(title)}</th></tr></thead>'
    return f'<table class="settings">{head}<tbody>{body}</tbody></table>'


def picture(name: str, title: str, plot: Plot, folder: Path, *caption: object) -> str:
    """Draw the plot: FOLDER/NAME.png, and in the page as it suits the reader's light or dark screen, and paper."""
    light, dark = draw(plot, LIGHT), draw(plot, DARK)
    write_bytes(folder / f"{name}.png", light)
    text = "".join(map(html, (Raw(f"<strong>{escape(title)}.</strong> "), *caption)))
    width, height = (int.from_bytes(light[i : i + 4], "big") for i in (16, 20))  # of the PNG's header
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{_data(dark)}">'
        f'<img src="{_data(light)}" width="{width}" height="{height}" alt="{escape(title)}"></picture>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def page(title: str, *blocks: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
