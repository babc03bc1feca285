import sys

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.networks import at_width, at_widths, build, network_names, stages
from bankwise.search_space.trace import trace

# The weights of the papers' worked table: every 3x3 convolution but the first. The first convolution, the 1x1
# projections of the shortcuts and the classifier are outside.
TABLE = {"vgg16": 14_708_736, "resnet20": 267_264, "resnet56": 847_872, "resnet18": 10_985_472}


def meta(reference: str, classes: int = 10, in_channels: int = 3) -> nn.Module:
    with torch.device("meta"):
        return build(reference, classes=classes, in_channels=in_channels)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("name", TABLE)
def test_weights_of_the_worked_table(name):
    three = [conv for conv in convolutions(meta(name)) if conv.kernel_size == (3, 3)]
    assert sum(conv.weight.numel() for conv in three[1:]) == TABLE[name]


@pytest.mark.parametrize("name", ["vgg16", "resnet20", "resnet56", "resnet18"])
def test_depth_is_in_the_name(name):
    network = meta(name)
    weighted = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    projections = [conv for conv in convolutions(network) if conv.kernel_size == (1, 1)]
    assert len(weighted) - len(projections) == {"vgg16": 14}.get(name) or int(name.removeprefix("resnet"))


# Parameters as they were published; with the statistics of batch norms, `all`: and a bias for every convolution, as
# Keras counts. MLPerf Tiny's models, MobileNetV1 of Keras (4,253,864 with and 4,231,976 without statistics), V2 of
# torchvision, both for 1,000 classes, and the copies of ResNet-9.
PUBLISHED = [
    ("resnet8", 10, 3, "all", 78_666),
    ("dscnn", 12, 1, "all", 24_908),
    ("mobilenet_v1@0.25", 2, 3, "all", 221_794),
    ("mobilenet_v1", 1000, 3, "statistics", 4_253_864),
    ("mobilenet_v1", 1000, 3, "parameters", 4_231_976),
    ("mobilenet_v2", 1000, 3, "parameters", 3_504_872),
    ("resnet9", 10, 3, "parameters", 6_573_130),
]


