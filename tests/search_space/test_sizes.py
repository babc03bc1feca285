from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.sizes import BYTES, parse_bytes, parse_count, split


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        (4096, 4096),
        ("4096b", 4096),
        (" 1.5 kb ", 1500),
        ("96KiB", 98304),
        ("96kib", 98304),
        ("0.1MB", 100_000),
        (".5MiB", 524_288),
        ("2.MB", 2_000_000),
        ("134.64GB", 134_640_000_000),  # in binary floating point a byte short
        ("0.57KB", 570),
        ("1.9999KB", 1999),
        ("4K", 4000),
        ("4k", 4000),
        ("0.5M", 500_000),
        ("1e3", 1000),
        ("1E3KiB", 1_024_000),
        ("15e-1kB", 1500),
        ("1,000", 1000),
        ("1,234,567.5 kB", 1_234_567_500),
        ("4096.0", 4096),
    ],
)
def test_bytes(text, size):
    assert parse_bytes(text, "--max-ram") == size


@pytest.mark.parametrize(("text", "count"), [("5M", 5_000_000), ("17", 17), ("0.1k", 100), ("1.1G", 1_100_000_000)])
def test_counts(text, count):
    assert parse_count(text, "--max-ops") == count


@given(thousandths=st.integers(1000, 10**12), unit=st.sampled_from([unit for unit in BYTES if BYTES[unit] > 1]))
def test_decimal_fractions_are_exact(thousandths, unit):
    exact = thousandths * BYTES[unit] // 1000
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}{unit}"
    if exact < 2**53:
        assert parse_bytes(text, "size") == exact
    else:
        with pytest.raises(BankwiseError, match="2\\^53"):
            parse_bytes(text, "size")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-3",
        "5KiB",
        "0.1",
        "nan",
        "inf",
        "e9",
        "1e",
        "5 000",
        "5,00",
        "1234,567",
        ",500",
        "5M5",
        "5.5",
        "M",
        "٣",
        None,
    ],
)
def test_what_is_no_count_is_one_line(text):
    with pytest.raises(BankwiseError, match="--max-ops") as raised:
        parse_count(text, "--max-ops")
    assert repr(str(text)) in str(raised.value) and "\n" not in str(raised.value)


def test_any_number_of_digits_is_too_large_not_a_crash():
    for text in ("9" * 100_000, "9007199254740992", "8388608GiB", "1e999", "9,007,199,254,740,992"):
        with pytest.raises(BankwiseError, match="too large") as raised:
            parse_bytes(text, "budget")
        assert len(str(raised.value)) < 200


def test_a_number_and_its_unit_are_separated_by_the_given_units():
    assert split("0.07bpw", ["bpw"]) == (Fraction(7, 100), "bpw")
    assert split("2.5X", ["x"]) == (Fraction(5, 2), "x")
    assert split("2.5y", ["x"]) is None


@pytest.mark.parametrize(
    ("text", "right"), [("900.5", "900 or 901"), ("1.9999B", "1 or 2"), ("1,000.25", "1,000 or 1,001"), ("0.1", "1")]
)
def test_a_part_of_a_byte_is_refused_with_what_would_be_right(text, right):
    with pytest.raises(BankwiseError) as raised:
        parse_bytes(text, "--max-ram")
    assert str(raised.value) == f"--max-ram {text!r} is not a whole number; write {right}"
