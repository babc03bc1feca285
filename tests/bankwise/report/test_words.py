from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.measuring import Sample
from bankwise.report import words
from bankwise.search_space.families import Integer, Sparse, Stacked, Subbit, Tiled


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\0"), max_size=30), min_size=1, max_size=20))
def test_a_broken_command_is_the_same_to_a_shell(values):
    quoted = [shlex.quote(value) for value in values]
    text = words.shell_lines(["run", *quoted], width=40)
    assert shlex.split(text.replace("\\\n", "")) == ["run", *values]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ([], "none"),
        (True, "yes"),
        (0, "0"),
        (12345, "12,345"),
        (["a", [2, 3]], "a, 2, 3"),
        (0.5, "0.5"),
    ],
)
def test_settings_as_a_person_writes_them(value, text):
    assert words.setting(value) == text


def test_numbers():
    assert words.accuracy(Sample((0.875, 0.875 + 0.0125, 0.875 - 0.0125))) == "87.50 % ± 1.25"
    assert words.accuracy(Sample((0.875,))) == "87.50 %"
    assert (words.number(None), words.number(12345), words.times(1234.56)) == ("–", "12,345", "1,234.6×")
    assert (words.accuracy(None), words.count(1, "seed"), words.count(2000, "seed")) == ("–", "1 seed", "2,000 seeds")
    assert [words.duration(s) for s in (3.21, 61, 3599.9, 7260)] == ["3.2 s", "1 min 1 s", "1 h 0 min", "2 h 1 min"]
    assert [words.gain(g) for g in (1.766, 0.1, 0.0189, 0.0)] == ["+177 %", "+10 %", "+1.9 %", "+0 %"]
    assert words.choice(Stacked(16, 4, (1, 3))) == "k=16 s=4 1×3"
    assert words.choice(Sparse(16, 4, (3, 3), 2, 1, 3)) == "k=16 s=4 3×3, 1×3 of 2 bit"
    assert words.choice(Integer(8)) == "integer bits=8"
    assert [words.choice(choice) for choice in (Tiled(4), Subbit(5))] == ["tiled p=4", "subbit tau=5"]