@pytest.mark.parametrize(("name", "classes", "in_channels", "counted", "count"), PUBLISHED)
def test_parameters_as_published(name, classes, in_channels, counted, count):
    network = meta(name, classes, in_channels)
    found = sum(parameter.numel() for parameter in network.parameters())
    if counted != "parameters":
        found += sum(2 * module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    if counted == "all":
        found += sum(conv.out_channels for conv in convolutions(network) if conv.bias is None)
    assert found == count


def test_mobilenet_v2_has_the_layers_of_torchvisions():
    """Shape for shape, but for the strides and the classifier's place."""
    theirs = [conv.weight.shape for conv in convolutions(meta("torchvision:mobilenet_v2", classes=10))]
    assert [conv.weight.shape for conv in convolutions(meta("mobilenet_v2"))] == theirs


@pytest.mark.parametrize(
    ("name", "size", "maps"),
    [
        ("dscnn", (49, 10), [(25, 5)]),
        ("resnet8", (32, 32), [(32, 32), (16, 16), (8, 8)]),
        ("mobilenet_v1", (32, 32), [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]),
        ("mobilenet_v2", (32, 32), [(32, 32), (16, 16), (8, 8), (4, 4)]),
        ("resnet9", (32, 32), [(32, 32), (16, 16), (8, 8), (4, 4)]),
    ],
)
def test_maps_of_compact_networks(name, size, maps):
    layers = trace(meta(name), name, (3, *size), 10).layers
    assert list(dict.fromkeys(layer.out_size for layer in layers if layer.kind == "conv2d")) == maps


def test_depthwise_kernels_have_a_channel_each():
    for name, count in (("dscnn", 4), ("mobilenet_v1", 13), ("mobilenet_v2", 17)):
        grouped = [conv for conv in convolutions(meta(name)) if conv.groups > 1]
        assert len(grouped) == count and all(conv.groups == conv.in_channels == conv.out_channels for conv in grouped)


@pytest.mark.parametrize(
    ("reference", "blocks"),
    [
        ("resnet20@d1", (1, 1, 1)), ("resnet20@0.5d1,0,2", (1, 0, 2)), ("resnet8@2d3", (3, 3, 3)),
        ("resnet18@d1,1,1,2", (1, 1, 1, 2)), ("resnet56", (9, 9, 9)),
    ],
)  # fmt: skip
def test_a_depth_for_each_stage(reference, blocks):
    """Two 3x3 convolutions a block; a stage of no blocks is left out."""
    network = meta(reference)
    three = [conv for conv in convolutions(network) if conv.kernel_size == (3, 3)]
    assert len(three) == 1 + 2 * sum(blocks)
    assert network.eval()(torch.empty(1, 3, 32, 32, device="meta")).shape == (1, 10)


def test_depths_of_the_other_compact_networks():
    counts = {"dscnn@d7": 1 + 2 * 7, "mobilenet_v1@0.5d1": 1 + 2 * 5, "mobilenet_v2@0.25d0,1,2,0,0,1,0": 2 + 3 * 4,
              "resnet9@d2,0,1": 4 + 2 * 3}  # fmt: skip
    for reference, count in counts.items():
        assert len(convolutions(meta(reference))) == count
        build(reference.replace("@d", "@0.1d"), classes=2, in_channels=1)(torch.randn(2, 1, 8, 8))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("resnet20@d1,2", "2 depths for a network of 3 stages: give one, or one for each stage"),
        ("resnet20@d", "depths are whole numbers from 0 to 100, not ''"),
        ("resnet20@0.5d1.5", "not '1.5'"),
        ("resnet20@d-1", "not '-1'"),
        ("resnet20@d101", "not '101'"),
        ("resnet20@d" + "9" * 5000, "depths are whole numbers"),
        ("small@d2", "comes in one depth; those with others: resnet20, resnet56, resnet18, resnet8, resnet9, dscnn"),
        ("resnet20@xd2", "a width must be a number above 0"),
    ],
)
def test_bad_depth(reference, words):
    with pytest.raises(BankwiseError, match=words) as caught:
        build(reference, classes=10, in_channels=3)
    assert "\n" not in str(caught.value)


