"""Names and paths on the screen: literally, on one line, in any encoding and width."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from bankwise.cli.output import say, table
from bankwise.cli.progress import Display, Steps
from bankwise.printable import printable
from bankwise.progress import Progress

AWKWARD = ["[/b]", "[bold]x", ":boom:", "$\\frac{$", "<b>&", "{x}", "日本"]


def screen(**options) -> Console:
    return Console(file=io.StringIO(), width=160, **options)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *((name, name) for name in AWKWARD),
        ("new\nline", "new\\nline"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_tables_lines_and_figures_show_names_literally(text: str, shown: str):
    from bankwise.report.style import label

    assert printable(text) == shown
    out = screen()
    made = table(text, "layer:", "bytes")
    made.add_row(text, "1")
    out.print(made)
    say(out, f"model {text}/model.bankwise")
    title, _, row, line, end = out.file.getvalue().split("\n")
    assert (title.strip(), row.split()[:-1], line, end) == (shown, shown.split(), f"model {shown}/model.bankwise", "")
    assert label(text) == shown.replace("$", r"\$")


@pytest.mark.parametrize("name", AWKWARD)
def test_progress_shows_names_literally(name: str):
    for out in (screen(), screen(force_terminal=True)):
        with Display(out) as display:
            display(Progress(phase=name, done=1, total=2, text=f"trial failed: {name}"))
            display.bar.refresh()
        with Steps(out) as steps:
            steps(name, 1, 2)
            steps.bar.refresh()
        shown = out.file.getvalue()
        assert name in shown and f"trial failed: {name}" in shown


@pytest.mark.parametrize(
    "surroundings", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"COLUMNS": "40"}]
)
def test_a_path_of_any_bytes_in_any_surroundings(tmp_path, surroundings):
    folder = os.fsencode(tmp_path / "é [b] -x") + b"\xff"
    os.mkdir(folder)
    command = [sys.executable, "-m", "bankwise", "plan", "--budget", "900", "--out", os.fsdecode(folder) + "/plan.yaml"]
    environment = {**os.environ, "TERM": "dumb", **surroundings}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=500)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"[b] -x\\udcff/plan.yaml" in done.stdout
    assert os.listdir(folder) == [b"plan.yaml"]
