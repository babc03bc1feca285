"""What commands print: one JSON object, or tables."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bankwise.printable import printable
from bankwise.shown import metric_name, value_of

WIDEST = 10_000  # characters


def print_json(values: dict) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def print_csv(rows: Sequence[Mapping[str, object]]) -> None:
    """The rows with a line of their keys before; a key that a row lacks is an empty cell."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(sys.stdout, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def console() -> Console:
    """Stdout; as wide as a line needs where it is not a terminal, so that no table is cut in a file."""
    out = Console()
    return out if out.is_terminal else Console(width=160)


def tell_images(*lines: str) -> None:
    """Lines on the images of a run, on stderr: results alone are on stdout."""
    say(Console(stderr=True), *(f"data: {line}" for line in lines))


def say(screen: Console, *lines: object) -> None:
    """The lines as they are: never wrapped, nothing in them read as markup."""
    for line in lines:
        screen.print(Text(printable(line)), soft_wrap=True)


class LiteralTable(Table):
    """Its cells are shown as they are: rich would read "[bold]" as markup and ":boom:" as an emoji."""

    def add_row(self, *cells: object, style: str | None = None) -> None:  # type: ignore[override]
        texts = (cell if isinstance(cell, Text) else Text(printable(cell)) for cell in cells)
        super().add_row(*texts, style=style)


def table(title: str, *columns: str) -> LiteralTable:
    """Columns whose name ends with ":" are text, the others are numbers."""
    heading = Text(printable(title))
    look = {"title_justify": "left", "title_style": "bold", "header_style": "bold", "box": None, "pad_edge": False}
    made = LiteralTable(title=heading, **look)
    for column in columns:
        text = column.endswith(":")
        made.add_column(
            column.removesuffix(":"), justify="left" if text else "right", no_wrap=not text, overflow="fold"
        )
    return made


def print_table(made: Table, screen: Console, wide: bool = False) -> None:
    """The table; `wide`: as wide as it is, whatever the screen."""
    if wide:
        screen = Console(file=screen.file, width=Console(width=WIDEST).measure(made).maximum)
    screen.print(made)


def as_planned(summary: dict) -> str:
    """Whether the file has the bytes that were planned."""
    if summary["file_bytes"] == summary["planned_bytes"]:
        return "as planned"
    return f"although {summary['planned_bytes']:,} were planned"


def _over(measured: dict) -> str:
    """How many seeds a mean is over, and how many of them diverged."""
    diverged, seeds = len(measured.get("diverged", ())), len(measured["accuracies"])
    return f"{seeds} of {seeds + diverged} seeds, {diverged} diverged" if diverged else f"{seeds} seed(s)"


def results_table(summary: dict) -> LiteralTable:
    """The searched (or given) plan beside the best uniform plan and the uncompressed network."""
    metric = summary.get("metric", "accuracy")
    made = table(
        f"{summary['network']} on {summary['data']}, {metric_name(metric)} over {_over(summary)}",
        "network:", "file bytes", "paper bits", "validation", "test, of the file",
    )  # fmt: skip
    beaten = summary.get("found_by") == "uniform" != summary["strategy"]
    plan = "this plan: uniform, none searched was better" if beaten else "this plan"
    rows = [(plan, summary | {"bytes": summary["file_bytes"]})]
    rows += [("best uniform plan", summary["baseline_uniform"])] if summary["baseline_uniform"] else []
    for name, values in [*rows, ("uncompressed (float32)", summary["uncompressed"])]:
        made.add_row(
            f"{name} (over {_over(values)})" if "diverged" in values and values is not rows[0][1] else name,
            f"{values['bytes']:,}",
            f"{values['paper_bits']:,}" if "paper_bits" in values else "-",
            value_of(values["accuracy"], values.get("accuracy_spread"), metric),
            value_of(values["test_accuracy"], values.get("test_accuracy_spread"), metric),
        )
    return made


def budgets_table(summaries: Sequence[dict], front: Sequence[bool]) -> LiteralTable:
    """The result of each budget beside its best uniform plan, and each uncompressed network; `front`: no smaller file
    is as good."""
    metric = summaries[0]["metric"]
    made = table(
        f"{metric_name(metric)} of each budget", "budget:", "file bytes", "validation", "uniform", "test", "front:"
    )
    for summary, best in zip(summaries, front, strict=True):
        uniform = summary["baseline_uniform"] or {}
        made.add_row(
            summary["budget"],
            f"{summary['file_bytes']:,}",
            value_of(summary["accuracy"], summary.get("accuracy_spread"), metric),
            value_of(uniform.get("accuracy"), uniform.get("accuracy_spread"), metric),
            value_of(summary["test_accuracy"], summary.get("test_accuracy_spread"), metric),
            "yes" if best else "no",
        )
    for network, before in {summary["network"]: summary["uncompressed"] for summary in summaries}.items():
        made.add_row(
            f"float32 {network}",
            f"{before['bytes']:,}",
            value_of(before["accuracy"], before.get("accuracy_spread"), metric),
            "",
            value_of(before["test_accuracy"], before.get("test_accuracy_spread"), metric),
            "",
        )
    return made
