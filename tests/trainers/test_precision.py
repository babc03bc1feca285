from __future__ import annotations

import pytest
import torch

from bankwise.trainers import precision
from bankwise.trainers.precision import in_bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_f": True}, False),
        ({}, False),
    ],
)
def test_auto_is_bfloat16_on_cuda_and_where_the_cpu_multiplies_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    precision._on_this_cpu.cache_clear()
    try:
        assert in_bfloat16("auto", "cpu") is expected
        assert in_bfloat16("auto", torch.device("cuda", 1))
        assert in_bfloat16("on", "cpu") and not in_bfloat16("off", "cuda")
    finally:
        precision._on_this_cpu.cache_clear()


def test_a_torch_that_does_not_say_is_taken_for_one_without(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    precision._on_this_cpu.cache_clear()
    try:
        assert not in_bfloat16("auto", "cpu")
    finally:
        precision._on_this_cpu.cache_clear()
