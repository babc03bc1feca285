"""Pages of the site that lie outside docs/ (README, results, changes), and links as they are on the site.

Links are written as they work in the repository. One to a file that the site does not have becomes its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "results/**/*.md", "results/**/*.png")
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def _on_site(path: str) -> str:
    """A file of the repository by its path on the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _in_repository(page: str) -> str:
    """The reverse."""
    if page == "index.md":
        return "README.md"
    return page if (ROOT / page).is_file() else f"docs/{page}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, _on_site(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    source = _in_repository(page.file.src_uri)

    def linked(match: re.Match[str]) -> str:
        image, text, target, anchor = match["image"], match["text"], match["target"], match["anchor"] or ""
        if not target or "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        for name in (path, f"{path}/README.md"):
            if files.get_file_from_path(_on_site(name)) is not None:
                there = posixpath.relpath(_on_site(name), posixpath.dirname(page.file.src_uri) or ".")
                return f"{image}[{text}]({there}{anchor})"
        return text

    return LINK.sub(linked, markdown)
