"""Subclasses as timm has them, by their operations."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.layer import build_child
from bankwise.search_space.packing import assemble, pack
from bankwise.search_space.price import price
from bankwise.search_space.roles import is_layer, is_norm
from bankwise.search_space.settings import SpaceSettings
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.search_space.trace import trace


class NormAct(nn.BatchNorm2d):
    """Batch norm, dropout and an activation in one, with a forward pass of its own, as timm's BatchNormAct2d."""

    def __init__(self, size, drop=None, act=None, **options):
        super().__init__(size, **options)
        self.drop, self.act = drop or nn.Identity(), act or nn.ReLU(inplace=True)

    def forward(self, x):
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        training = self.training or self.running_mean is None
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, self.momentum, self.eps
        )
        return self.act(self.drop(x))


class Linear(nn.Linear):
    """As timm's Linear: the parent's forward pass, written anew."""

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class CosineLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, F.normalize(self.weight), self.bias)


class NoisyConv(nn.Conv2d):
    """As its parent in evaluation, not in training."""

    def forward(self, x):
        weight = self.weight + 0.1 * torch.randn_like(self.weight) if self.training else self.weight
        return self._conv_forward(x, weight, self.bias)


class Strided(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, (2, 2), self.padding, self.dilation, self.groups)


class Conv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Residual(NormAct):
    """Reads its input again, so that the scale of a convolution in front could not move into it."""

    def forward(self, x):
        return super().forward(x) + x


class Gained(NormAct):
    """Reads its weight again: a scale and a shift do not say what it does."""

    def forward(self, x):
        return super().forward(x) * self.weight.mean()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_runs_as_its_parent_is_what_its_parent_is(device):
    with torch.device(device):
        assert is_layer(Linear(5, 3)) and is_layer(Linear(5, 3, bias=False))
        assert is_layer(Conv(4, 6, (3, 5), stride=2, padding=1, dilation=2, groups=2))
        assert is_norm(NormAct(4)) and is_norm(NormAct(4, affine=False))
        assert is_norm(NormAct(4, nn.Dropout(), nn.SiLU()))
        for other in (CosineLinear(5, 3), NoisyConv(1, 1, 1), Strided(1, 1, 1)):
            assert not is_layer(other)
        for other in (Residual(4), Gained(4), NormAct(4, track_running_stats=False)):
            assert not is_norm(other)
    assert is_layer(Strided(1, 1, 1, stride=2))


def network(norm, linear):
    """Two convolutions with a norm and an activation each, and a head."""
    layers = [[nn.Conv2d(c, n, 3, padding=1, bias=False), *norm(n)] for c, n in ((3, 8), (8, 16))]
    return nn.Sequential(*layers[0], *layers[1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(16, 10))


def test_a_norm_with_its_activation_costs_what_the_two_cost_apart():
    """To the byte: every filter's scale is the norm's."""
    plain = trace(network(lambda n: (nn.BatchNorm2d(n), nn.ReLU()), nn.Linear), "net", (3, 8, 8), 10)
    joined = trace(network(lambda n: (NormAct(n),), Linear), "net", (3, 8, 8), 10)
    assert [layer.normalized for layer in joined.layers] == [True, True, False]
    assert [norm.channels for norm in joined.norms] == [8, 16] and joined.tensors == ()
    for which in (0, -1):
        prices = [price(shape, SearchSpace(shape).plan([which] * 3)).file_bytes for shape in (plain, joined)]
        assert prices[0] == prices[1]


def test_a_joined_norm_is_folded_with_its_activation_kept():
    """The packed network gives the trained child's outputs."""
    torch.manual_seed(0)
    joined = network(lambda n: (NormAct(n, nn.Dropout(0.1), nn.SiLU()),), Linear)
    shape = trace(joined, "net", (3, 8, 8), 10)
    space = SearchSpace(shape, SpaceSettings(vector_bits=32))
    plan = space.plan([size // 2 for size in space.sizes])
    child, x = build_child(joined, shape, plan, 0), torch.randn(20, 3, 8, 8)
    for _ in range(3):
        child(3 * x + 1)
    packed = assemble(copy.deepcopy(joined), shape, plan, pack(child, shape, plan))
    torch.testing.assert_close(packed(x), child.eval()(x), rtol=1e-4, atol=1e-5)
    assert (packed(x) < 0).any()


def test_a_published_network_with_joined_norms_costs_what_it_costs_without():
    """MobileNetV2 as torchvision and, its norms and activations joined, as timm build it."""
    torchvision = import_torchvision()
    with torch.device("meta"):
        network = torchvision.models.mobilenet_v2(width_mult=0.5, num_classes=10)
        apart = trace(network, "net", (3, 64, 64), 10)
        for block in network.modules():
            if isinstance(block, torchvision.ops.misc.Conv2dNormActivation):
                block[1], block[2] = NormAct(block[1].num_features, act=nn.ReLU6(inplace=True)), nn.Identity()
    joined = trace(network, "net", (3, 64, 64), 10)
    floors = [price(shape, SearchSpace(shape).smallest) for shape in (apart, joined)]
    assert floors[0].file_bytes == floors[1].file_bytes and floors[0].fixed == floors[1].fixed
    assert [layer.normalized for layer in joined.layers] == [layer.normalized for layer in apart.layers]


def test_the_error_says_which_subclass_and_why_and_names_the_option():
    class Hooked(Linear):
        pass

    hooked = Hooked(5, 3)
    hooked.register_forward_hook(lambda *_: None)
    here = __name__
    for module, words in (
        (CosineLinear(5, 3), rf"a subclass \({here}.CosineLinear\) of torch's Linear .*: its forward is another"),
        (hooked, r"Hooked\) of torch's Linear that does not run as it does: a hook runs with it"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)), "it has parametrizations beside weight and bias"),
    ):
        with pytest.raises(BankwiseError, match=words) as caught:
            trace(nn.Sequential(nn.Flatten(), module), "net", (5, 1, 1), 3)
        assert str(caught.value).endswith(": --keep 1")


def test_a_convolution_that_pads_by_its_input_is_refused_by_name():
    """timm's Conv2dSame, in its networks that come from TensorFlow; where it is kept the rest is priced."""
    import_torchvision()  # timm imports it, whatever version is there
    timm = pytest.importorskip("timm", reason="the networks are timm's")
    with torch.device("meta"):
        network = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    same = [path for path, module in network.named_modules() if type(module).__name__ == "Conv2dSame"]
    message = (
        rf"{re.escape(same[0])} \(Conv2dSame, 864 parameters\) is a subclass .*Conv2dSame\) .*its forward is another"
    )
    with pytest.raises(BankwiseError, match=rf"{message} \(and {len(same) - 1} more\).* --keep {re.escape(same[0])}"):
        trace(network, "net", (3, 64, 64), 10)
    shape = trace(network, "net", (3, 64, 64), 10, tuple(same))
    others = [path for path, module in network.named_modules() if type(module) in (nn.Conv2d, nn.Linear)]
    assert sorted(layer.name for layer in shape.layers) == sorted(others)
    kept = {f"{path}.weight" for path in same}
    assert kept == {tensor.name for tensor in shape.tensors}
    assert shape.float_bytes == 4 * sum(parameter.numel() for parameter in network.parameters())
