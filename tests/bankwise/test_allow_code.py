"""Code that a file or a run's folder names is imported with --allow-code alone, what the command line names always."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from bankwise.result import SearchResult
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files, import_object
from bankwise.search_space.plan import Plan

# Whoever imports it leaves a trace. It is the network tiny, and a family.
MODULE = """
from pathlib import Path

from bankwise.search_space.families import Binary
from bankwise.search_space.networks import build

Path(__file__).with_suffix(".imported").touch()


def make(num_classes, in_channels):
    return build("tiny", classes=num_classes, in_channels=in_channels)


class Own(Binary):
    family, letter = "own", "O"
"""
NETWORK, FAMILY = "foreign_code:make", "foreign_code:Own"


class Foreign:
    """A folder with the module and the run of somebody who used it."""

    def __init__(self, folder: Path):
        self.folder, self.run = folder, folder / "run"

    def imported(self) -> bool:
        trace = self.folder / "foreign_code.imported"
        found = trace.exists()
        trace.unlink(missing_ok=True)
        sys.modules.pop("foreign_code", None)
        return found

    def rename(self, path: Path, before: str, after: str) -> Path:
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        return path


@pytest.fixture
def foreign(copied, tmp_path, monkeypatch) -> Foreign:
    (tmp_path / "foreign_code.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    made = Foreign(tmp_path)
    for name in ("plan.yaml", "uniform.yaml"):
        made.rename(made.run / name, "network: tiny", f"network: {NETWORK}")
    for name in ("summary.json", "settings.json", "search/ledger.jsonl", "uniform/ledger.jsonl"):
        made.rename(made.run / name, '"network": "tiny"', f'"network": "{NETWORK}"')
    for model in (made.run / "checkpoints").glob("searched-*.bankwise"):
        model.unlink()  # what is exported is packed anew, by the plan
    yield made
    sys.modules.pop("foreign_code", None)


DIGITS = ("--data", "digits", "--limit", "300")


def commands(run: Path) -> dict[str, tuple[object, ...]]:
    """Every command that reads a plan, a model or a folder of a run."""
    return {
        "report": ("report", run),
        "plan": ("plan", "--plan-file", run / "plan.yaml"),
        "train": ("train", "--plan", run / "plan.yaml", *DIGITS, "--epochs", 1, "--out", run.parent / "trained"),
        "convert": ("convert", "--checkpoint", run, *DIGITS, "--budget", "5bpw", "--out", run.parent / "x.bankwise"),
        "export": ("export", run, "--output", run.parent / "y.bankwise"),
        "evaluate": ("evaluate", run.parent / "trained/model.bankwise", *DIGITS),
    }


def test_no_command_imports_what_a_folder_names_unasked(cli, foreign):
    for name, command in commands(foreign.run).items():
        if name == "evaluate":  # of the file that `train` wrote
            continue
        line = cli.bad(*command)
        assert f"'{NETWORK}' is code of your own" in line and "--allow-code" in line, name
        assert not foreign.imported(), name
    assert not (foreign.folder / "trained").exists() and not (foreign.folder / "x.bankwise").exists()


def test_every_command_imports_it_with_allow_code(cli, foreign):
    for name, command in commands(foreign.run).items():
        if name == "evaluate":
            assert f"'{NETWORK}' is code of your own" in cli.bad(*command) and not foreign.imported()
        outcome = cli.call(*command, "--allow-code")
        assert outcome.code == 0 and foreign.imported(), (name, outcome)


def test_what_the_command_line_names_is_imported(cli, foreign):
    plan = ("plan", "--plan-file", foreign.run / "plan.yaml", "--network")
    assert cli.call(*plan, NETWORK).code == 0 and foreign.imported()
    assert "code of your own" in cli.bad(*plan, "tiny") and not foreign.imported()
    convert = ("convert", NETWORK, "--checkpoint", foreign.run, *DIGITS, "--budget", "5bpw", "--out", "x.bankwise")
    assert cli.call(*convert).code == 0 and foreign.imported()


def test_families_of_plans_and_of_files_with_a_space(cli, foreign, copied):
    foreign.rename(foreign.run / "plan.yaml", f"network: {NETWORK}", "network: tiny")
    text = (foreign.run / "plan.yaml").read_text().splitlines()
    last = text[-1].partition("{")[0]
    (foreign.run / "plan.yaml").write_text("\n".join([*text[:-1], f'{last}{{family: "{FAMILY}"}}']))
    (foreign.folder / "space.yaml").write_text(f'last: ["{FAMILY}"]\n')
    for command in (
        ("plan", "--plan-file", foreign.run / "plan.yaml"),
        ("plan", "--network", "tiny", "--space", "space.yaml"),
        ("search", "--space", "space.yaml", "--budget", 1200, "--out", "searched"),
        ("nni", "init", "nni", "--space", "space.yaml", "--budget", 1200),
    ):
        line = cli.bad(*command)
        assert f"family '{FAMILY}' is code of your own" in line and "--allow-code" in line
        assert not foreign.imported()
    assert not (foreign.folder / "searched").exists() and not (foreign.folder / "nni").exists()
    for command in (
        ("plan", "--plan-file", foreign.run / "plan.yaml", "--allow-code"),
        ("plan", "--network", "tiny", "--space", "space.yaml", "--allow-code"),
        ("plan", "--network", "tiny", "--last", FAMILY),
    ):
        assert cli.call(*command).code == 0 and foreign.imported()


def test_a_search_goes_on_in_a_folder_that_names_other_code(cli, finished, foreign):
    """The settings are the command's own; a plan that somebody put there names a family of his."""
    shutil.copytree(finished[0], foreign.folder / "other")
    ledger = foreign.folder / "other/search/ledger.jsonl"
    lines = ledger.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if '"plan"' in line)
    line = json.loads(lines[number])
    line["plan"]["layers"] = dict.fromkeys(line["plan"]["layers"], {"family": FAMILY})
    lines[number] = json.dumps(line)
    ledger.write_text("\n".join(lines) + "\n")
    assert f"family '{FAMILY}' is code of your own" in cli.bad(*cli.search, "--out", ledger.parent.parent)
    assert not foreign.imported()


