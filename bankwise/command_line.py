"""The command line: `bankwise plan | search | train | convert | export | evaluate | report | nni`.

Exit codes: 0 done, 2 bad input (one line on stderr), 3 infeasible budget (the same), 130 interrupted and resumable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import bankwise
from bankwise.cli.convert import convert
from bankwise.cli.evaluate import evaluate
from bankwise.cli.export import export
from bankwise.cli.nni import app as nni
from bankwise.cli.plan import plan
from bankwise.cli.report import report
from bankwise.cli.search import search
from bankwise.cli.train import train
from search_space.errors import BankwiseError

INTERRUPTED = 130
UsageError = typer.BadParameter.__base__  # click's class, or that of the copy that later releases of typer carry

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    help="Find, train and export the network that is worth most in a hard byte budget: for every layer the bank size, "
    "sub-channel dimension and kernel split of its binary basis.",
    epilog="Exit codes: 0 done, 2 bad input, 3 infeasible budget, 130 interrupted (the same command resumes).",
)
for command in (plan, search, train, convert, export, evaluate, report):
    app.command()(command)
app.add_typer(nni, name="nni")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bankwise {bankwise.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bankwise_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. A user's mistake is one line on stderr, never a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with typer.main.get_command(app).make_context("bankwise", arguments) as context:
            context.command.invoke(context)
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
    except OSError as error:
        where = f" {str(error.filename)!r}" if error.filename is not None else ""
        return _fail(f"error: cannot read or write{where}: {error.strerror or error}", 2)
    except MemoryError:
        return _fail("error: not enough memory; try a smaller network, --batch or --limit", 2)
    return 0


def _fail(line: str, code: int) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return code


def _named(arguments: list[str]) -> str:
    """The command that the arguments begin with, if they do."""
    names = [*(command.callback.__name__ for command in app.registered_commands), "nni"]
    return f"{arguments[0]} " if arguments and arguments[0] in names else ""
