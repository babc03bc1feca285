"""What a kind of input is."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from random import Random


class Kind(ABC):
    """`write` makes a damaged or hostile input at a place, `read` reads it as a command does."""

    name: str
    seconds: float | None = None  # that a case may take, and the memory of its process; None: the usual
    megabytes: int | None = None

    @abstractmethod
    def write(self, place: Path, rng: Random) -> None:
        """Into the folder `place`, which is made anew."""

    @abstractmethod
    def read(self, place: Path) -> None:
        """Raises BankwiseError for what cannot be read; anything else that it raises is a fault."""

    @staticmethod
    def fresh(place: Path) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place
