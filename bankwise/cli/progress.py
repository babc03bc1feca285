"""How far a run is, on stderr: a bar with the time left on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bankwise.cli.output import say
from bankwise.cli.time_left import TimeLeft
from bankwise.deadline import clock
from bankwise.printable import printable
from bankwise.progress import DATA, NOTE
from bankwise.progress import Progress as Event

PLAIN_SECONDS = 5.0  # between two plain lines of one phase


class Display:
    """Called with every progress of a run; a context manager."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.time_left, self.last, self.phase = TimeLeft(), 0.0, ""
        self.total = 0
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
            console=self.console,
            transient=True,
        )
        self.task = None

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:  # elsewhere it was not started, and would end with an empty line
            self.bar.stop()

    def __call__(self, event: Event) -> None:
        if event.phase == NOTE:
            say(self.console, event.text)
            return
        seconds = self.time_left.told(time.monotonic(), event)
        if event.phase == DATA:
            for line in event.text.splitlines():
                say(self.console, f"data: {line}")
            return
        remaining = event.total - event.done + event.left
        self.total = max(self.total, remaining)
        done = self.total - remaining
        left = "" if seconds is None else f"{clock(seconds)} left"
        if self.console.is_terminal:
            if self.task is None:
                self.task = self.bar.add_task("", total=self.total, left="", text="")
            amount = f" {event.done}/{event.total}" if event.total else ""
            self.bar.update(
                self.task,
                completed=done,
                total=self.total,
                description=f"{event.phase}{amount}",
                left=left,
                text=printable(event.text),
            )
            return
        now = time.monotonic()
        if event.phase != self.phase or now - self.last >= PLAIN_SECONDS:
            self.phase, self.last = event.phase, now
            share = f" {event.done}/{event.total} epochs" if event.total else ""
            line = f"{event.phase}{share}: {event.text}" + (f", {left}" if left else "")
            print(printable(line), file=self.console.file, flush=True)


class Steps:
    """Layer after layer of a conversion: called with what is under way, how many are done, and of how many."""

    def __init__(self, console: Console | None = None):
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} layers"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Steps:
        if self.bar.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar.console.is_terminal:
            self.bar.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self.bar.console.is_terminal:
            if phase not in self.tasks:
                self.tasks[phase] = self.bar.add_task(printable(phase), total=total)
            self.bar.update(self.tasks[phase], completed=done)
