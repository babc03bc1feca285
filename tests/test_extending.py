"""The examples of docs/extending.md, to the letter, as a user's own classes, `module:Name`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bankwise.command_line import main
from bankwise.search_space.plan import Plan

PAGE = (Path(__file__).resolve().parents[1] / "docs/extending.md").read_text(encoding="utf-8")
BLOCKS = [block.partition("```")[0] for block in PAGE.split("```python\n")[1:]]
NAMES = {"Ternary": "family", "Climb": "strategy", "Batch": "engine", "Stripes": "data", "Raw": "target"}
QUICK = (
    "--network tiny --budget 10KiB --trials 2 --uniform-trials 1 --finalists 1 --finalist-seeds 1 --seeds 1 --epochs 1 "
    "--trial-epochs 1 --json"
).split()


def call(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def bad(*arguments: object) -> str:
    code, out, err = call(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err


@pytest.fixture
def modules(tmp_path, monkeypatch) -> Path:
    """A folder with a module for each example, by its kind."""
    for name, kind in NAMES.items():
        (block,) = (block for block in BLOCKS if re.search(rf"^class {name}\(", block, re.M))
        (tmp_path / f"page_{kind}.py").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for kind in NAMES.values():
        sys.modules.pop(f"page_{kind}", None)


def test_every_example_of_the_page_is_tried():
    assert len(BLOCKS) == len(NAMES)


def test_a_search_with_all_of_them(modules):
    family = "page_family:Ternary"
    own = ["--hidden", family, "--strategy", "page_strategy:Climb", "--data", "page_data:Stripes"]
    run = modules / "run"
    search = ["search", *QUICK, *own, "--engine", "page_engine:Batch", "--batch-size", 2, "--out", run]
    code, out, err = call(*search)
    assert code == 0, err
    summary = json.loads(out)
    assert summary["class_names"] == ["horizontal", "vertical"] and summary["strategy"] == "page_strategy:Climb"
    assert len((run / "search/ledger.jsonl").read_text().splitlines()) > 4
    plan = Plan.read(run / "plan.yaml", allow_code=True)
    hidden = list(plan.layers.values())[1:-1]
    assert {choice.family for choice in hidden} == {"ternary"}
    size = (run / "model.bankwise").stat().st_size
    assert size == summary["file_bytes"] == summary["planned_bytes"] <= 10240

    export = ["export", run, "--target", "page_target:Raw", "--output", modules / "raw.bin"]
    assert "--allow-code" in bad(*export)  # for the family that the run's plan names
    code, _, err = call(*export, "--allow-code")
    assert code == 0, err
    assert 0 < (modules / "raw.bin").stat().st_size < size
    code, _, err = call("export", run, "--target", "c", "--output", modules / "c", "--allow-code")
    assert code == 0 and "page_family:Ternary" in (modules / "c" / "tiny.h").read_text(), err
    if shutil.which("make") and shutil.which("gcc"):
        subprocess.run(["make", "test"], cwd=modules / "c", check=True, capture_output=True)

    evaluate = ["evaluate", run / "model.bankwise", "--data", "page_data:Stripes", "--json"]
    assert "--allow-code" in bad(*evaluate)
    code, out, err = call(*evaluate, "--allow-code")
    assert code == 0 and json.loads(out)["accuracy"] in summary["test_accuracies"], err


def test_what_is_not_there_or_of_another_kind_is_one_line(modules):
    search = ["search", *QUICK, "--out", modules / "run"]
    assert "no class 'Strips'" in bad(*search, "--data", "page_data:Strips")
    assert "is not a subclass" in bad(*search, "--data", "page_strategy:Climb")
    assert "write 'page_data:Stripes'" in bad(*search, "--data", "page_data:Stripes:path")
    assert "is not a subclass" in bad(*search, "--strategy", "page_data:Stripes")
    assert "is not a subclass" in bad(*search, "--engine", "page_data:Stripes")
    assert not (modules / "run").exists()
