from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import bankwise
from bankwise.command_line import app
from bankwise.searching import SearchSettings

COMMANDS = ("plan", "search", "train", "export", "evaluate", "report", "show", "list")


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
    for name in ("strategy", "engine", "trials", "uniform_trials", "finalists", "finalist_seeds", "seeds",
                 "trial_epochs", "architecture_epochs"):  # fmt: skip
        assert parameters[name].default == getattr(settings, name), name
    assert parameters["seed"].default is None and settings.seed == 0  # the recipe file's, else that
    recipe = settings.recipe.to_dict()
    for name in recipe.keys() & parameters.keys() - {"seed", "threads", "augment", "class_weights"}:
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
        (["plan", "--classes", "0"], ["classes=0", "at least 1"]),
        (["search", "--budget", "1KiB", "--out", "x", "--distill", "2"], ["distill", "2.0", "0 to 1"]),
        (["search", "--budget", "1KiB", "--out", "x", "--trials", "0"], ["trials=0", "at least 1"]),
        (["search", "--budget", "1KiB", "--out", "x", "--seed", "-1"], ["seed=-1", "at least 0"]),
        (["search", "--budget", "1KiB", "--out", "x", "--seed", 2**32], ["seed=4294967296", "at most 4,294,967,295"]),
        (["search", "--budget", "1KiB", "--out", "x", "--seed", 10**20], ["seed=1000", "at most 4,294,967,295"]),
        (["search", "--budget", "1KiB", "--out", "x", "--threads", 100_000], ["threads is 100000", "from 1 to 1,024"]),
        (["search", "--budget", "1KiB", "--out", "x", "--batch", 2**63], ["batch is 9223", "2,147,483,647"]),
        (["search", "--budget", "1KiB", "--out", "x", "--trials", 10**20], ["trials=1000", "at most 2,147,483,647"]),
        (["search", "--budget", "1KiB", "--out", "x", "--engine", "ray", "--cpus", "nan"], ["cpus=nan", "above 0"]),
        (["search", "--budget", "1KiB", "--out", "x", "--engine", "ray", "--gpus", "inf"], ["gpus=inf", "at most"]),
        (["search", "--budget", "1KiB", "--out", "x", "--lr", "nan"], ["lr", "nan", "finite"]),
        (["nni", "init", "x", "--budget", "1KiB", "--concurrency", 10**20], ["concurrency=1000", "at most"]),
        (["nni", "init", "x", "--budget", "1KiB", "--trial-epochs", 0], ["trial_epochs=0", "at least 1"]),
        (["nni", "init", "x", "--trials", "many"], ["--trials", "bankwise nni init --help"]),
        (["plan", "--classes", 2**63], ["classes=9223372036854775808", "at most 2,147,483,647"]),
        (["plan", "--classes", "9" * 5000], ["--classes", "exceeded"]),
        (["plan", "--input", "1x8x9223372036854775807"], ["width=9223372036854775807", "at most 2,147,483,647"]),
        (["convert", "tiny", "--budget", "1KiB", "--classes", 0], ["classes=0", "at least 1"]),
        (["evaluate"], ["Missing argument"]),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(arguments: list[str], words: list[str], cli):
    line = cli.bad(*arguments)
    assert all(word in line for word in words), line


@pytest.mark.parametrize("options", [["--help"], ["plan"], ["plan", "--json"]])
def test_a_reader_that_went_away_or_a_closed_stdout_is_no_error(options: list[str]):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bankwise", *options]
    for how in ({"stdout": writer}, {"preexec_fn": lambda: os.close(1)}):
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=500, **how)
        assert (done.returncode, done.stderr) == (0, "")
    os.close(writer)


def test_what_torch_cannot_allocate_is_one_line(cli, monkeypatch: pytest.MonkeyPatch):
    def failing(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 1 bytes.")

    monkeypatch.setattr("bankwise.planning.plan", failing)
    assert "not enough memory" in cli.bad("plan")


def test_python_m_bankwise_gives_the_exit_code(cli):
    process = cli.start("plan", "--budget", "10")
    out, err = process.communicate(timeout=500)
    assert (process.returncode, out, err.count("\n")) == (3, "", 1)


def test_a_reader_that_goes_away_is_no_error(cli):
    with cli.start("plan", "--network", "resnet56", "--data", "cifar10", "--json") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


LATE = """
from torch import nn
class Net(nn.Sequential):
    steps = 0
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))
    def forward(self, x):
        Net.steps += 1
        if Net.steps > 20:
            raise TypeError("too late\\nfor anyone")
        return super().forward(x)
"""


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_user_s_code_raises_is_one_line_that_says_where(debug, cli, tmp_path, monkeypatch):
    (tmp_path / f"late_{debug}.py").write_text(LATE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    outcome = cli.call(
        "search", "--network", f"late_{debug}:Net", "--budget", "20bpw", "--epochs", "20", "--out", "run",
        *["--debug"][:debug],
    )  # fmt: skip
    place = tmp_path / f"late_{debug}.py"
    line = outcome.err.splitlines()[-1]
    assert outcome.code == 2
    assert line == f"error: TypeError: too late ({place}, line 10); --debug shows the way there"
    told = [line for line in outcome.err.splitlines() if not line.startswith("data: ")]
    assert ("Traceback" in outcome.err) == debug and (debug or told == [line])


@pytest.mark.parametrize("words", [["search"], ["nni", "init"], ["plan"], []])
def test_h_is_help(words, cli):
    short, long = cli.call(*words, "-h"), cli.call(*words, "--help")
    assert short.code == 0 and short == long and "Usage: bankwise" in short.out


@pytest.mark.parametrize(
    ("words", "last", "found"), [("bankwise ev", 1, "evaluate"), ("bankwise search --wor", 2, "--workers")]
)
def test_a_shell_is_told_how_a_line_may_go_on(words, last, found):
    shell = {"_BANKWISE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(last)}
    result = subprocess.run([sys.executable, "-m", "bankwise"], env=os.environ | shell, capture_output=True, text=True)
    assert (result.returncode, result.stdout.split(), result.stderr) == (0, [found], "")


def test_completion_is_installed(tmp_path):
    typed = f"{sys.executable} -m bankwise --install-completion; exit $?"  # the shell stays: it is looked for above
    subprocess.run(["bash", "-c", typed], env=os.environ | {"HOME": str(tmp_path)}, check=True, capture_output=True)
    assert "_BANKWISE_COMPLETE" in (tmp_path / ".bash_completions" / "bankwise.sh").read_text()
