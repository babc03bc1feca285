"""Nothing is allocated that is not there, and shapes need no memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bankwise.search_space import trace as traces
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.memory import Bounded, NotEnoughMemory, available
from bankwise.search_space.networks import build
from bankwise.search_space.trace import shape_of, trace


def test_tensors_together_take_no_more_than_the_limit_and_freed_ones_do_not_count():
    with Bounded("it", 4000), pytest.raises(NotEnoughMemory, match="^it takes at least 4,400 bytes"):
        kept = torch.empty(500)
        for _ in range(10):
            torch.zeros(400)
        kept.view(2, 250).add_(1)  # no new memory
        torch.zeros(600)
    with Bounded("it", 4000), torch.device("meta"):
        nn.Linear(1000, 1000)


def test_a_network_beyond_the_memory_is_refused_before_it_is_filled(monkeypatch):
    assert available() > 2**20
    monkeypatch.setattr("bankwise.search_space.networks.available", lambda: 2**16)
    with pytest.raises(BankwiseError, match=r"^network 'tiny' takes at least [0-9,]+ bytes, and it may take 32,768"):
        build("tiny", classes=10, in_channels=1)


def test_shapes_of_any_size_are_known_without_weights():
    shape = shape_of("tiny@1000", (1, 8, 8), 10)
    sizes = ((16000, 9), (32000, 9 * 16000), (32000, 9 * 32000), (64000, 9 * 32000), (10, 64000))
    assert [layer.weights for layer in shape.layers] == [n * fan_in for n, fan_in in sizes]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("tiny@1e300", "network 'tiny@1e300' cannot be built: TypeError"),
        ("tiny@1000000", "network 'tiny@1000000' takes more than can be allocated"),
        ("builtins:dict", r"network 'builtins:dict': dict failed \(ValueError: no signature found"),
        ("builtins:len", "len failed"),
    ],
)
def test_what_cannot_be_built_is_one_line(reference, words):
    with pytest.raises(BankwiseError, match=words) as caught:
        build(reference, classes=10, in_channels=1)
    assert "\n" not in str(caught.value)


class Looks(nn.Module):
    """Needs the values of an image behind a large map."""

    def __init__(self, num_classes: int = 2):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 64, 1), nn.Linear(64, num_classes)

    def forward(self, x):
        h = self.conv(x)
        h = -h if bool(h.sum() < 0) else h
        return self.head(h.mean((2, 3)))


def test_a_trace_with_values_is_refused_where_its_maps_are_too_large(monkeypatch):
    assert trace(Looks(), "net", (3, 8, 8), 2).layers[0].out_size == (8, 8)
    monkeypatch.setattr(traces, "available", lambda: 2**20)
    with pytest.raises(BankwiseError, match="network 'net' needs the values .* at least 17,563,653 bytes.*524,288"):
        trace(Looks(), "net", (3, 256, 256), 2)
    with pytest.raises(BankwiseError, match="needs the values"):
        trace(Looks(), "net", (3, 10**5, 10**5), 2)


def test_a_network_that_needs_values_has_its_shape_all_the_same(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "own_looks", sys.modules[__name__])
    assert [layer.name for layer in shape_of("own_looks:Looks", (3, 8, 8), 2).layers] == ["conv", "head"]
