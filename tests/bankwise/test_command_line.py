from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

import bankwise
from bankwise.command_line import app
from bankwise.searching import SearchSettings

COMMANDS = ("plan", "search", "train", "export", "evaluate", "report")


def test_the_help_lists_every_command_and_imports_no_torch():
    code = (
        "import sys; from bankwise.command_line import main; code = main(['--help']);"
        "assert not {'torch', 'numpy', 'scipy', 'optuna', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f" {name} " in result.stdout for name in COMMANDS)


def test_the_version_is_the_package_s(cli):
    pyproject = Path(bankwise.__file__).parents[1] / "pyproject.toml"
    assert cli.call("--version").out == f"bankwise {bankwise.__version__}\n"
    assert f'version = "{bankwise.__version__}"' in pyproject.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented(name: str, cli):
    command = typer.main.get_command(app).commands[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not parameter.help] == []
    assert cli.call(name, "--help").code == 0


def test_the_defaults_are_those_of_a_search_from_python():
    settings, parameters = SearchSettings(), {
        parameter.name: parameter for parameter in typer.main.get_command(app).commands["search"].params
    }  # fmt: skip
    for name in ("strategy", "engine", "trials", "uniform_trials", "finalists", "finalist_seeds", "seeds", "seed",
                 "trial_epochs", "width_epochs"):  # fmt: skip
        assert parameters[name].default == getattr(settings, name), name
    recipe = settings.recipe.to_dict()
    for name in recipe.keys() & parameters.keys() - {"seed", "threads", "augment"}:
        assert parameters[name].default is None and parameters[name].help.endswith(f"Default: {recipe[name]}."), name


def test_without_a_command_the_help_is_shown(cli):
    outcome = cli.call()
    assert outcome.code == 0 and "search" in outcome.out and outcome.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serch"], ["serch", "search"]),
        (["search", "--bugdet", "1KiB"], ["--bugdet", "--budget", "bankwise search --help"]),
        (["search"], ["Missing option", "--budget"]),
        (["search", "--out"], ["--out", "argument"]),
        (["plan", "--classes", "many"], ["--classes", "integer"]),
        (["plan", "--classes", "0"], ["--classes", "0"]),
        (["search", "--budget", "1KiB", "--out", "x", "--distill", "2"], ["distill", "2.0", "0 to 1"]),
        (["search", "--budget", "1KiB", "--out", "x", "--trials", "0"], ["trials=0", "at least 1"]),
        (["search", "--budget", "1KiB", "--out", "x", "--seed", "-1"], ["seed", "-1"]),
        (["evaluate"], ["Missing argument"]),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(arguments: list[str], words: list[str], cli):
    line = cli.bad(*arguments)
    assert all(word in line for word in words), line


def test_python_m_bankwise_gives_the_exit_code(cli):
    process = cli.start("plan", "--budget", "10")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (3, "", 1)


def test_a_reader_that_goes_away_is_no_error(cli):
    with cli.start("plan", "--network", "resnet56", "--data", "cifar10", "--json") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
