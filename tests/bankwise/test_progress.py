from __future__ import annotations

import io

from rich.console import Console

from bankwise.cli import progress
from bankwise.progress import DATA, Meter, Progress
from bankwise.trainers.data import load_data
from bankwise.trainers.recipe import Recipe


def test_plain_lines_are_few_but_one_a_phase(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now) * 0.01)
    out = io.StringIO()
    with progress.Display(Console(file=out)) as display:
        for phase, left in (("search", 20), ("final", 0)):
            for done in range(1, 21):
                display(Progress(phase, done, 20, f"epoch {done}", {"final": left}))
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["search", "final"]
    assert lines[0] == "search 1/20 epochs: epoch 1" and lines[1].endswith("left")


def test_a_terminal_shows_a_bar_with_phase_and_time_left():
    out = io.StringIO()
    with progress.Display(Console(file=out, force_terminal=True, width=100)) as display:
        for done in range(5):
            display(Progress("search", done, 10, "accuracy 0.5", {"final": 10}))
    assert "search 4/10" in out.getvalue() and " left" in out.getvalue() and "20%" in out.getvalue()


def test_the_threads_of_the_recipe_are_told():
    told = []
    Meter({DATA: 0}, told.append).data(load_data("digits", limit=100), Recipe(threads=3, device="cpu"))
    assert told[0].text.splitlines()[-1] == "device cpu, 3 threads"


def test_clock():
    assert [progress.clock(seconds) for seconds in (0, 61.4, 3723)] == ["0:00", "1:01", "1:02:03"]
