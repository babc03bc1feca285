import copy
import shlex
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import relu

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Stacked
from bankwise.search_space.networks import build, network_names
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.trace import trace


class Forward(nn.Module):
    """Modules by name, and a forward pass over them."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.run = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.run(self, x)


def head(c: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 2))


def parameters(shape: NetworkShape, network: nn.Module) -> int:
    """All that the shape accounts for, statistics of kept norms apart."""
    buffers = dict(network.named_buffers())
    biases = sum(layer.n for layer in shape.layers if layer.bias)
    tensors = sum(tensor.elements for tensor in shape.tensors if tensor.name not in buffers)
    return shape.weights + biases + sum(2 * norm.channels for norm in shape.norms) + tensors


@pytest.mark.parametrize("name", network_names())
def test_every_parameter_of_our_networks_is_accounted_for(name):
    with torch.device("meta"):
        network = build(name, classes=10, in_channels=3)
    shape = trace(network, name, (3, 32, 32), 10)
    assert (shape.network, shape.input_shape, shape.classes) == (name, (3, 32, 32), 10)
    assert parameters(shape, network) == sum(parameter.numel() for parameter in network.parameters())
    assert [layer.kind for layer in shape.layers] == ["conv2d"] * (len(shape.layers) - 1) + ["linear"]
    assert all(layer.normalized != layer.bias and layer.calls == 1 for layer in shape.layers[:-1])
    biased = sum(layer.bias for layer in shape.layers[:-1])
    assert biased == (2 if name == "resnet8" else 0), "its projections, by its authors' design"
    assert len(shape.norms) == len(shape.layers) - 1 - biased and shape.tensors == ()


def test_each_field_of_a_convolution_and_a_linear_layer():
    conv = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    network = nn.Sequential(conv, nn.BatchNorm2d(6), nn.ReLU(inplace=True), *head(6))
    shape = trace(network, "users:net", (4, 9, 12), 2)
    assert shape.layers[0] == LayerShape(
        name="0",
        kind="conv2d",
        n=6,
        c=2,
        kernel=(3, 5),
        groups=2,
        stride=(2, 1),
        padding=(1, 0),
        dilation=(1, 2),
        bias=True,
        normalized=True,
        norm="1",
        in_size=(9, 12),
        out_size=(5, 4),
        calls=1,
        live_bytes=4 * (4 * 9 * 12 + 6 * 5 * 4),
    )
    assert shape.layers[1] == LayerShape("5", "linear", 2, 6, bias=True, live_bytes=4 * (6 + 2))


@pytest.mark.parametrize(("padding", "resolved"), [("valid", (0, 0)), ("same", (2, 1)), (1, (1, 1))])
def test_padding_by_name(padding, resolved):
    network = nn.Sequential(nn.Conv2d(1, 3, (5, 3), padding=padding), *head(3))
    layer = trace(network, "net", (1, 8, 8), 2).layers[0]
    assert layer.padding == resolved
    assert layer.out_size == (8 + 2 * resolved[0] - 4, 8 + 2 * resolved[1] - 2)


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_other_padding_modes_and_even_kernels_run():
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"), nn.Conv2d(3, 3, 4, padding="same"), *head(3)
    )
    assert [layer.out_size for layer in trace(network, "net", (1, 8, 8), 2).layers] == [(8, 8), (8, 8), (1, 1)]


def test_residual_block_counts_the_shortcut_and_not_what_python_still_holds():
    def forward(self, x):
        y = self.first(x)
        z = relu(self.norm(y))
        z = self.second(z)
        return self.head(relu(y + z))

    convs = {"first": nn.Conv2d(1, 2, 1), "second": nn.Conv2d(2, 2, 1)}
    network = Forward(forward, **convs, norm=nn.BatchNorm2d(2), head=head(2))
    shape = trace(network, "net", (1, 5, 5), 2)
    image, maps = 4 * 25, 4 * 50
    assert [layer.live_bytes for layer in shape.layers] == [image + maps, 3 * maps, 4 * (2 + 2)]
    assert shape.peak_live_bytes == 3 * maps  # the image is gone after the first layer
    assert [layer.normalized for layer in shape.layers] == [False, False, False]  # `first` goes to the sum as well


def test_shared_layers_in_place_activations_and_order_of_calls():
    def forward(self, x):
        x = self.first(x)
        x = self.shared(self.shared(x))
        x = self.before(x).relu_()
        return self.head(self.after(x))

    conv = {name: nn.Conv2d(3, 3, 3, padding=1) for name in ("before", "shared", "first")}
    network = Forward(forward, head=head(3), after=nn.BatchNorm2d(3), **conv)
    shape = trace(network, "net", (3, 6, 6), 2)
    assert [(layer.name, layer.calls) for layer in shape.layers[:3]] == [("first", 1), ("shared", 2), ("before", 1)]
    assert shape.layer("shared").positions == 72
    assert not shape.layer("before").normalized  # the activation comes between, on the same tensor


def test_normalized_needs_a_norm_of_its_own():
    def forward(self, x):
        return self.head(self.norm(self.first(x)) + self.norm(self.second(x)) + self.kept(self.third(x)))

    convs = {name: nn.Conv2d(3, 3, 1) for name in ("first", "second", "third")}
    network = Forward(forward, **convs, norm=nn.BatchNorm2d(3), kept=nn.BatchNorm2d(3), head=head(3))
    shape = trace(network, "net", (3, 4, 4), 2)
    assert [layer.normalized for layer in shape.layers] == [False, False, True, False]
    shape = trace(network, "net", (3, 4, 4), 2, keep=("kept",))
    assert not any(layer.normalized for layer in shape.layers)


def test_a_linear_layer_on_tokens_counts_its_positions_and_windows_count_as_calls():
    def forward(self, x):
        windows = x.reshape(3, 4, 2, 4, 2).permute(1, 3, 0, 2, 4).flatten(0, 1)  # 16 windows of one image
        x = self.conv(windows).flatten(1)[None]
        return self.token(x).mean(1)

    network = Forward(forward, conv=nn.Conv2d(3, 5, 2), token=nn.Linear(5, 2))
    shape = trace(network, "net", (3, 8, 8), 2)
    assert (shape.layer("conv").calls, shape.layer("conv").positions) == (16, 16)
    assert (shape.layer("token").calls, shape.layer("token").in_size) == (1, (16, 1))


def test_the_users_network_is_left_as_it_is():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), *head(4)).train()
    before, generator = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    trace(network, "net", (3, 4, 4), 2)
    assert network.training and all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_forward_pass_that_needs_values_or_random_numbers_runs_on_the_cpu():
    def forward(self, x):
        if x.sum() + torch.rand(()) < 0:
            x = -x
        return self.head(self.conv(x))

    network = Forward(forward, conv=nn.Conv2d(3, 4, 1), head=head(4))
    generator = torch.get_rng_state()
    shape = trace(network, "net", (3, 4, 4), 2)
    assert shape.layers[0].live_bytes == 4 * (3 + 4) * 16
    assert torch.equal(torch.get_rng_state(), generator)


def test_layers_that_depend_on_the_image_are_refused():
    def forward(self, x):
        order = (self.one, self.other) if x.sum() > 0 else (self.other, self.one)
        return self.head(order[1](order[0](x)))

    network = Forward(forward, one=nn.Conv2d(3, 3, 1), other=nn.Conv2d(3, 3, 1), head=head(3))
    with pytest.raises(BankwiseError, match="network 'net': the values of an image decide which layers run"):
        trace(network, "net", (3, 4, 4), 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_than_float32_is_refused_by_name(dtype):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), *head(4)).to(dtype)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(BankwiseError, match=rf"0.weight is {kind}; networks are trained in float32: use .float\(\)"):
        trace(network, "net", (3, 4, 4), 2)


@pytest.mark.parametrize("change", ["subclass", "forward", "hook", "pre-hook", "buffer", "child"])
def test_a_layer_that_runs_otherwise_than_torch_runs_it_is_named_and_can_be_kept(change):
    class Standardized(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return super()._conv_forward(x, weight - weight.mean(), bias)

    conv = Standardized(3, 4, 1) if change == "subclass" else nn.Conv2d(3, 4, 1)
    if change == "forward":
        conv.forward = lambda x: F.conv2d(x, conv.weight.abs(), conv.bias)
    elif change == "hook":
        conv.register_forward_hook(lambda module, args, out: 2 * out)
    elif change == "pre-hook":
        conv.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    elif change == "buffer":
        conv.register_buffer("mask", torch.ones(4, dtype=torch.bool))
    elif change == "child":
        conv.after = nn.ReLU()
    network = nn.Sequential(conv, *head(4))
    with pytest.raises(BankwiseError, match=r"0 \(\w+, 16 parameters\) is .*: --keep 0$"):
        trace(network, "net", (3, 4, 4), 2)
    shape = trace(network, "net", (3, 4, 4), 2, keep=("0",))
    assert [layer.name for layer in shape.layers] == ["3"]
    assert [tensor.name for tensor in shape.tensors] == ["0.weight", "0.bias"]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), *head(2)), "network 'net' cannot run on an image of 3x4x4 .*: RuntimeError"),
        (nn.Sequential(nn.Conv2d(3, 2, 5), *head(2)), "cannot run on an image of 3x4x4"),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), r"gives \(1, 2, 2, 2\) for one image, expected logits \(1, 2\)"),
        (Forward(lambda self, x: (x, x)), r"gives \(\(1, 3, 4, 4\), \(1, 3, 4, 4\)\) for one image"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), "1.weight is lazy"),
        (
            Forward(lambda self, x: self.head(x), head=head(3), spare=nn.Linear(2, 2)),
            r"network 'net': spare \(Linear, 6 parameters\) is never called",
        ),
    ],
)
def test_errors_are_one_line(network, words):
    with pytest.raises(BankwiseError, match=words) as caught:
        trace(network, "net", (3, 4, 4), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "densenet121", "mobilenet_v2"])
def test_torchvision_classifiers(name):
    with torch.device("meta"):
        network = build(f"torchvision:{name}", classes=10, in_channels=3)
    shape = trace(network, name, (3, 224, 224), 10)
    assert parameters(shape, network) == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["convnext_tiny", "vit_b_16", "swin_t"])
def test_what_the_error_tells_to_keep_is_enough(name):
    with torch.device("meta"):
        network = build(f"torchvision:{name}", classes=10, in_channels=3)
    with pytest.raises(BankwiseError, match="it can be kept in floating point: --keep ") as caught:
        trace(network, name, (3, 224, 224), 10)
    keep = tuple(word for word in shlex.split(str(caught.value).partition(" point: ")[2]) if word != "--keep")
    shape = trace(network, name, (3, 224, 224), 10, keep)
    assert shape.layers and len(keep) <= 3
    assert parameters(shape, network) == sum(parameter.numel() for parameter in network.parameters())


def test_with_any_output_maps_and_boxes_are_priced_and_what_comes_behind_the_last_layer_may_fail():
    def forward(self, x):
        maps = self.conv(x)
        return {"maps": maps, "scores": [self.head(maps)]}

    def fails(self, x):
        return self.head(self.conv(x)).nonzero()[int(x.sum())]

    def fails_before(self, x):
        return self.head(self.conv(x)[int(x.sum() + 7)])

    modules = {"conv": nn.Conv2d(3, 4, 1), "head": head(4)}
    plain = trace(Forward(lambda self, x: self.head(self.conv(x)), **modules), "net", (3, 4, 4), 2)
    for run, given in ((forward, 4 * 4 * 4 * 4), (fails, 0)):  # maps that are given stay alive to the end
        network = Forward(run, **modules)
        layers = trace(network, "net", (3, 4, 4), 2, any_output=True).layers
        assert layers[0] == plain.layers[0]
        assert layers[-1] == replace(plain.layers[-1], live_bytes=plain.layers[-1].live_bytes + given)
        with pytest.raises(BankwiseError):
            trace(network, "net", (3, 4, 4), 2)
    with pytest.raises(BankwiseError, match="cannot run on an image of 3x4x4"):
        trace(Forward(fails_before, **modules), "net", (3, 4, 4), 2, any_output=True)


@pytest.mark.parametrize(
    ("name", "size", "layers", "keep"),
    [("ssd300_vgg16", 300, 35, ("backbone.scale_weight",)), ("fcn_resnet50", 128, 55, ())],
)
def test_detectors_and_segmentation_networks(name, size, layers, keep):
    with torch.device("meta"):
        network = build(f"torchvision:{name}", classes=21, in_channels=3)
    shape = trace(network, name, (3, size, size), 21, keep, any_output=True)
    assert parameters(shape, network) == sum(parameter.numel() for parameter in network.parameters())
    assert len(shape.layers) == layers


def test_the_norm_behind_each_normalized_layer():
    network = build("resnet20", classes=10, in_channels=3)
    shape = trace(network, "resnet20", (3, 32, 32), 10)
    behind = {layer.name: layer.norm for layer in shape.layers if layer.norm}
    assert behind.keys() == {layer.name for layer in shape.layers if layer.normalized}
    assert behind["1.0.conv1"] == "1.0.norm1" and behind["2.0.shortcut.0"] == "2.0.shortcut.1"
    assert sorted(behind.values()) == sorted(norm.name for norm in shape.norms)


def test_work_outside_the_layers_is_counted():
    """A kept convolution, a product with a parameter, a transposed weight of a layer, and attention."""

    def forward(self, x):
        h = self.stem(x)  # (1, 4, 6, 6)
        h = F.conv2d(h, self.own)  # (1, 4, 5, 5)
        tokens = h.flatten(2).transpose(1, 2)  # (1, 25, 4)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        back = F.linear(self.enc(tokens), self.enc.weight.t())
        return self.last(back.mean(1)) + back[0, 0] @ self.table

    network = Forward(
        forward,
        stem=nn.Conv2d(3, 4, 3),
        attention=nn.MultiheadAttention(4, 2, batch_first=True),
        enc=nn.Linear(4, 8),
        last=nn.Linear(4, 2),
    )
    network.own = nn.Parameter(torch.randn(4, 4, 2, 2))
    network.table = nn.Parameter(torch.randn(4, 2))
    shape = trace(network, "net", (3, 8, 8), 2, keep=("stem", "attention", "own", "table"))
    assert [layer.name for layer in shape.layers] == ["enc", "last"] and shape.uncounted == ()
    stem, own = 4 * 3 * 9 * 36, 4 * 4 * 4 * 25
    attention = 25 * 4 * 12 + 2 * 25 * 25 * 4 + 25 * 4 * 4  # projections in, two products, projection out
    assert shape.other_work == stem + own + attention + 25 * 8 * 4 + 4 * 2


def test_a_layer_at_several_sizes_is_counted_at_each():
    def forward(self, x):
        return self.head(self.conv(self.conv(x)))

    shape = trace(Forward(forward, conv=nn.Conv2d(3, 3, 3), head=head(3)), "net", (3, 8, 8), 2)
    layer = shape.layers[0]
    assert (layer.out_size, layer.calls, layer.out_sizes) == ((6, 6), 2, (((6, 6), 1), ((4, 4), 1)))
    assert layer.positions == 36 + 16
    choice = Stacked(4, 3, (3, 3))
    assert choice.operations(layer, "merge").additions == 4 * 27 * (36 + 16) + 3 * (36 + 16)
    assert choice.operations(layer, "merge").map_bytes == 4 * 4 * 36
    assert choice.operations(layer, "materialized").multiplications == 81 * (36 + 16)
    linear = Forward(lambda self, x: self.head(x) + self.head[2](x[0, :, :2, 0].t()).mean(0), head=head(3))
    assert trace(linear, "net", (3, 8, 8), 2).layers[0].positions == 1 + 2


def test_a_weight_that_others_read_keeps_its_scale_out_of_the_norm_behind():
    def forward(self, x):
        h = self.norm(self.conv(x))
        return self.head(F.conv_transpose2d(h, self.conv.weight))

    network = Forward(forward, conv=nn.Conv2d(3, 4, 1), norm=nn.BatchNorm2d(4), head=head(3))
    assert not trace(network, "net", (3, 4, 4), 2).layer("conv").normalized


def test_a_norm_over_another_dimension_than_the_filters_is_not_behind_the_layer():
    """Of as many channels, of more or of fewer; and a linear layer's own norm is."""

    def over_maps(self, x):
        return self.head(self.norm(self.token(self.first(x))))

    for channels in (6, 9):
        network = Forward(
            over_maps,
            first=nn.Conv2d(3, channels, 1),
            token=nn.Linear(6, 6),
            norm=nn.BatchNorm2d(channels),
            head=head(channels),
        )
        assert not any(layer.normalized for layer in trace(network, "net", (3, 6, 6), 2).layers)

    def over_tokens(self, x):
        return self.last(self.norm(self.token(x.flatten(2))).mean(2))

    network = Forward(over_tokens, token=nn.Linear(36, 5), norm=nn.BatchNorm1d(3), last=nn.Linear(3, 2))
    assert not trace(network, "net", (3, 6, 6), 2).layer("token").normalized
    network = nn.Sequential(nn.Flatten(), nn.Linear(108, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    assert [layer.normalized for layer in trace(network, "net", (3, 6, 6), 2).layers] == [True, False]


def test_a_norm_that_is_read_beside_its_call_stays_by_itself():
    def forward(self, x):
        h = self.norm(self.first(x)).relu()
        again = F.batch_norm(self.second(h), self.norm.running_mean, self.norm.running_var, self.norm.weight)
        return self.head(again)

    network = Forward(
        forward, first=nn.Conv2d(3, 4, 1), second=nn.Conv2d(4, 4, 1), norm=nn.BatchNorm2d(4), head=head(4)
    )
    assert not any(layer.normalized for layer in trace(network, "net", (3, 6, 6), 2).layers)
