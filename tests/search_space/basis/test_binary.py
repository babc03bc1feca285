import torch

from search_space.basis import Binary
from search_space.shape import LayerShape

SHAPE = LayerShape("conv", "conv2d", 4, 3, (3, 3), padding=(1, 1), in_size=(8, 8), out_size=(8, 8))


def test_a_weight_is_its_sign_and_one_bit():
    basis = Binary().basis(SHAPE)
    weight = torch.randn(SHAPE.weight_shape)
    basis.start_from(weight)
    assert torch.equal(basis(), weight.sign())
    assert [part.total_bits for part in Binary().parts(SHAPE)] == [4 * 3 * 9]


def test_a_device_multiplies_nothing():
    merge = Binary().operations(SHAPE, "merge")
    assert (merge.multiplications, merge.additions, merge.map_bytes) == (0, 4 * 3 * 9 * 64, 0)
