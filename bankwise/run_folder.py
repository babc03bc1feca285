"""A run is a folder: settings, plans, metrics, checkpoints, the exported file and the report."""

from __future__ import annotations

import json
from pathlib import Path

from search_space.errors import BankwiseError
from search_space.files import write_text


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

    def claim(self, settings: dict) -> None:
        """Make the folder this search's own; one that holds another search is an error."""
        if self.settings.exists():
            held = self.read(self.settings)
            wrong = sorted(key for key in held.keys() | settings if held.get(key) != settings.get(key))
            if wrong:
                raise BankwiseError(
                    f"{str(self.path)!r} holds a search with other settings ("
                    + ", ".join(f"{key}: {held.get(key)!r} there, {settings.get(key)!r} now" for key in wrong[:3])
                    + "); repeat those to resume it, or choose another folder"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(not _half(path) for path in self.path.iterdir())):
            raise BankwiseError(f"{str(self.path)!r} exists and is not a run folder; choose another folder")
        self.write(self.settings, settings)
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    def finished(self) -> dict | None:
        """The summary of a run that is through, else None."""
        return self.read(self.summary) if self.summary.exists() and self.model.exists() else None

    def write(self, path: Path, values: dict) -> None:
        write_text(path, json.dumps(values, indent=2) + "\n")

    def read(self, path: Path) -> dict:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BankwiseError(f"cannot read {str(path)!r}: {error.strerror}; is it a finished run?") from None
        except ValueError:
            raise BankwiseError(f"{str(path)!r} is damaged (not JSON); delete it and run again to resume") from None
        if not isinstance(values, dict):
            raise BankwiseError(f"{str(path)!r} is damaged (not a JSON object); delete it and run again to resume")
        return values

    def log(self, event: dict) -> None:
        """Append one line to metrics.jsonl."""
        try:
            with self.metrics.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(event) + "\n")
        except OSError as error:
            raise BankwiseError(f"cannot write {str(self.metrics)!r}: {error.strerror}") from None


def _half(path: Path) -> bool:
    """A file that a killed process had not yet given its name."""
    return path.name.startswith(".settings.json.")
