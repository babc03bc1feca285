"""Microcontrollers: names, what is left of them, and the page's table."""

import re
from pathlib import Path

import pytest

from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.networks import build
from bankwise.search_space.targets.c.chips import CHIPS, STACK, make_chip
from bankwise.search_space.trace import trace

PAGE = Path(__file__).resolve().parents[4] / "docs" / "device.md"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("STM32L031x6", "STM32L031x6"),
        ("stm32l031k6t6", "STM32L031x6"),
        ("STM32F411RE", "STM32F411xE"),
        ("ATSAMD21G18A", "ATSAMD21G18"),
        ("nrf52840", "nRF52840"),
    ],
)
def test_a_chip_is_known_by_its_name_and_by_part_numbers(given, name):
    assert make_chip(given).name == name


@pytest.mark.parametrize("given", ["", "STM32", "STM32L031K4", "STM32F411RC", "nRF5284", "x", "(", "RP20"])
def test_another_chip_is_one_line_with_those_that_are_known(given):
    with pytest.raises(BankwiseError, match="known: STM32L031x6, .*RP2040"):
        make_chip(given)


def test_the_page_has_the_same_figures():
    rows = re.findall(r"^\| (\w+) \| (Cortex[^|]+) \| ([\d]+) KiB \| ([\d]+) KiB \| ([^|]+) \|", PAGE.read_text(), re.M)
    told = [(name, core, 1024 * int(flash), 1024 * int(ram), source) for name, core, flash, ram, source in rows]
    assert told == [(chip.name, chip.core, chip.flash, chip.ram, chip.source) for chip in CHIPS]


@pytest.mark.parametrize(("activations", "each", "logit"), [("float32", 4, 4), ("int8", 1, 2)])
def test_image_logits_and_stack_are_beside_the_arena(activations, each, logit):
    shape = trace(build("tiny", classes=10, in_channels=1), "tiny", (1, 8, 8), 10)
    fit = CHIPS[0].fit(shape, activations, 1000)
    assert fit.ram == 1000 + each * 64 + logit * 10 + STACK
    most = CHIPS[0].ram - fit.ram + 1000
    assert CHIPS[0].fit(shape, activations, most).ram == CHIPS[0].ram
    with pytest.raises(InfeasibleBudget, match=f"8,192 bytes of RAM, not 8,193: arena {most + 1:,}, image"):
        CHIPS[0].fit(shape, activations, most + 1)
