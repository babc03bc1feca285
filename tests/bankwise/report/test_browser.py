"""The page in a real browser: layout on wide and narrow screens, light and dark, nothing loaded, tips and sorting."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankwise.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def pages(finished: Path, paper: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "run": write_report([finished], folder / "run.html"),
        "comparison": write_report([finished, paper], folder / "comparison.html"),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: sync_api.Browser, path: Path, width: int = 1000, scheme: str = "light"):
    """The page, and what it complained of or asked a network for."""
    page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
    )
    page.goto(path.as_uri())
    return page, wrong


@pytest.mark.parametrize("name", ["run", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (1000, "dark"), (400, "light")])
def test_it_is_laid_out_without_complaint(browser, pages, name, width, scheme):
    page, wrong = opened(browser, pages[name], width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    boxes = page.eval_on_selector_all(
        "figure svg, figure img", "all => all.map(one => one.getBoundingClientRect().toJSON())"
    )
    assert boxes and all(0 <= box["left"] < box["right"] <= width and box["height"] > 100 for box in boxes)
    size = page.eval_on_selector(".chart text", "one => one.getBoundingClientRect().height")
    assert size >= 9, "text of a chart can be read"
    lightness = page.evaluate(
        "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])"
        ".map(colour => colour.match(/[0-9]+/g).reduce((a, b) => a + +b, 0))"
    )
    assert (lightness[0] < lightness[1]) == (scheme == "dark")
    assert wrong == []


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["run", "comparison"])
def test_no_word_of_a_name_is_broken(browser, pages, name, width):
    """The first cell of every row, in every table: each word lies on one line."""
    page, _ = opened(browser, pages[name], width)
    broken = page.evaluate(
        """() => [...document.querySelectorAll("tr > :first-child")].flatMap(cell => {
            const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
            while (walk.nextNode())
                for (const word of walk.currentNode.data.matchAll(/\\w+/g)) {
                    const range = document.createRange();
                    range.setStart(walk.currentNode, word.index);
                    range.setEnd(walk.currentNode, word.index + word[0].length);
                    if (range.getClientRects().length > 1) found.push(word[0]);
                }
            return found;
        })"""
    )
    assert broken == []


def test_a_mark_says_what_it_is(browser, pages):
    page, wrong = opened(browser, pages["run"])
    mark = page.locator('.chart .mark[data-tip*="bytes: "]').last
    assert page.locator(".tip").is_hidden()
    mark.hover(force=True)
    assert page.locator(".tip").is_visible() and " %" in page.locator(".tip").inner_text()
    assert wrong == []


def test_the_trials_are_sorted_by_the_column_that_is_clicked(browser, pages):
    page, wrong = opened(browser, pages["run"])
    table = page.locator("table.sortable").filter(has_text="proposed by")

    def column(number: int) -> list[float]:
        return [
            float(text.replace(",", "").removesuffix(" %"))
            for text in table.locator(f"tbody td:nth-child({number})").all_inner_texts()
            if text.strip()
        ]

    before = column(4)
    assert len(before) == 6
    for times, reverse in ((1, False), (2, True)):
        table.locator("th button").nth(3).click()
        assert column(4) == sorted(before, reverse=reverse), times
        assert table.locator("th").nth(3).get_attribute("aria-sort") == ("descending" if reverse else "ascending")
    table.locator("th button").nth(2).click()
    assert column(3) == sorted(column(3))
    assert wrong == []


def test_it_can_be_printed(browser, pages):
    page, _ = opened(browser, pages["run"])
    assert page.pdf(format="A4").startswith(b"%PDF") and len(page.pdf()) > 20_000
