"""The project as a whole: what pyproject promises, what an import costs, which way imports point, file lengths."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bankwise", "strategies", "trainers", "search_space")  # an import points down this list, never up
BESIDE = ("tests", "results", "benchmarks", "examples", "docs")  # no package imports these
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
MAX_LINES = 450
DISTRIBUTIONS = {
    "grpc": "grpcio",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "pytorch_lightning": "pytorch-lightning",
}

# Imports whole packages and names the heavy modules that came along; runs in a fresh interpreter.
IMPORT_PACKAGES = """
import importlib, json, pkgutil, sys
heavy = {}
for name in ("search_space", "trainers", "strategies", "bankwise"):
    package = importlib.import_module(name)
    if name == "search_space":
        for module in pkgutil.walk_packages(package.__path__, "search_space."):
            importlib.import_module(module.name)
    loaded = {module.partition(".")[0] for module in sys.modules}
    heavy[name] = sorted(loaded & {"nni", "ray", "torchvision", "matplotlib"})
print(json.dumps(heavy))
"""


def imported(source: str) -> set[str]:
    """Top-level modules that the source imports anywhere, functions included; not its relative imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return names


def upward(package: str, source: str) -> set[str]:
    """The imports of `source`, a file of `package`, that point up the house or out of it."""
    return imported(source) & {*PACKAGES[: PACKAGES.index(package)], *BESIDE}


def test_the_extras():
    assert set(PROJECT["optional-dependencies"]) == {"nni", "ray", "dev"}


def test_the_console_script_resolves():
    module, _, name = PROJECT["scripts"]["bankwise"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_installed_command_answers():
    command = Path(sys.executable).with_name("bankwise")
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["bankwise", PROJECT["version"]]


def test_the_version_is_one():
    assert importlib.import_module("bankwise").__version__ == PROJECT["version"]


def test_what_the_makefile_installs_is_pinned_within_the_declared_ranges():
    python = {"python_version": "3.11"}  # which the pins are made with
    pins: dict[str, Requirement] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(python):
            assert pins.setdefault(canonicalize_name(pin.name), pin) is pin, f"{pin.name} is pinned twice"
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(python):
            (pin,) = pins[canonicalize_name(wanted.name)].specifier
            assert pin.operator == "==" and wanted.specifier.contains(pin.version), f"{wanted} against {pin}"


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_declared(package):
    requirements = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    declared = {canonicalize_name(Requirement(line).name) for line in requirements}
    for file in FILES:
        if file.parts[0] == package:
            others = imported((ROOT / file).read_text()) - {*PACKAGES, *sys.stdlib_module_names}
            assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in others} <= declared, file


@pytest.fixture(scope="module")
def heavy_imports() -> dict[str, list[str]]:
    run = subprocess.run([sys.executable, "-c", IMPORT_PACKAGES], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_no_engine_and_no_plotting(package, heavy_imports):
    assert heavy_imports[package] == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_point_down(file):
    assert upward(file.parts[0], (ROOT / file).read_text()) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from trainers.data import load_data",
        "import strategies.base",
        "def f():\n    from bankwise import search",
        "from tests import x",
    ],
)
def test_an_upward_import_is_noticed(source):
    assert upward("search_space", source)


def test_files_are_short_enough_to_read():
    lines = {str(file): len((ROOT / file).read_text().splitlines()) for file in FILES}
    assert {file: count for file, count in lines.items() if count > MAX_LINES} == {}
