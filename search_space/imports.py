"""Objects of a user's own, named as `package.module:Name`, and who may name them.

What a caller or a command line names is imported. Files and folders of runs are read under `code_in_files`: what they
name is imported only where the caller allows that, or named it as well.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from bankwise.search_space.errors import BankwiseError

T = TypeVar("T")
# Where code lies that is no user's: this project, the standard library, installed packages.
_HOME = Path(__file__).resolve().parents[1]
_NOT_USERS = (
    *(f"{_HOME / name}{os.sep}" for name in ("bankwise", "search_space", "strategies", "trainers")),
    *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")),
    "<",
)

_LONGEST = 300  # characters of a line
_permitted: ContextVar[frozenset[str] | None] = ContextVar("permitted", default=None)  # references; None: all


@contextmanager
def code_in_files(allowed: bool, named: Iterable[str | None] = ()) -> Iterator[None]:
    """Where files are read that may name code: all of it is imported if `allowed`, else what the caller `named`.

    Within another such context no more is imported than that one permits.
    """
    outer, mine = _permitted.get(), frozenset(name for name in named if name is not None)
    token = _permitted.set(outer if allowed else mine if outer is None else outer & mine)
    try:
        yield
    finally:
        _permitted.reset(token)


def check_permitted(kind: str, reference: str) -> None:
    """Raises BankwiseError where a file names the code `reference` and `code_in_files` does not permit it."""
    permitted = _permitted.get()
    if permitted is not None and reference not in permitted:
        raise BankwiseError(
            f"its {kind} {reference!r} is code of your own; allow_code=True (--allow-code) imports and runs it"
        )


def import_object(kind: str, reference: str, wanted: str = "class", right: str = "package.module:Name") -> object:
    """What `reference` names; modules of the current folder are found too.

    `kind` is what is named, such as "network"; `wanted` and `right` say in errors what it must be and how it is
    written.
    Raises BankwiseError where the module may not or cannot be imported, or has no such name.
    """
    check_permitted(kind, reference)
    return _imported(kind, reference, wanted, right)


def _imported(kind: str, reference: str, wanted: str = "class", right: str = "package.module:Name") -> object:
    module_name, _, path = reference.partition(":")
    _look_here()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module raises
        raise BankwiseError(
            f"{kind} {reference!r}: cannot import {module_name!r} ({error_line(error)}); expected {right}"
        ) from error
    try:
        return attrgetter(path)(module)
    except AttributeError:
        where = getattr(module, "__file__", "built in")
        raise BankwiseError(f"{kind} {reference!r}: {module_name!r} ({where}) has no {wanted} {path!r}") from None


def reference_of(kind: str, given: object) -> str:
    """The name by which what was given is found again: text as it is; of a function, a class or an object
    `module:Name`, looked for where it was made and in the program that runs.

    Raises BankwiseError where it has none, as a lambda, which nothing else could find.

    >>> import torch
    >>> reference_of("loss", torch.nn.functional.mse_loss), reference_of("loss", "mse")
    ('torch.nn.functional:mse_loss', 'mse')
    """
    if isinstance(given, str):
        return given
    if callable(given):
        module, path = getattr(given, "__module__", None), getattr(given, "__qualname__", None)
        if isinstance(module, str) and isinstance(path, str):
            with suppress(AttributeError):
                if attrgetter(path)(sys.modules.get(module)) is given:
                    return f"{module}:{path}"
        for name, value in vars(sys.modules["__main__"]).items():
            if value is given:
                return f"__main__:{name}"
    raise BankwiseError(
        f"{kind} {repr(given)[:_LONGEST]} has no name: give a function of a module or of the program itself, or its "
        "name as module:Name"
    )


def importable(module: str) -> bool:
    """Whether there is such a module; one that fails when it is imported is there."""
    _look_here()
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False
    except Exception:  # a package that fails
        return bool(module)


def _look_here() -> None:
    """Find modules of the current folder, as `python -m` does; a console script leaves it out."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def import_class(kind: str, reference: str, base: type[T]) -> type[T]:
    """The subclass of `base` that `reference` names, which a file may name too where this process has imported its
    module already. Raises BankwiseError for anything else."""
    if reference.partition(":")[0] not in sys.modules:
        check_permitted(kind, reference)
    found = _imported(kind, reference)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BankwiseError(f"{kind} {reference!r} is not a subclass of {base.__module__}.{base.__qualname__}")
    return found


def error_line(error: BaseException) -> str:
    """The exception's class and the first line of its text, cut where it is long."""
    line = f"{type(error).__name__}: {error}".partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def raised_at(error: BaseException) -> traceback.FrameSummary | None:
    """What raised it: the last frame that is neither installed nor of this project, else the very last."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if not frame.filename.startswith(_NOT_USERS)]
    return next(reversed(foreign or frames), None)


def error_place(error: BaseException) -> str:
    """The file and line of that."""
    raised = raised_at(error)
    return "no place is known" if raised is None else f"{raised.filename}, line {raised.lineno}"
