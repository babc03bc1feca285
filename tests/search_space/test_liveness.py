import pytest
import torch
from torch.nn.functional import max_pool2d, relu

from bankwise.search_space.liveness import Recorder


def record(forward, image, constants=()):
    recorder = Recorder(constants)
    with recorder:
        output = forward(image)
    return recorder, recorder.live_bytes(image, output)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_chain_holds_input_and_output_of_each_operation(device):
    image = torch.zeros(1, 2, 4, 4, device=device)  # 128 bytes
    weight = torch.zeros(3, 2, 1, 1, device=device)  # a constant takes nothing

    def forward(x):
        y = torch.nn.functional.conv2d(x, weight)  # 192 bytes
        y = y * 2
        y = y.relu_()  # in place: nothing new
        return y.view(1, 48)[:, :5] + 1  # views: nothing new; 20 bytes

    recorder, live = record(forward, image, [weight])
    assert live[0] == 128 + 192
    assert live[1] == 192 + 192
    assert live[2] == 192
    assert live[-1] == 192 + 20
    assert max(live) == 384


def test_the_image_counts_from_the_beginning_and_a_shortcut_until_it_is_added():
    image = torch.zeros(1, 4, device="meta")  # 16 bytes

    def forward(x):
        constant = torch.ones(1, 4, device="meta")
        y = relu(x)
        y = relu(y)
        return (y + x) * constant

    _, live = record(forward, image)
    assert live == [16 + 16, 16 * 3, 16 * 4, 16 * 4, 16 * 3]


def test_python_references_do_not_prolong_a_life():
    def forward(x):
        every = [x]
        for _ in range(5):
            every.append(relu(every[-1]))
        return every[-1]

    _, live = record(forward, torch.zeros(10, device="meta"))
    assert live == [80] * 5


def test_every_tensor_of_an_output_lives_to_the_end():
    image = torch.zeros(1, 4, device="meta")
    _, live = record(lambda x: {"a": relu(x), "b": [relu(x), "c"], "d": relu(relu(x))}, image)
    assert live == [16 + 16, 16 * 3, 16 * 4, 16 * 4]
    _, nothing = record(lambda x: (relu(x), None)[1], image)  # a result that nobody reads
    assert nothing == [16]


def test_pooling_indices_take_nothing():
    _, live = record(lambda x: max_pool2d(x, 2), torch.zeros(1, 1, 4, 4, device="meta"))
    assert live == [64 + 16]


def test_uses_sees_views_and_in_place_operations():
    image = torch.zeros(1, 4)
    recorder = Recorder([])
    with recorder:
        y = relu(image)
        start = len(recorder.operations)
        y.view(4).add_(1)
        relu(image)
    assert recorder.uses(y, start) == [start, start + 1]
