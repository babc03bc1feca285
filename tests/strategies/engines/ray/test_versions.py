"""Which releases of Ray the engine is for, and that it uses nothing of Ray that is not public."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from bankwise.strategies.engines.on_ray import VERSIONS

ROOT = Path(__file__).resolve().parents[4]
SOURCES = sorted((ROOT / "strategies" / "engines" / "ray").glob("*.py"))


def test_the_tests_run_with_a_release_that_is_declared_and_documented():
    declared = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("ray = ")]
    assert Requirement(declared[0].split('"')[1]).specifier == SpecifierSet(VERSIONS)
    assert SpecifierSet(VERSIONS).contains(version("ray"))
    assert f"`{VERSIONS}`" in (ROOT / "docs" / "cluster.md").read_text()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_private_of_ray_is_imported_or_used(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        for name in names:
            if name.split(".")[0] == "ray":
                private = [part for part in name.split(".") if part.startswith("_") or part == "generated"]
                assert private == [], f"{path.name}:{node.lineno} {name}"


def test_a_ray_that_calls_things_otherwise_is_one_line(tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("__version__ = '9.9'\n")
    command = [sys.executable, "-c", "import bankwise.strategies.engines.ray"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
    last = done.stderr.strip().splitlines()[-1]
    assert f"the ray engine needs Ray Tune {VERSIONS}, this is 9.9" in last and "pip install" in last
