"""Plans that fit into the flash and RAM of a microcontroller: `plan(chip=...)` and `bankwise plan --chip`."""

import pytest

from bankwise import plan
from bankwise.search_space.errors import BankwiseError, InfeasibleBudget
from bankwise.search_space.price import price
from bankwise.search_space.targets.c.chips import CHIPS, CODE
from bankwise.search_space.targets.c.target import CTarget


def test_a_plan_of_a_chip_fits_and_a_network_that_does_not_is_one_line():
    for accounting, activations in ((None, "float32"), ("device-int8", "int8")):
        report = plan("tiny", chip="STM32L031K6", accounting=accounting)
        assert report.plan is not None and report.fit is not None and report.budget is not None
        assert report.budget.bytes == 32 * 1024 - CODE >= price(report.shape, report.plan).device_bytes
        assert report.fit.arena == CTarget(activations=activations).arena_bytes(report.shape, report.plan)
        assert report.fit.ram <= 8192 and report.to_dict()["chip"]["arena_bytes"] == report.fit.arena
    small = {"input_shape": (1, 28, 28), "classes": 10}
    with pytest.raises(InfeasibleBudget, match=r"STM32L031x6 has 8,192 bytes of RAM, not [\d,]+: arena 125,476, image"):
        plan("small", chip="STM32L031K6", **small)
    with pytest.raises(BankwiseError, match="accounting device or device-int8, not paper"):
        plan("tiny", chip="STM32L031K6", accounting="paper")


def test_a_budget_beside_a_chip_is_kept_as_far_as_the_chip_goes():
    smaller = plan("tiny", "2KiB", chip="STM32L031K6")
    assert smaller.budget.bytes == 2048 >= smaller.price.device_bytes and smaller.fit.chip is CHIPS[0]
    with pytest.raises(InfeasibleBudget, match=r"has room for 16,384 bytes of constant data beside 16,384 of code"):
        plan("tiny", "32KiB", chip="STM32L031K6")


def test_a_given_plan_is_priced_for_a_chip(cli, tmp_path):
    file = tmp_path / "plan.yaml"
    made = cli.call("plan", "--chip", "STM32L031K6", "--out", file, "--json").json
    again = cli.call("plan", "--plan-file", file, "--chip", "stm32l031x6", "--json").json
    assert again["chip"] == made["chip"] and again["chip"]["name"] == "STM32L031x6"
    assert made["accounting"] == "device" and made["budget"] == "STM32L031x6"
    shown = cli.call("plan", "--plan-file", file, "--chip", "STM32L031x6").out
    device = plan("tiny", chip="STM32L031x6").price.device_bytes
    assert f"flash: constant data {device:,} of 16,384 bytes, beside 16,384 for code" in shown
    assert f"RAM: {made['chip']['arena_bytes'] + 256 + 40 + 1024:,} of 8,192 bytes: arena " in shown
    large = plan("small", "8KiB", input_shape=(1, 28, 28), classes=10).plan
    large.save(tmp_path / "large.yaml")
    command = ("plan", "--plan-file", tmp_path / "large.yaml", "--chip")
    assert "has 8,192 bytes of RAM, not" in cli.bad(*command, "STM32L031x6", code=3)
    assert "unknown chip 'STM32': " in cli.bad(*command, "STM32")
    assert "not file" in cli.bad(*command, "nRF52840", "--accounting", "file")
    int8 = cli.call(*command, "STM32F411RE", "--accounting", "device-int8", "--json").json["chip"]
    assert (int8["image_bytes"], int8["logit_bytes"]) == (784, 20)