def test_small_has_the_channels_and_strides_of_its_docstring():
    assert [conv.out_channels for conv in convolutions(meta("small"))] == [32, 32, 64, 64, 128, 128]
    assert [conv.stride[0] for conv in convolutions(meta("small"))] == [1, 2, 1, 2, 1, 2]
    assert [conv.out_channels for conv in convolutions(meta("tiny"))] == [16, 32, 32, 64]


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize(("in_channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_every_network_takes_every_image_size(name, in_channels, size):
    image = torch.empty(2, in_channels, size, size, device="meta")
    network = meta(name, classes=7, in_channels=in_channels).eval()
    assert network(image).shape == (2, 7)
    biased = [conv for conv in convolutions(network) if conv.bias is not None]
    assert not biased or name == "resnet8" and [conv.kernel_size for conv in biased] == [(1, 1)] * 2


def test_a_network_gives_gradients_to_every_parameter():
    network = build("resnet20@0.25", classes=4, in_channels=1)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_width_multiplies_channels():
    narrow = [conv.out_channels for conv in convolutions(meta("small@0.34"))]
    assert narrow == [11, 11, 22, 22, 44, 44]
    assert {conv.out_channels for conv in convolutions(meta("tiny@0.001"))} == {1}


@pytest.mark.parametrize(
    ("reference", "stages"),
    {
        "tiny@0.5,2,0.25": [[8], [64, 64], [16]],
        "small@1,0.5,0.25": [[32, 32], [32, 32], [32, 32]],
        "vgg_small@0.125,0.0625,0.5": [[16, 16], [16, 16], [256, 256]],
        "vgg16@0.5,0.25,0.125,0.0625,1": [[32] * 2, [32] * 2, [32] * 3, [32] * 3, [512] * 3],
        "resnet20@2,0.5,0.25": [[32] * 7, [16] * 7, [16] * 7],  # stem or projection, and three blocks
    }.items(),
)
def test_a_width_for_each_stage(reference, stages):
    found = [conv.out_channels for conv in convolutions(meta(reference))]
    assert found == [channels for stage in stages for channels in stage]


@pytest.mark.parametrize("name", network_names())
def test_stages_are_those_that_take_a_width(name):
    count = stages(name)
    assert convolutions(meta(f"{name}@{','.join(['0.5'] * count)}"))
    for other in {2, 3, 4, 5, 6} - {count}:
        with pytest.raises(BankwiseError, match=f"{other} widths for a network of {count} stages"):
            meta(f"{name}@{','.join(['0.5'] * other)}")


def test_a_number_of_widths_that_is_not_that_of_the_stages():
    with pytest.raises(BankwiseError, match="^network 'small@1,2': 2 widths for a network of 3 stages"):
        build("small@1,2", classes=10, in_channels=3)


@pytest.mark.parametrize("width", ["", "x", "1,", "1,2,0", "0", "-1", "nan", "inf"])
def test_bad_width(width):
    with pytest.raises(BankwiseError, match="a width must be a number above 0"):
        build(f"small@{width}", classes=10, in_channels=3)


@pytest.mark.parametrize("size", [(32, 32), (45, 60), (360, 480)])
def test_segnet_gives_a_class_for_every_pixel(size):
    network = meta("segnet", classes=11).eval()
    assert network(torch.empty(2, 3, *size, device="meta")).shape == (2, 11, *size)
    assert [conv.out_channels for conv in convolutions(network)][:13] == [
        64, 64, 128, 128, *[256] * 3, *[512] * 6
    ]  # fmt: skip
    assert len(convolutions(network)) == 26


def test_segnet_puts_maps_back_where_they_were_largest():
    network = build("segnet@0.05", classes=3, in_channels=1).eval()
    places = []
    network.pool.register_forward_hook(lambda _, inputs, output: places.append(output[1]))
    network.unpool.register_forward_hook(lambda _, inputs, output: places.append((inputs[1], output)))
    network(torch.randn(1, 1, 40, 50))
    for down, (up, filled) in zip(places[:5], reversed(places[5:]), strict=True):
        assert torch.equal(down, up)
        flat = filled.flatten(2)
        assert (flat.scatter(2, up.flatten(2), 0.0) == 0).all()  # nothing anywhere else


def test_unknown_name_names_the_nearest():
    with pytest.raises(BankwiseError, match="unknown network 'resnet21': did you mean resnet20"):
        build("resnet21", classes=10, in_channels=3)
    with pytest.raises(BankwiseError, match="torchvision:NAME"):
        build("nothing-like-it", classes=10, in_channels=3)


def test_torchvision_by_name():
    network = meta("torchvision:mobilenet_v2", classes=17)
    assert network.eval()(torch.empty(1, 3, 64, 64, device="meta")).shape == (1, 17)
    with pytest.raises(BankwiseError, match="did you mean mobilenet_v2"):
        build("torchvision:mobilenet2", classes=10, in_channels=3)
    maps = meta("torchvision:lraspp_mobilenet_v3_large", classes=5).eval()(torch.empty(1, 3, 64, 64, device="meta"))
    assert maps["out"].shape == (1, 5, 64, 64)
    with pytest.raises(BankwiseError, match="did you mean ssd300_vgg16"):
        build("torchvision:ssd300", classes=10, in_channels=3)
    with pytest.raises(BankwiseError, match="takes 3 input channels, the data have 1"):
        build("torchvision:resnet18", classes=10, in_channels=1)


def test_torchvision_networks_that_need_values_or_have_auxiliary_heads():
    assert all(parameter.is_meta for parameter in meta("torchvision:regnet_y_400mf").parameters())
    assert not any("aux" in name for name, _ in meta("torchvision:googlenet").named_modules())


USER = """
from torch import nn

def make(num_classes, in_channels):
    return nn.Conv2d(in_channels, num_classes, 1)

def fixed(depth=2):
    return nn.Conv2d(depth, depth, 1)

class Net(nn.Module):
    def __init__(self, num_classes=3, **other):
        super().__init__()
        self.head = nn.Linear(5, num_classes)
        self.other = other

def fails():
    raise RuntimeError("first line" + chr(10) + "second line")

def number():
    return 3

instance = Net()
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module in the current directory, which is not yet on sys.path."""
    (tmp_path / "bankwise_users_net.py").write_text(USER)
    (tmp_path / "bankwise_broken_net.py").write_text("def make(:\n")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    yield "bankwise_users_net"
    sys.modules.pop("bankwise_users_net", None)


def test_users_factory_gets_what_its_signature_takes(user_module):
    network = build(f"{user_module}:make", classes=6, in_channels=2)
    assert (network.out_channels, network.in_channels) == (6, 2)
    assert build(f"{user_module}:fixed", classes=6, in_channels=9).out_channels == 2
    network = build(f"{user_module}:Net", classes=6, in_channels=9)
    assert network.head.out_features == 6 and network.other == {}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("bankwise_no_such_module:make", "cannot import 'bankwise_no_such_module'"),
        ("bankwise_broken_net:make", "cannot import 'bankwise_broken_net' .SyntaxError"),
        (":make", "cannot import ''"),
        ("bankwise_users_net:", "no function or class ''"),
        ("bankwise_users_net:absent", "no function or class 'absent'"),
        ("bankwise_users_net:instance", "no function or class 'instance'"),
        ("bankwise_users_net:fails", "fails failed .RuntimeError: first line"),
        ("bankwise_users_net:number", "must return an nn.Module, it returned int"),
    ],
)
def test_bad_user_module_is_one_line(user_module, reference, words):
    with pytest.raises(BankwiseError, match=words) as caught:
        build(reference, classes=10, in_channels=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "width", "wanted"),
    [
        ("resnet20@d2", 0.5, "resnet20@0.5d2"),
        ("resnet20@2d1,2,3", 0.5, "resnet20@d1,2,3"),
        ("small", 0.5, "small@0.5"),
        ("small", 1, "small"),
        ("small@0.5", 0.29, "small@0.145"),
        ("tiny@0.5", 2, "tiny"),
    ],
)
def test_the_reference_at_a_width(reference, width, wanted):
    assert at_width(reference, width) == wanted
    build(wanted, classes=10, in_channels=1)


