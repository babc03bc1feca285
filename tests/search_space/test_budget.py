import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.accounting import FILE, PAPER
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.shape import LayerShape, NetworkShape

LAYERS = (LayerShape("conv", "conv2d", 16, 3, (3, 3)), LayerShape("fc", "linear", 10, 16, bias=True))
SHAPE = NetworkShape("net", (3, 8, 8), 10, LAYERS, (), (), 0)  # 592 weights, 602 numbers


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        (4096, 4096),
        ("4096b", 4096),
        ("4096 B", 4096),
        ("96KiB", 98304),
        ("96kib", 98304),
        (" 1.5 KiB ", 1536),
        ("96kB", 96000),
        ("0.1MB", 100_000),
        (".5MiB", 524_288),
        ("2.MB", 2_000_000),
        ("1GB", 10**9),
        ("1GiB", 2**30),
        ("0.57KB", 570),
        ("4K", 4000),
        ("1e3", 1000),
        ("1,000", 1000),
        ("9.5e-2bpw", 7),
        ("0.25bpw", 592 // 32),
        ("1bpw", 74),
        ("1BPW", 74),
        ("100x", 24),
        ("1x", 2408),
        ("2.5X", 963),
    ],
)
def test_every_spelling(text, size):
    assert Budget.parse(text, SHAPE) == Budget(size, "file")


@given(size=st.integers(1, 2**53 - 1))
def test_whole_bytes_are_taken_as_they_are(size):
    assert Budget.parse(size, SHAPE).bytes == Budget.parse(f"{size}B", SHAPE).bytes == size


@given(number=st.integers(1, 10**6), unit=st.sampled_from(["KB", "MB", "KiB", "MiB"]))
def test_decimal_fractions_are_exact(number, unit):
    factor = {"KB": 10**3, "MB": 10**6, "KiB": 2**10, "MiB": 2**20}[unit]
    assert Budget.parse(f"{number / 1000:.3f}{unit}", SHAPE).bytes == number * factor // 1000


def test_echoed_in_bytes_with_its_accounting():
    assert str(Budget.parse("96KiB", SHAPE)) == "98,304 bytes (file)"
    assert str(Budget.parse("96KiB", SHAPE, "paper")) == "98,304 bytes (paper)"


@pytest.mark.parametrize("text", ["", "KiB", "-4096", "4 096", "4,09", "e6", "96 Kbits", "0.5Mbit", "nan", "inf", None])
def test_what_is_no_size_is_one_line_with_examples(text):
    with pytest.raises(BankwiseError) as raised:
        Budget.parse(text, SHAPE)
    assert repr(str(text)) in str(raised.value) and "96KiB" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("0", "zero"), ("0.0x", "zero"), ("9" * 400, "too large"), ("1" * 17, "2^53"), ("900.5", "901")],
)
def test_sizes_out_of_range(text, words):
    with pytest.raises(BankwiseError, match=words.replace("^", r"\^")):
        Budget.parse(text, SHAPE)


def test_unknown_accounting():
    with pytest.raises(BankwiseError, match="'flash': .*known: file, paper"):
        Budget.parse("1KiB", SHAPE, "flash")


def test_sizes_are_exact_and_an_accounting_is_kept_by_its_name():
    assert Budget.parse("134.64GB", SHAPE).bytes == 134_640_000_000
    assert Budget.parse("1KiB", SHAPE, PAPER) == Budget(1024, PAPER) == Budget(1024, "paper")
    assert type(Budget(1, FILE).accounting) is str
