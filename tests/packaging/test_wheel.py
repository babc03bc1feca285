"""The wheel and the sdist, and the wheel's main job in an environment outside the checkout."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INNER = ("strategies", "trainers", "search_space")
SEARCH = (
    "search --network tiny --data digits --limit 300 --budget 1200 --trials 2 --uniform-trials 1 --finalists 1 "
    "--seeds 1 --epochs 2 --trial-epochs 1 --json --out run"
).split()

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


def files_of_the_house() -> set[str]:
    """Every file of the packages that an installation needs, by its path in the wheel."""
    found = set()
    for folder in ("bankwise", *INNER):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                found.add(name if folder == "bankwise" else f"bankwise/{name}")
    return found


def test_the_wheel_holds_bankwise_alone_and_all_of_it(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of_the_house()
    assert {"bankwise/py.typed", "bankwise/search_space/price.py"} <= names


def test_the_sdist_holds_the_same_files(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert files_of_the_house() <= names


def test_its_main_job_runs_from_any_folder(installed, run, tmp_path):
    where = run(installed / "python", "-c", "import bankwise; print(bankwise.__file__)", cwd=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(installed.parent)
    summary = json.loads(run(installed / "bankwise", *SEARCH, cwd=tmp_path).stdout)
    assert summary["file_bytes"] == (tmp_path / "run" / "model.bankwise").stat().st_size <= 1200
    assert (tmp_path / "run" / "report.html").exists()
    evaluate = ("evaluate", "run/model.bankwise", "--data", "digits", "--json")
    read = json.loads(run(installed / "python", "-m", "bankwise", *evaluate, cwd=tmp_path).stdout)
    assert read["accuracy"] > 0.2


@pytest.mark.parametrize("name", INNER)
def test_it_puts_no_other_name_on_the_path(installed, run, tmp_path, name):
    error = run(installed / "python", "-c", f"import {name}", cwd=tmp_path, code=1).stderr
    assert f"No module named '{name}'" in error