@pytest.mark.parametrize("name", ["small", "tiny", "resnet20", "vgg_small"])
def test_a_width_is_traced_under_its_name(name):
    """All channels but those of the image and the classes are halved; so weights are quartered, norms halved."""
    whole, half = (trace(meta(at_width(name, width)), at_width(name, width), (3, 32, 32), 10) for width in (1, 0.5))
    assert half.network == f"{name}@0.5"
    assert [norm.channels for norm in half.norms] == [norm.channels // 2 for norm in whole.norms]
    assert [layer.weights for layer in half.layers[1:-1]] == [layer.weights // 4 for layer in whole.layers[1:-1]]
    assert half.layers[0].weights == whole.layers[0].weights // 2


def test_other_networks_come_in_one_width():
    for reference in ("torchvision:resnet18", "package:make", "resnet21"):
        with pytest.raises(BankwiseError, match=f"'{reference}' comes in one width; those with others: tiny, small"):
            at_width(reference, 0.5)


@pytest.mark.parametrize(
    ("widths", "text"),
    [((1.0, 1.0), "tiny"), ((0.5, 0.5), "tiny@0.5"), ((0.25,), "tiny@0.25"), ((1, 0.5, 2), "tiny@1,0.5,2")],
)
def test_references_of_widths(widths, text):
    assert at_widths("tiny", widths) == text
    assert at_width(text, 0.5) == at_widths("tiny", [width / 2 for width in widths])
