"""Evaluation and batch norm recalibration."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.torchvision_import import import_torchvision
from bankwise.trainers.data import to_input
from bankwise.trainers.evaluate import accuracy, predict, realign, recalibrate


class Brightest(nn.Module):
    """Its logits are the means of the image's rows: the label is the brightest row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return x.mean((1, 3))


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 2, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(18, 4)
    )


@pytest.mark.parametrize("batch", [1, 7, 23, 500])
def test_logits_and_accuracy(batch):
    x = pixels(23)
    model = Brightest()
    logits = predict(model, x, batch)
    assert torch.allclose(logits, to_input(x).mean((1, 3))) and logits.dtype == torch.float32
    labels = logits.argmax(1)
    assert accuracy(model, x, labels, batch) == 1.0
    labels[:6] = (labels[:6] + 1) % 4
    assert accuracy(model, x, labels, batch) == 17 / 23


def test_bfloat16_logits_are_near_and_flips_are_averaged():
    """In bfloat16, of 8 bits, logits move by less than 2 % of the largest; what leads by twice that still leads."""
    model, x = network(), pixels(200)
    plain, half = predict(model, x), predict(model, x, amp=True)
    assert half.dtype == torch.float32 and not torch.equal(plain, half)
    assert (plain - half).abs().max() < 0.02 * plain.abs().max()
    top = plain.topk(2, 1).values
    sure = (top[:, 0] - top[:, 1]) > 0.04 * plain.abs().max()
    assert sure.sum() > 100 and torch.equal(plain.argmax(1)[sure], half.argmax(1)[sure])
    both = predict(model, x, flips=True)
    assert torch.allclose(both, (plain + predict(model, x.flip(3))) / 2, atol=1e-6)
    assert accuracy(model, x, both.argmax(1), flips=True) == 1.0


def test_modes_come_back_even_after_an_error():
    model = network().train()
    model[1].eval()
    before = [module.training for module in model.modules()]
    predict(model, pixels(5))
    recalibrate(model, pixels(5))
    assert [module.training for module in model.modules()] == before
    for call in (predict, recalibrate):
        with pytest.raises(RuntimeError):
            call(model, pixels(5)[:, :1])
        assert [module.training for module in model.modules()] == before
    assert model[1].momentum == 0.1


def maps(model: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model[0](to_input(x)).transpose(0, 1).flatten(1)


def test_one_batch_gives_the_statistics_of_all_images():
    model, x = network(), pixels(40)
    model[1].running_mean.fill_(9.0)
    recalibrate(model, x, batch=40, batches=1)
    values = maps(model, x)
    assert torch.allclose(model[1].running_mean, values.mean(1), atol=1e-6)
    assert torch.allclose(model[1].running_var, values.var(1), atol=1e-6)


def test_batches_are_averaged_and_mix_sorted_images():
    model = network()
    dark, bright = torch.zeros(60, 2, 4, 5, dtype=torch.uint8), torch.full((60, 2, 4, 5), 255, dtype=torch.uint8)
    x = torch.cat([dark, bright])
    recalibrate(model, x, batch=20, batches=3)
    values = maps(model, x)
    assert torch.allclose(model[1].running_mean, values.mean(1), atol=1e-5)
    assert torch.allclose(
        model[1].running_var, values.var(1, unbiased=False), rtol=0.02
    )  # had a batch one class: near 0
    assert int(model[1].num_batches_tracked) == 3


def test_a_network_without_batch_norm_is_left_alone():
    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recalibrate(model, pixels(5))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_realigned_statistics_move_by_what_the_weights_changed_on_the_same_images():
    original, x = network(), pixels(400)
    with torch.no_grad():
        original[1].running_mean.copy_(torch.tensor([3.0, -2.0, 0.5]))  # as no plain image gives them
        original[1].running_var.copy_(torch.tensor([4.0, 0.25, 9.0]))
    changed = copy.deepcopy(original)
    realign(changed, original, x)
    assert torch.equal(changed[1].running_mean, original[1].running_mean)
    assert torch.equal(changed[1].running_var, original[1].running_var)
    with torch.no_grad():
        changed[0].weight.mul_(2)
        changed[0].bias.mul_(2).add_(1)
    realign(changed, original, x)
    mean, variance = maps(original, x).mean(1), maps(original, x).var(1)
    torch.testing.assert_close(changed[1].running_mean, original[1].running_mean + mean + 1, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(changed[1].running_var, original[1].running_var * 4, rtol=1e-3, atol=1e-3)
    assert variance.min() > 0 and original[1].running_mean[0] == 3


def test_realigning_a_network_with_itself_changes_nothing_where_filters_are_pruned_or_nearly():
    """Maps of variance 0, or of rounding alone, behind a norm whose statistics are of the time before."""
    original, x = network(), pixels(400)
    with torch.no_grad():
        original[0].weight[0], original[0].bias[0] = 0.0, 0.0
        original[0].weight[1] *= 1e-9
        original[1].running_mean.copy_(torch.tensor([3.0, -2.0, 0.5]))
        original[1].running_var.copy_(torch.tensor([4.0, 0.25, 9.0]))
    changed, before = copy.deepcopy(original), copy.deepcopy(original.state_dict())
    realign(changed, original, x)
    assert all(torch.equal(before[name], tensor) for name, tensor in changed.state_dict().items())
    with torch.no_grad():
        changed[0].weight[0] = 7.0  # a variance of 0 that becomes a large one
        changed[0].weight[2] = 0.0  # and the other way round
    realign(changed, original, x)
    assert changed[1].running_var.tolist() == pytest.approx([400.0, 0.25, 0.09])


def test_predict_accuracy_and_statistics_take_imagenet_pixels_as_torchvision_gives_them():
    """Against torchvision's own transform."""
    import_torchvision()
    from torchvision.transforms.v2 import Compose, Normalize, ToDtype

    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = torch.randint(0, 256, (40, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    wanted = Compose([ToDtype(torch.float32, scale=True), Normalize(mean, deviation)])(x)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    recalibrate(model, x, batch=40, batches=1, normalization="imagenet")
    torch.testing.assert_close(model[0].running_mean, wanted.mean((0, 2, 3)))
    model[0].reset_running_stats()
    logits = predict(model, x, normalization="imagenet")
    torch.testing.assert_close(logits, wanted.flatten(1) / (1 + 1e-5) ** 0.5)
    labels = wanted.flatten(1).argmax(1)
    assert accuracy(model, x, labels, normalization="imagenet") == 1.0 > accuracy(model, x, labels)


@pytest.mark.parametrize("model", [nn.Conv2d(2, 3, 1), nn.MaxPool2d(2, return_indices=True)], ids=["maps", "tuple"])
def test_what_gives_no_logits_has_no_accuracy(model):
    with pytest.raises(BankwiseError, match="gives .*, not logits"):
        accuracy(model, pixels(3), torch.zeros(3))
