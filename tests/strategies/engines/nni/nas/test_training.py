"""The evaluator trains on the project's data by the recipe."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.strategies.engines.nni.nas.training import RecipeModule, evaluator
from bankwise.trainers.data import to_input
from bankwise.trainers.recipe import Recipe


def images_of(loader) -> torch.Tensor:
    return torch.cat([pixels for pixels, _ in loader])


def rows(pixels: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in pixels}


def test_held_out_images_are_training_images_that_weights_do_not_see(task):
    data = task.data
    made = evaluator(data, Recipe(epochs=1, batch=64), held_out=0.25)
    weights, logits = images_of(made.train_dataloaders), images_of(made.val_dataloaders)
    assert len(logits) == round(0.25 * len(data.train_y)) and len(weights) + len(logits) == len(data.train_y)
    assert rows(weights) | rows(logits) == rows(data.train_x)
    assert not (rows(weights) | rows(logits)) & rows(data.val_x)


def test_without_held_out_images_the_validation_split_is_apart(task):
    made = evaluator(task.data, Recipe(epochs=1, batch=64))
    assert rows(images_of(made.train_dataloaders)) == rows(task.data.train_x)
    assert torch.equal(images_of(made.val_dataloaders), task.data.val_x)


def test_a_batch_of_one_image_is_left_out(task):
    count = len(task.data.train_y)
    made = evaluator(task.data, Recipe(epochs=1, batch=count - 1))
    assert [len(labels) for _, labels in made.train_dataloaders] == [count - 1]


def test_the_loss_is_the_recipes(task):
    """Smoothed cross-entropy and, with a teacher, Hinton's distillation; pixels by the project's mapping."""
    recipe = Recipe(label_smoothing=0.1, distill=0.3, temperature=2.0, augment=False)
    module = RecipeModule(task.data, recipe, task.teacher)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    module.set_model(network)
    module.log = lambda *_: None
    pixels, labels = task.data.train_x[:8], task.data.train_y[:8]
    logits, taught = network(to_input(pixels)), task.teacher(to_input(pixels))
    p, q = torch.softmax(taught / 2, 1), torch.softmax(logits / 2, 1)
    distance = 4 * (p * (p / q).log()).sum(1).mean()
    wanted = 0.7 * torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1) + 0.3 * distance
    torch.testing.assert_close(module.training_step((pixels, labels), 0), wanted)
    assert not any("teacher" in name for name, _ in module.named_parameters())


def test_images_are_augmented_as_the_data_allow(task):
    data = dataclasses.replace(task.data, crop=1, flip=True)
    module = RecipeModule(data, Recipe(augment=True))
    seen = []
    module.set_model(torch.nn.Module())
    module.model.forward = lambda x: seen.append(x) or torch.zeros(len(x), 10, requires_grad=True)
    module.log = lambda *_: None
    for _ in range(2):
        module.training_step((data.train_x[:32], data.train_y[:32]), 0)
    plain = to_input(data.train_x[:32])
    assert not torch.equal(seen[0], plain) and not torch.equal(seen[0], seen[1])
    assert seen[0].shape == plain.shape


def test_what_cannot_be_is_refused(task):
    with pytest.raises(BankwiseError, match="distill is 0.5"):
        RecipeModule(task.data, Recipe(distill=0.5))
    with pytest.raises(BankwiseError, match="held_out=0.0001"):
        evaluator(task.data, Recipe(), held_out=1e-4)
