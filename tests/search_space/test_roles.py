import shlex
from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.roles import is_layer, is_norm, sort_modules


class Scaled(nn.Module):
    """A module that owns a parameter and a buffer beside a layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.gamma = nn.Parameter(torch.ones(4))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("cache", torch.zeros(9), persistent=False)
        self.register_buffer("index", torch.arange(5))


def sort(network, keep=()):
    """As if the forward pass called everything."""
    return sort_modules(network, keep, {name for name, _ in network.named_modules()})


def kept(roles):
    return {tensor.name: tensor.shape for tensor in roles.tensors}


def test_every_module_has_its_role():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        nn.GroupNorm(2, 8),
        nn.InstanceNorm2d(8, affine=True),
        nn.InstanceNorm2d(8),
        nn.BatchNorm2d(8, affine=False),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.Embedding(5, 2),
        nn.LayerNorm((2, 3)),
        nn.Linear(3, 2),
        nn.BatchNorm1d(2),
    )
    roles = sort(network)
    assert roles.layers == ("0", "10")
    assert roles.norms == ("1", "6", "11")
    assert kept(roles) == {
        "2.weight": (8,),
        **{f"{i}.{name}": (8,) for i in (3, 4, 7) for name in ("weight", "bias")},
        "8.weight": (5, 2),
        "9.weight": (2, 3),
        "9.bias": (2, 3),
    }


def test_kept_layers_and_norms_are_tensors_with_their_statistics():
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), nn.Conv2d(8, 8, 1))
    roles = sort(network, keep=("0",))
    assert roles.layers == ("1",) and roles.norms == ()
    statistics = {"0.1.running_mean": (8,), "0.1.running_var": (8,)}
    assert (
        kept(roles) == {"0.0.weight": (8, 3, 3, 3), "0.0.bias": (8,), "0.1.weight": (8,), "0.1.bias": (8,)} | statistics
    )
    assert sort(network, keep=("*",)).layers == ()


def test_own_parameters_are_kept_by_their_path_and_floating_persistent_buffers_always():
    network = nn.Sequential(Scaled(), Scaled())
    with pytest.raises(BankwiseError, match=r"0.gamma \(4 parameters of Scaled.*and 1 more.*: --keep '\*.gamma'$"):
        sort(network)
    roles = sort(network, keep=("*.gamma",))
    assert roles.layers == ("0.conv", "1.conv")
    assert kept(roles) == {"0.gamma": (4,), "0.mean": (3,), "1.gamma": (4,), "1.mean": (3,)}
    assert sort(network, keep=("0", "1.gamma")).layers == ("1.conv",)


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(3, 4),
        nn.Conv3d(3, 4, 1),
        nn.ConvTranspose2d(3, 4, 2),
        nn.MultiheadAttention(4, 2),
        nn.Bilinear(2, 3, 4),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_other_modules_are_an_error_that_tells_how_to_keep_them(module):
    network = nn.Sequential(nn.Conv2d(3, 3, 1), module)
    size = sum(parameter.numel() for parameter in module.parameters())
    with pytest.raises(BankwiseError) as caught:
        sort(network)
    message = str(caught.value)
    assert message.startswith(f"1 ({type(module).__name__}, {size} parameters)") and message.endswith("keep 1")
    roles = sort(network, keep=("1",))
    assert sum(tensor.elements for tensor in roles.tensors) == size


def test_the_suggested_patterns_match_what_is_to_be_kept_and_nothing_else():
    network = nn.ModuleDict({"a": Scaled(), "b": nn.ModuleList([nn.GRU(2, 2), nn.GRU(2, 2), nn.Linear(2, 2)])})
    with pytest.raises(BankwiseError) as caught:
        sort(network)
    patterns = [word for word in shlex.split(str(caught.value).partition(" point: ")[2]) if word != "--keep"]
    matched = {name for name, _ in network.named_modules() if any(fnmatchcase(name, p) for p in patterns)}
    assert matched == {"b.0", "b.1"}
    assert sort(network, keep=tuple(patterns)).layers == ("a.conv", "b.2")


def test_what_is_never_called_is_an_error_unless_kept():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.BatchNorm1d(2))
    with pytest.raises(BankwiseError, match=r"1 \(Linear, 8 parameters\) is never called.*: --keep 1 --keep 2$"):
        sort_modules(network, (), {"0"})
    assert sort_modules(network, ("1", "2"), {"0"}).layers == ("0",)


def test_shared_parameters():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    with pytest.raises(BankwiseError, match="0.weight and 1.weight are one shared parameter.*--keep 0 --keep 1$"):
        sort(network)
    with pytest.raises(BankwiseError, match="shared"):
        sort(network, keep=("1",))
    assert list(kept(sort(network, keep=("0", "1")))) == ["0.weight", "0.bias", "1.bias"]


def test_a_module_used_under_two_names_is_one():
    layer = nn.Linear(3, 3)
    assert sort(nn.Sequential(layer, nn.ReLU(), layer)).layers == ("0",)


def test_a_pattern_that_keeps_nothing_is_an_error():
    network = nn.Sequential(nn.Linear(3, 3))
    for pattern in ("1", "0.weight"):
        with pytest.raises(BankwiseError, match=f"keep pattern '{pattern}' matches no module"):
            sort(network, keep=(pattern,))


def test_a_layer_with_a_forward_of_its_own_is_not_one_we_can_replace():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)

    class Renamed(nn.Conv2d):
        pass

    assert is_layer(Renamed(1, 1, 1)) and not is_layer(Standardized(1, 1, 1))
    assert is_norm(nn.BatchNorm1d(2, affine=False)) and not is_norm(nn.BatchNorm1d(2, track_running_stats=False))
