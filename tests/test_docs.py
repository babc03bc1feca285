"""What README.md, CONTRIBUTING.md and docs name exists: modules and their names, files, headings, options."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("bankwise", "strategies", "trainers", "search_space", "tests", "docs", "examples", "benchmarks", "results")
MADE_UP = {"search_space/families/ternary.py", "search_space/targets/raw.py"}  # by the examples of docs/extending.md
NOT_THERE = {"--batch-size", "--resources"}  # of an example, and of what CHANGELOG.md says is gone
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as a browser finds them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Where its links within the project lead, images included."""
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def dotted(text: str) -> set[str]:
    """The modules of bankwise, and names in them, that a text names."""
    return set(re.findall(r"\bbankwise(?:\.[A-Za-z_]\w*)+", text))


def paths(text: str) -> set[str]:
    """The files and folders of the project that a text names."""
    return set(re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w/?", text))


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    module, names = name, []
    while module:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            names.insert(0, last)
    else:
        return False
    for part in names:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@each_page
def test_every_link_leads_somewhere(page):
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@each_page
def test_every_module_and_file_that_is_named_exists(page):
    text = page.read_text(encoding="utf-8")
    names = {name for name in dotted(text) if not name.endswith((".bankwise", ".json"))}
    assert {name for name in names if not exists(name)} == set()
    assert {
        path for path in paths(text) - MADE_UP if not ((ROOT / path).exists() or (ROOT / f"{path}.md").exists())
    } == set()


def test_what_is_not_there_is_noticed():
    assert exists("bankwise.search") and exists("bankwise.trainers.recipe.Recipe.from_dict")
    assert not exists("bankwise.sarch") and not exists("bankwise.trainers.recipes")
    assert links("[a](b.md#c) [d](https://e) ![f](g.png)") == ["b.md#c", "g.png"]
    assert paths("see docs/nni.md, `trainers/no/such.py`.") == {"docs/nni.md", "trainers/no/such.py"}
    assert dotted("`bankwise.a.b`, then bankwise.c.") == {"bankwise.a.b", "bankwise.c"}


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of every command."""
    from typer.main import get_command

    from bankwise.cli.engines import _engines, _parameters
    from bankwise.command_line import app

    found, waiting = {"--help"}, [get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for parameter in [*command.params, *_parameters(_engines([]))]:
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


@each_page
def test_every_option_of_a_command_that_is_shown_exists(page, options):
    text = re.sub(r"\\\n", " ", page.read_text(encoding="utf-8"))
    commands = re.findall(r"\bbankwise (?:plan|search|train|convert|export|evaluate|report|nni)\b[^\n`#]*", text)
    given = {option for command in commands for option in re.findall(r"(?<!\S)--[a-z][\w-]*", command)}
    assert given - options - NOT_THERE == set()
