"""Scales: of what values are, at the moment that they are made."""

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.c.graph import graph_of
from bankwise.search_space.targets.c.int8.calibration import TOP, WIDE_TOP, calibrate, input_scale
from bankwise.search_space.targets.c.int8.fused import fused
from bankwise.search_space.targets.c.int8.pixels import of_pixels
from bankwise.search_space.trace import trace


class Rows(nn.Module):
    """Three layers without parameters to speak of, whose values one sees at once."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 2, bias=False)
        nn.init.constant_(self.conv.weight, -3.0)
        nn.init.constant_(self.head.weight, 0.5)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))


def scales(network, images, plan):
    shape = trace(network, IN_MEMORY, plan.input_shape, plan.classes)
    graph = graph_of(plan, network)
    steps = fused(graph, shape)
    return calibrate(plan, graph, steps, network, images), steps, graph


PLAN = Plan(IN_MEMORY, (1, 2, 2), 2, {})


def test_a_scale_is_of_the_value_as_it_is_made_and_logits_are_wide():
    images = torch.tensor([1.0, -1.0, 0.5, -0.5]).reshape(1, 1, 2, 2)
    found, steps, graph = scales(Rows().eval(), images, PLAN)
    assert [step.operation.kind for step in steps] == ["conv2d", "linear"]
    assert steps[0].low == 0.0 and steps[0].high is None
    assert found[0] == pytest.approx(1 / TOP)  # not normalized as pixels are: the largest input
    assert found[steps[0].output] == pytest.approx(3 / TOP)  # of 0, 3, 0, 1.5: in place, after the activation
    assert found[graph.output] == pytest.approx(0.5 * 4.5 / WIDE_TOP)


def test_a_scale_cuts_what_is_rare_where_that_loses_less():
    values = torch.cat([torch.linspace(-1, 0, 9999), torch.tensor([-50.0])]).reshape(1, 1, 100, 100)
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 2, 100, bias=False), nn.Flatten())
    nn.init.constant_(network[0].weight, -1.0)
    found, steps, _ = scales(network.eval(), values, Plan(IN_MEMORY, (1, 100, 100), 2, {}))
    ordinary = torch.linspace(0, 1, 9999)

    def loss(top):
        kept = (ordinary / (top / TOP)).round().clamp(max=TOP) * (top / TOP)
        return float((kept - ordinary).square().sum() + max(0.0, 50 - top) ** 2)

    assert loss(TOP * found[steps[0].output]) <= 1.1 * min(loss(50 * share / 100) for share in range(1, 101))


def test_pixels_enter_by_whole_numbers_as_they_are_normalized():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    for name, channels in (("symmetric", 1), ("imagenet", 3)):
        images = Images(name)
        plan = Plan("tiny", (channels, 16, 16), 10, {}, images=images)
        some = pixels.expand(1, channels, 16, 16)
        found = of_pixels(plan, input_scale(plan), some)
        exact = images.to_input(some) / input_scale(plan)
        assert float((found - exact).abs().max()) <= 0.502 and int(found.abs().max()) == 127
    assert of_pixels(Plan("tiny", (1, 8, 8), 10, {}), 1.0, pixels) is None


def test_without_images_or_with_others_it_is_one_line():
    for images in (torch.zeros(0, 1, 2, 2), torch.zeros(3, 1, 3, 2), torch.zeros(2, 2)):
        with pytest.raises(BankwiseError, match="int8 activations need images of the training data of 1x2x2, not"):
            scales(Rows().eval(), images, PLAN)


def test_values_that_are_not_finite_are_one_line():
    network = Rows().eval()
    nn.init.constant_(network.conv.weight, float("inf"))
    with pytest.raises(BankwiseError, match="conv gives values that are not finite"):
        scales(network, torch.ones(1, 1, 2, 2), PLAN)
