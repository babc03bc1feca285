"""A run is a folder: settings, plans, metrics, checkpoints, the exported file and the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.files import write_bytes, write_text
from bankwise.search_space.locks import alone_in, is_left_by_lock
from bankwise.search_space.strict import parse_json
from bankwise.trainers.identity import differences
from bankwise.trainers.store import check_metrics

MORE = ("trials", "uniform_trials", "time", "patience")  # settings that a run may be given more of
UNLIMITED = ("time", "patience")  # of these, None is more than any
FULL = re.compile(r"(searched|uniform)-\d|(search|uniform)-finalist-")  # files of full trainings


class RunFolder:
    """Paths and small files of a run; every one of them is written whole or not at all."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.model = self.path / "model.bankwise"
        self.plan = self.path / "plan.yaml"
        self.uniform_plan = self.path / "uniform.yaml"
        self.summary = self.path / "summary.json"
        self.settings = self.path / "settings.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self._logged: set[str] | None = None

    @classmethod
    def of_model(cls, path: Path) -> RunFolder | None:
        """The run, finished or under way, whose model lies at `path`; None where that is a file like any other."""
        folder = cls(path.parent)
        return folder if path.name == folder.model.name and folder.settings.exists() else None

    def keeps(self, path: Path) -> bool:
        """Whether `path` is the run's folder, a file of its own that no export gives back, or lies where its trials and
        trainings do."""
        kept = (self.path, self.plan, self.uniform_plan, self.summary, self.settings, self.metrics)
        inside = (self.checkpoints, self.path / "search", self.path / "uniform")
        written = path.resolve()
        return any(written == one.resolve() for one in kept) or any(
            one.resolve() in (written, *written.parents) for one in inside
        )

    @classmethod
    def that_keeps(cls, path: Path) -> RunFolder | None:
        """The run, finished or under way, of which `path` is a part that it keeps."""
        around = (cls(folder) for folder in path.resolve().parents)
        return next((run for run in around if run.settings.exists() and run.keeps(path)), None)

    @contextmanager
    def claimed(self, settings: dict[str, Any]) -> Iterator[RunFolder]:
        """Make the folder this run's own, for one process at a time. What fails before anything was trained leaves the
        folder to others.

        Raises BankwiseError for a folder that holds a run of other settings, something else, or is in use.
        """
        self.check(settings)
        with alone_in(self.path):
            self.check(settings)  # another process may have begun a run in the meantime
            if self.grows(settings):
                self._reopen()
            self.write(self.settings, settings)
            self.checkpoints.mkdir(exist_ok=True)
            try:
                yield self
            except BaseException:
                if all(path.suffix == ".diverged" for path in self.checkpoints.iterdir()):
                    self.settings.unlink()
                    shutil.rmtree(self.checkpoints)
                raise

    def take_uncompressed(self, other: RunFolder) -> None:
        """The uncompressed networks of another run, where this one has none of its own. The folder is claimed."""
        for checkpoint in other.checkpoints.glob("uncompressed-*.pt"):
            if not (self.checkpoints / checkpoint.name).exists():
                write_bytes(self.checkpoints / checkpoint.name, checkpoint.read_bytes())

    def _reopen(self) -> None:
        """Make a run go on with more trials. Its full trainings are of the plans that were best without them."""
        self.summary.unlink(missing_ok=True)
        for path in self.checkpoints.iterdir():
            if FULL.match(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()  # a folder is what Ray left of a training
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(self.metrics, "".join(line for line in lines if '"phase": "final"' not in line))

    @contextmanager
    def converted_into(self) -> Iterator[RunFolder]:
        """Make the folder that of a conversion, for one process at a time.

        Raises BankwiseError for a folder that holds anything but a conversion, or is in use.
        """
        self.check_converted()
        with alone_in(self.path):
            self.check_converted()
            yield self

    def check_converted(self) -> None:
        """BankwiseError where the folder holds anything but a conversion."""
        files = {file.name for file in (self.model, self.plan, self.summary)} | {"report.html", "plots"}
        if not self.path.exists():
            return
        if not self.path.is_dir() or any(
            not (path.name in files or is_left_by_lock(path)) for path in self.path.iterdir()
        ):
            raise BankwiseError(f"{str(self.path)!r} exists and is not the folder of a conversion; choose another one")

    def check(self, settings: dict[str, Any]) -> None:
        """BankwiseError where the folder holds a run of other settings, or something else."""
        if self.settings.exists():
            there, now = self.read(self.settings), json.loads(json.dumps(settings))
            wrong = list(differences(there | self._changed(there, now), now))
            if wrong:
                raise BankwiseError(
                    f"{str(self.path)!r} holds a run with other settings ({', '.join(wrong[:4])}); repeat those to "
                    "resume it, or choose another folder"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(not _begun(path) for path in self.path.iterdir())):
            raise BankwiseError(f"{str(self.path)!r} exists and is not a run folder; choose another folder")

    def grows(self, settings: dict[str, Any]) -> bool:
        """Whether the folder holds a run of fewer trials, and of otherwise these settings (`check`)."""
        return self.settings.exists() and bool(self._changed(self.read(self.settings), settings))

    def _changed(self, there: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """What `now` may ask otherwise than was recorded: more, and any time limit and patience of a search that goes
        on."""
        found = _grown(there, now)
        if self.finished() and not any(name in found for name in MORE if name not in UNLIMITED):
            return found
        return found | {name: now.get(name) for name in UNLIMITED if there.get(name) != now.get(name)}

    def missing(self, what: str) -> str:
        """Why the folder lacks what a finished run has, and what to do: `what` a folder of another kind is told."""
        if self.settings.exists():
            return "repeat its command to finish it"
        runs = sorted(path.parent.name for path in self.path.glob(f"*/{self.settings.name}"))
        return f"it is the folder of {', '.join(runs)}: name what is in it" if runs else what

    def finished(self) -> bool:
        return self.summary.exists() and self.model.exists()

    def write(self, path: Path, values: dict[str, Any]) -> None:
        write_text(path, json.dumps(values, indent=2) + "\n")

    def read(self, path: Path) -> dict[str, Any]:
        try:
            text = path.read_bytes()
        except OSError as error:
            hint = self.missing("is it a finished run?")
            raise BankwiseError(f"cannot read {str(path)!r}: {error.strerror}; {hint}") from None
        try:
            values = parse_json(text, "it")
            if not isinstance(values, dict):
                raise BankwiseError("it is not a JSON object")
        except BankwiseError as error:
            raise BankwiseError(f"{str(path)!r} is damaged ({error}); delete it and run again to resume") from None
        return values

    def finalists(self, phase: str) -> Path:
        """What names the plans of a phase's trials that were trained in full, by the codes of their layers, the best
        first."""
        return self.path / phase / "finalists.json"

    def measured(self, path: Path) -> dict[str, Any]:
        """The metrics of a full training, as LABEL.json holds them."""
        values = self.read(path)
        try:
            check_metrics(values)
        except BankwiseError as error:
            raise BankwiseError(f"{str(path)!r} is damaged ({error}); delete it and run again to resume") from None
        return values

    def log(self, key: str, event: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl, unless a line of that key is there: a resumed run may log again."""
        try:
            if self._logged is None:
                self._logged = self._keys()
            if key in self._logged:
                return
            with self.metrics.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": key, **event}) + "\n")
        except OSError as error:
            raise BankwiseError(f"cannot write {str(self.metrics)!r}: {error.strerror}") from None
        self._logged.add(key)

    def _keys(self) -> set[str]:
        """Keys of the lines that are there; one that a killed process wrote by half is cut off."""
        if not self.metrics.exists():
            return set()
        text = self.metrics.read_bytes().decode("utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(self.metrics, whole)
        keys = set()
        for line in whole.splitlines():
            try:
                keys.add(str(parse_json(line.encode(), "line")["key"]))
            except (BankwiseError, KeyError, TypeError):
                raise BankwiseError(f"{str(self.metrics)!r} is damaged (line {short(line)}); delete it") from None
        return keys


def _grown(there: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What `now` asks more of than was recorded."""
    found = {}
    for name in MORE:
        old, new = there.get(name), now.get(name)
        more = isinstance(old, int | float) and isinstance(new, int | float) and old < new
        if more or (name in UNLIMITED and old is not None and new is None):
            found[name] = new
    return found


def _begun(path: Path) -> bool:
    """What a process leaves that was killed before it wrote the settings."""
    return path.name == "checkpoints" or is_left_by_lock(path)
