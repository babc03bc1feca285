"""Objects of a job under way that Ray pickles with its experiment: they come back as themselves.

`tune.Tuner` writes its searcher, callbacks, stopper and scheduler to the experiment's folder and `tune.Tuner.restore`
reads them there. Those of a job hold open ends (its callbacks, its strategy) and keep their state elsewhere: what is
written is a name, and the call that restores the experiment has put its own object under that name before.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from search_space.errors import BankwiseError

_LIVE: dict[tuple[str, str], object] = {}


class Live:
    """A base that comes first; `name_in` is called once the object is made."""

    name: ClassVar[str]
    key: tuple[str, str]

    def name_in(self, folder: Path) -> None:
        self.key = (str(folder), type(self).__name__)
        _LIVE[self.key] = self

    def __reduce__(self) -> tuple:
        return _find, self.key


def _find(folder: str, kind: str) -> object:
    if (folder, kind) not in _LIVE:
        raise BankwiseError(f"the experiment below {folder!r} goes on by the search that began it: repeat its command")
    return _LIVE[folder, kind]


def forget(folder: Path) -> None:
    """Let go of the objects of a job that has ended."""
    for key in [key for key in _LIVE if key[0] == str(folder)]:
        del _LIVE[key]
