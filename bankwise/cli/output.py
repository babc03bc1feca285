"""What commands print: one JSON object, or tables."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table


def print_json(values: dict) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def console() -> Console:
    """Stdout; as wide as a line needs where it is not a terminal, so that no table is cut in a file."""
    out = Console()
    return out if out.is_terminal else Console(width=160)


def table(title: str, *columns: str) -> Table:
    """Columns whose name ends with ":" are text, the others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        text = column.endswith(":")
        made.add_column(column.removesuffix(":"), justify="left" if text else "right", no_wrap=not text)
    return made


def percent(value: float | None, spread: float | None = None) -> str:
    """An accuracy in percent, with the spread over the seeds."""
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" + ("" if spread is None else f" ± {100 * spread:.2f}")


def results_table(summary: dict) -> Table:
    """The searched (or given) plan beside the best uniform plan and the uncompressed network."""
    made = table(
        f"{summary['network']} on {summary['data']}, accuracy over {len(summary['accuracies'])} seed(s)",
        "network:", "file bytes", "paper bits", "validation accuracy", "test accuracy of the file",
    )  # fmt: skip
    beaten = summary.get("found_by") == "uniform" != summary["strategy"]
    plan = "this plan: uniform, none searched was better" if beaten else "this plan"
    rows = [(plan, summary | {"bytes": summary["file_bytes"]})]
    rows += [("best uniform plan", summary["baseline_uniform"])] if summary["baseline_uniform"] else []
    for name, values in [*rows, ("uncompressed (float32)", summary["uncompressed"])]:
        made.add_row(
            name,
            f"{values['bytes']:,}",
            f"{values['paper_bits']:,}" if "paper_bits" in values else "-",
            percent(values["accuracy"], values.get("accuracy_spread")),
            percent(values["test_accuracy"], values.get("test_accuracy_spread")),
        )
    return made
