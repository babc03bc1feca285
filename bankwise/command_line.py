"""The command line: `bankwise plan | search | train | convert | export | evaluate | report | show | list | nni`.

Exit codes: 0 done, 2 bad input (one line on stderr), 3 infeasible budget (the same), 130 interrupted and resumable.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Annotated

import typer

import bankwise
from bankwise.cli.convert import convert
from bankwise.cli.engines import WithEngineOptions
from bankwise.cli.evaluate import evaluate
from bankwise.cli.export import export
from bankwise.cli.help import Filled
from bankwise.cli.nni import app as nni
from bankwise.cli.plan import plan
from bankwise.cli.report import report
from bankwise.cli.search import search
from bankwise.cli.show import list_runs, show
from bankwise.cli.train import train
from bankwise.printable import printable
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import error_line, error_place

INTERRUPTED = 130
COMPLETING = "_BANKWISE_COMPLETE"  # set by a shell that asks how a line may go on
NO_MEMORY = "error: not enough memory; try a smaller network, --batch or --limit"
UsageError = typer.BadParameter.__base__  # click's class, or that of the copy that later releases of typer carry

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    help="Find, train and export the network that is worth most in a hard byte budget: for every layer the bank size, "
    "sub-channel dimension and kernel split of its binary basis.",
    epilog="Exit codes: 0 done, 2 bad input, 3 infeasible budget, 130 interrupted (the same command resumes).",
)
for command in (plan, search, train, convert, export, evaluate, report, show):
    app.command(cls=WithEngineOptions if command is search else Filled)(command)
app.command("list", cls=Filled)(list_runs)
app.add_typer(nni, name="nni")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bankwise {bankwise.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bankwise_command(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from, by its traceback.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Whatever goes wrong is one line on stderr; `--debug`, before or behind the
    command, adds the traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [*["--debug"][:debug], *(one for one in arguments if one != "--debug")]
    _open_streams()
    if COMPLETING in os.environ:
        typer.main.get_command(app).main(arguments, prog_name="bankwise")  # answers, and ends the process
    try:
        with (
            _ended_as_interrupted(),
            _tracebacks(debug),
            typer.main.get_command(app).make_context("bankwise", arguments) as context,
        ):
            copy_context().run(context.command.invoke, context)  # what a command sets for itself ends with it
        sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; what is finished is kept: run the same command again to resume", INTERRUPTED)
    except BankwiseError as error:
        return _fail(f"error: {error}", error.exit_code)
    except UsageError as error:  # an unknown option, a missing or ill-typed value
        return _fail(f"error: {error.format_message()} (see bankwise {_named(arguments)}--help)", 2)
    except BrokenPipeError:  # the reader of the output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:  # rich ends the process so, where the reader of a table went away
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return 0
    except OSError as error:
        where = f" {str(error.filename)!r}" if error.filename is not None else ""
        return _fail(f"error: cannot read or write{where}: {error.strerror or error}", 2)
    except MemoryError:
        return _fail(NO_MEMORY, 2)
    except Exception as error:  # whatever the code of a user's network, data or strategy raises
        if any(words in str(error).lower() for words in ("out of memory", "allocate memory", "not enough memory")):
            return _fail(NO_MEMORY, 2)  # a RuntimeError of torch's
        return _fail(f"error: {error_line(error)} ({error_place(error)}); --debug shows the way there", 2)
    return 0


@contextmanager
def _tracebacks(shown: bool) -> Iterator[None]:
    """The traceback of an error that passes, where it is to be shown."""
    try:
        yield
    except Exception as error:
        if shown and not isinstance(error, typer.Exit):
            traceback.print_exc()
        raise


@contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM, as batch systems send it, ends a command as Ctrl-C does: nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open_streams() -> None:
    """Where the caller closed stdin, stdout or stderr nothing is read or written, and no file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an encoding such as ASCII lacks most letters
            stream.reconfigure(errors="backslashreplace")


def _fail(line: str, code: int) -> int:
    print(printable(" ".join(line.split())), file=sys.stderr)
    return code


def _named(arguments: list[str]) -> str:
    """The command that the arguments begin with, if they do."""
    known, words = typer.main.get_command(app), ""
    for word in (one for one in arguments if one != "--debug"):
        known = getattr(known, "commands", {}).get(word)
        if known is None:
            break
        words += f"{word} "
    return words
