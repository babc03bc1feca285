"""The docs site builds without a warning: every link leads somewhere, every module in the reference exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def test_the_site_builds_strictly(run, tmp_path):
    pytest.importorskip("mkdocs")
    site = tmp_path / "site"
    run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site, cwd=ROOT)
    assert 'id="bankwise.search_space.limits.Limits"' in (site / "api" / "space.html").read_text()
    home = (site / "index.html").read_text()
    for link in ("results/real_search/index.html", "method.html", "results/records/mnist/accuracy.png"):
        assert re.search(rf'(href|src)="{link}"', home) and (site / link).exists()
