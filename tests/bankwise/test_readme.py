"""The code of README runs as it stands, but for how much is trained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
SHORT = """
import functools, bankwise, bankwise.search_settings
from bankwise import Recipe
bankwise.SearchSettings = functools.partial(
    bankwise.search_settings.SearchSettings, recipe=Recipe(epochs=1, threads=1), trial_epochs=1, seeds=1, finalists=1,
    finalist_seeds=1, uniform_trials=1,
)
"""
CHECKS = "\nassert logits.shape == (1, 10) and result.plot('history').axes and len(result.to_frame()) == 9\n"


def test_the_code_from_python_runs(tmp_path):
    """With one epoch a training; the settings that README gives stay."""
    section = README.read_text(encoding="utf-8").partition("## From Python")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    command = [sys.executable, "-c", SHORT + code + CHECKS]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "runs/first/model.bankwise").exists()
