"""Studies, benchmarks and examples start with the names that the packages have now."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from bankwise.search_space.torchvision_import import import_torchvision

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path.relative_to(ROOT) for folder in ("results", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_imports_all_that_it_names(script, monkeypatch):
    """Loaded as a module, under another name than __main__: its imports run, its work does not."""
    monkeypatch.setattr(sys, "path", [str(ROOT / script.parent), *sys.path])
    import_torchvision()  # Lightning and timm import it, whatever version is there
    if script.name == "timm_finetune.py":
        pytest.importorskip("timm", reason="the example needs timm")
    assert runpy.run_path(str(ROOT / script), run_name="loaded")
    for name in [name for name in sys.modules if name.partition(".")[0] == "results"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("study", [script for script in SCRIPTS if script.name == "study.py"], ids=str)
def test_a_study_tells_its_options(study, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(ROOT / study), "--help"])
    monkeypatch.setattr(sys, "path", [str(ROOT / study.parent), *sys.path])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / study), run_name="__main__")
    assert end.value.code == 0 and "--data-root" in capsys.readouterr().out
