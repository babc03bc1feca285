"""The project as a whole: what pyproject promises, what an import costs, which way imports point, file lengths."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bankwise

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ("bankwise", "strategies", "trainers", "search_space")  # an import points down this list, never up
INNER = HOUSE[1:]  # top-level folders that are packages inside `bankwise`
BESIDE = ("tests", "fuzz", "results", "benchmarks", "examples", "docs")  # no package imports these
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, MYPY = PYPROJECT["project"], PYPROJECT["tool"]["mypy"]
FILES = [path.relative_to(ROOT) for package in HOUSE for path in sorted((ROOT / package).rglob("*.py"))]
FILES = [file for file in FILES if not (file.parts[0] == "bankwise" and file.parts[1] in INNER)]
MAX_LINES = 450
DISTRIBUTIONS = {
    "PIL": "pillow",
    "grpc": "grpcio",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "pytorch_lightning": "pytorch-lightning",
    "mlflow": "mlflow-skinny",
}

# Imports whole packages and names the heavy modules that came along; runs in a fresh interpreter.
IMPORT_PACKAGES = """
import importlib, json, pkgutil, sys
heavy = {}
for name in ("bankwise.search_space", "bankwise.trainers", "bankwise.strategies", "bankwise"):
    package = importlib.import_module(name)
    if name == "bankwise.search_space":
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    loaded = {module.partition(".")[0] for module in sys.modules}
    heavy[name.removeprefix("bankwise.")] = sorted(loaded & {"nni", "ray", "torchvision", "matplotlib"})
print(json.dumps(heavy))
"""


def module_of(file: Path) -> str:
    """The dotted name by which a file of the house is imported."""
    parts = file.with_suffix("").parts if file.name != "__init__.py" else file.parent.parts
    return ".".join(parts if parts[0] == "bankwise" else ("bankwise", *parts))


MODULES = {module_of(file): file for file in FILES}


def imported(source: str, at_import: bool = False) -> set[str]:
    """Dotted names that the source imports anywhere, functions included; `at_import`: only when it is loaded itself."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        later = isinstance(node, ast.FunctionDef | ast.Lambda) or _for_types_alone(node)
        waiting += [] if at_import and later else list(ast.iter_child_nodes(node))
    return names


def _for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def upward(package: str, source: str) -> set[str]:
    """The imports of `source`, a file of `package`, that point up the house, beside it, or to a folder by itself."""
    below = () if package == "bankwise" else HOUSE[HOUSE.index(package) :]
    outside = (*INNER, *BESIDE) if package == "bankwise" else (*HOUSE, *BESIDE)
    return {
        name
        for name in imported(source)
        if name.partition(".")[0] in outside and not f"{name}.".startswith(tuple(f"bankwise.{one}." for one in below))
    }


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every group of two or more modules that import each other, directly or by others (Tarjan's components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for after in sorted(graph[node]):
            if after not in order:
                visit(after)
            if after in stack:
                low[node] = min(low[node], low[after])
        if low[node] == order[node]:
            component = [stack.pop()]
            while component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def import_graph() -> dict[str, set[str]]:
    """Of every module of the house those that it imports when it is loaded."""
    graph = {}
    for module, file in MODULES.items():
        names = imported((ROOT / file).read_text(), at_import=True)
        graph[module] = {_home(name) for name in names if name.startswith("bankwise.")} - {module}
    return graph


def _home(name: str) -> str:
    """The module that an imported name is, or lies in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def test_the_extras():
    assert set(PROJECT["optional-dependencies"]) == {
        "nni", "ray", "onnx", "detection", "tensorboard", "wandb", "mlflow", "dev", "docs",
    }  # fmt: skip


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


@pytest.mark.parametrize("package", HOUSE)
def test_what_a_package_imports_is_declared(package):
    requirements = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    declared = {canonicalize_name(Requirement(line).name) for line in requirements}
    for file in FILES:
        if file.parts[0] == package:
            names = {name.partition(".")[0] for name in imported((ROOT / file).read_text())}
            others = names - {"bankwise", *sys.stdlib_module_names}
            assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in others} <= declared, file


@pytest.fixture(scope="module")
def heavy_imports() -> dict[str, list[str]]:
    run = subprocess.run([sys.executable, "-c", IMPORT_PACKAGES], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("package", HOUSE)
def test_importing_a_package_loads_no_engine_and_no_plotting(package, heavy_imports):
    assert heavy_imports[package] == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_point_down(file):
    assert upward(file.parts[0], (ROOT / file).read_text()) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from bankwise.trainers.data import load_data",
        "import bankwise.strategies.base",
        "from bankwise import strategies",
        "from search_space.errors import BankwiseError",
        "def f():\n    from bankwise import search",
        "from bankwise.searching import search",
        "from tests import x",
    ],
)
def test_an_upward_import_is_noticed(source):
    assert upward("search_space", source)


@pytest.mark.parametrize(
    "source", ["from bankwise.search_space.errors import BankwiseError", "from bankwise.search_space import errors"]
)
def test_a_downward_import_is_none(source):
    assert upward("trainers", source) == set() == upward("search_space", source)


def test_no_modules_import_each_other_in_a_circle():
    assert circles(import_graph()) == []


def test_a_circle_is_noticed():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_the_folders_of_the_house_are_packages_of_bankwise_and_no_other_name_is_installed():
    for name in INNER:
        link = ROOT / "bankwise" / name
        assert link.is_symlink() and link.resolve() == ROOT / name
    distribution = importlib.metadata.distribution("bankwise")
    assert {name.partition("/")[0] for name in (distribution.read_text("top_level.txt") or "").split()} == {"bankwise"}


def test_files_are_short_enough_to_read():
    lines = {str(file): len((ROOT / file).read_text().splitlines()) for file in FILES}
    assert {file: count for file, count in lines.items() if count > MAX_LINES} == {}


def unchecked(modules: set[str], patterns: list[str]) -> set[str]:
    """The modules that mypy does not check strictly, by the patterns of those that it ignores."""
    return {module for module in modules if any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns)}


def test_every_module_of_the_public_names_is_type_checked_strictly():
    assert MYPY["strict"] and MYPY["packages"] == ["bankwise"]
    (override,) = MYPY["overrides"]  # nothing else is made less strict
    assert set(override) == {"module", "ignore_errors"}
    homes = {getattr(bankwise, name).__module__ for name in bankwise.__all__}
    assert unchecked({"bankwise", *homes}, override["module"]) == set()


def test_an_ignored_module_is_noticed():
    assert unchecked({"bankwise.searching", "bankwise.result"}, ["bankwise.search*"]) == {"bankwise.searching"}
