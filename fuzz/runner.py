"""Cases run in forked processes, watched from outside: a time limit, a memory limit, and what became of each."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from bankwise.search_space.errors import BankwiseError
from fuzz.kinds.kind import Kind

SECONDS = 20.0  # a case may take
MEGABYTES = 1024  # the cases of a process may take, beyond what it begins with
BATCH = 200  # cases of a process
LONGEST = 2000  # characters of a line
ROOM = 16 * 2**30  # of addresses beyond those that are there, so that no case takes the machine's memory


@dataclass
class Outcome:
    """What became of the cases of one kind."""

    kind: str
    cases: int = 0
    accepted: int = 0
    lines: int = 0
    peak: int = 0  # MB
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.tracebacks or self.hangs or self.large)


def run(kind: Kind, seed: int, folder: Path, seconds: float = float("inf"), cases: int = 10**9) -> Outcome:
    """Cases number 0 and on of the seed, until the time or the number is through. A bad one is kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome, end = Outcome(kind.name), time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    while outcome.cases < cases and time.monotonic() < end:
        mine, theirs = context.Pipe()
        last = min(outcome.cases + BATCH, cases)
        arguments = (kind, seed, folder, outcome.cases, last, end, theirs)
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        try:
            _watch(kind, outcome, mine, folder)
        finally:
            process.kill()
            process.join()
            mine.close()
            shutil.rmtree(_place(kind, folder, outcome.cases), ignore_errors=True)  # which was begun, and is again
    return outcome


def _watch(kind: Kind, outcome: Outcome, reports: Connection, folder: Path) -> None:
    """Until the process is through, or a case of it ends the process. Places of good cases are removed."""
    while True:
        place, what = _place(kind, folder, outcome.cases), "hang"
        if reports.poll(kind.seconds or SECONDS):
            try:
                report = reports.recv()
            except EOFError:  # the process is gone, as one is that was killed for its memory
                report = ("died", "", 0)
            if report is None:
                return
            what, text, peak = report
            outcome.peak = max(outcome.peak, peak)
        outcome.cases += 1
        outcome.accepted += what == "accepted"
        outcome.lines += what == "line"
        if what == "traceback":
            outcome.tracebacks.append(f"{place}\n{text}")
        if what == "hang":
            outcome.hangs.append(str(place))
            return
        if what == "died" or peak > (kind.megabytes or MEGABYTES):
            outcome.large.append(f"{place} ({peak} MB)")
            return
        if what != "traceback":
            shutil.rmtree(place, ignore_errors=True)


def _place(kind: Kind, folder: Path, number: int) -> Path:
    return folder / f"{kind.name.replace(' ', '-')}-{number}"


def _work(kind: Kind, seed: int, folder: Path, first: int, last: int, end: float, reports: Connection) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit = int(status["VmSize"].split()[0]) * 1024 + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = _peak()  # of what was forked, too
    for number in range(first, last):
        if time.monotonic() > end:
            break
        what, text = _case(kind, Random(f"{kind.name} {seed} {number}"), _place(kind, folder, number))
        reports.send((what, text, _peak() - before))
    reports.send(None)


def _peak() -> int:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _case(kind: Kind, rng: Random, place: Path) -> tuple[str, str]:
    kind.write(place, rng)
    try:
        kind.read(place)
    except BankwiseError as error:
        text = str(error)
        if "\n" in text or len(text) > LONGEST:
            return "traceback", f"not one short line: {text[:LONGEST]!r}"
        return "line", text
    except Exception:
        return "traceback", traceback.format_exc()
    return "accepted", ""
