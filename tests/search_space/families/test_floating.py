import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Float
from bankwise.search_space.shape import LayerShape

SHAPE = LayerShape("fc", "linear", 4, 3)


@pytest.mark.parametrize(("bits", "number"), [(16, torch.float16), (32, torch.float32)])
def test_values_are_ieee_numbers(bits, number):
    choice = Float(bits)
    basis = choice.basis(SHAPE)
    weight = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 6e-8, 1e-3, 3e4, -3e4, 1 / 3, 2.5]).reshape(4, 3, 1, 1)
    basis.start_from(weight)
    assert torch.equal(choice.weight(SHAPE, basis.codes()), weight.to(number).float())


def test_a_weight_that_is_no_number_is_an_error():
    basis = Float(16).basis(SHAPE)
    basis.start_from(torch.full((4, 3, 1, 1), 1e6))
    with pytest.raises(BankwiseError, match="not finite in 16-bit.*1e\\+06"):
        basis.codes()