def test_an_nni_experiment_of_somebody_else(cli, foreign, monkeypatch):
    experiment = foreign.folder / "nni"
    init = ("nni", "init", experiment, "--data", "digits", "--limit", 200, "--budget", 1200, "--network")
    assert cli.call(*init, "tiny").code == 0 and not foreign.imported()
    foreign.rename(experiment / "bankwise.json", '"network": "tiny"', f'"network": "{NETWORK}"')
    assert "code of your own" in cli.bad("nni", "export", experiment) and not foreign.imported()
    assert "no finished trial" in cli.bad("nni", "export", experiment, "--allow-code") and foreign.imported()
    foreign.rename(experiment / "bankwise.json", NETWORK, "tiny")
    foreign.rename(experiment / "bankwise.json", '"code": null', '"code": "/somewhere"')
    assert "folder of code '/somewhere'" in cli.bad("nni", "export", experiment)
    assert "/somewhere" not in sys.path


def test_from_python_too(foreign):
    with pytest.raises(BankwiseError, match="allow_code=True"):
        SearchResult.read(foreign.run)
    with pytest.raises(BankwiseError, match="allow_code=True"):
        Plan.read(foreign.run / "plan.yaml")
    assert not foreign.imported()
    assert Plan.read(foreign.run / "plan.yaml", allow_code=True).network == NETWORK
    assert not foreign.imported()  # a plan is data: its network is imported where it is built
    assert SearchResult.read(foreign.run, allow_code=True).plot("bytes") is not None and foreign.imported()


def test_within_another_context_no_more_is_permitted(foreign):
    with code_in_files(False, [NETWORK, None]):
        assert callable(import_object("network", NETWORK))
        with code_in_files(True):
            assert callable(import_object("network", NETWORK))
            with pytest.raises(BankwiseError, match="family"):
                import_object("family", FAMILY)
        with code_in_files(False, [FAMILY]), pytest.raises(BankwiseError, match="network"):
            import_object("network", NETWORK)
    assert callable(import_object("family", FAMILY))
