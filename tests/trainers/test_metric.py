"""Metrics against scikit-learn's, losses against closed forms, and what neither takes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.imports import code_in_files, reference_of
from bankwise.trainers.data import data_in_memory
from bankwise.trainers.labels import CLASSES, LABELS, VALUES, kind_of, strata
from bankwise.trainers.loss import make_loss
from bankwise.trainers.metric import find_metric
from bankwise.trainers.recipe import Recipe

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, classes: int = 7, images: int = 23) -> tuple[torch.Tensor, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(images, classes)).astype(np.float32)), rng


@given(SEEDS, st.integers(2, 9))
def test_metrics_of_classes_are_those_of_scikit_learn(seed, classes):
    outputs, rng = drawn(seed, classes)
    labels = torch.from_numpy(rng.integers(classes, size=len(outputs)))
    found = outputs.argmax(1)
    every = range(classes)
    assert find_metric("accuracy", CLASSES)(outputs, labels) == sklearn_metrics.accuracy_score(labels, found)
    macro = sklearn_metrics.f1_score(labels, found, labels=every, average="macro", zero_division=0)
    assert math.isclose(find_metric("macro-f1", CLASSES)(outputs, labels), macro)
    five = np.mean([label in np.argsort(-row.numpy())[:5] for label, row in zip(labels.tolist(), outputs, strict=True)])
    assert math.isclose(find_metric("top-5", CLASSES)(outputs, labels), five)


@given(SEEDS)
def test_metrics_of_labels_and_values_are_those_of_scikit_learn(seed):
    outputs, rng = drawn(seed)
    labels = torch.from_numpy((rng.random(outputs.shape) < 0.3).astype(np.uint8))
    macro = sklearn_metrics.f1_score(labels, outputs > 0, average="macro", zero_division=0)
    assert math.isclose(find_metric("auto", LABELS)(outputs, labels), macro)
    values = torch.from_numpy(rng.normal(size=outputs.shape).astype(np.float32))
    assert math.isclose(
        find_metric("auto", VALUES)(outputs, values), sklearn_metrics.r2_score(values, outputs), rel_tol=1e-5
    )
    assert find_metric("r2", VALUES)(values, values) == 1
    assert find_metric("r2", VALUES)(outputs, torch.ones_like(outputs)) == 0


def images(labels: np.ndarray, height: int = 8):
    return data_in_memory((np.zeros((len(labels), height, height), np.uint8), labels), validation=0.2)


def test_losses_are_pytorchs_and_balanced_weights_scikit_learns():
    rng = np.random.default_rng(0)
    labels = np.sort(rng.choice(4, size=200, p=[0.6, 0.25, 0.1, 0.05]))
    labels[:4] = range(4)
    data = images(labels)
    logits, y = torch.from_numpy(rng.normal(size=(len(data.train_y), 4)).astype(np.float32)), data.train_y
    torch.testing.assert_close(make_loss(Recipe(), data)(logits, y), functional.cross_entropy(logits, y))
    balanced = compute_class_weight("balanced", classes=np.arange(4), y=y.numpy())
    each = functional.cross_entropy(logits, y, reduction="none")
    wanted = (each * torch.from_numpy(balanced).float()[y]).mean()
    torch.testing.assert_close(make_loss(Recipe(class_weights="balanced"), data)(logits, y), wanted)
    halves = make_loss(Recipe(class_weights=[1, 2, 0.5, 3]), data)
    parts = [halves(logits[part], y[part]) * len(y[part]) for part in (slice(0, 50), slice(50, None))]
    torch.testing.assert_close(sum(parts) / len(y), halves(logits, y), msg="a batch may be shared out")

    several = images((rng.random((200, 3)) < 0.2).astype(np.int64))
    outputs, y = (
        torch.from_numpy(rng.normal(size=(len(several.train_y), 3)).astype(np.float32)),
        several.train_y.float(),
    )
    assert several.kind == LABELS and several.classes == 3
    share = y.mean(0)
    right = -(y * (1 - share) / share * torch.sigmoid(outputs).log() + (1 - y) * torch.sigmoid(-outputs).log()).mean()
    torch.testing.assert_close(make_loss(Recipe(class_weights="balanced"), several)(outputs, several.train_y), right)

    values = images(rng.normal(size=200))
    assert values.kind == VALUES and values.train_y.shape == (len(values.train_x), 1)
    found = make_loss(Recipe(), values)(torch.zeros(len(values.train_y), 1), values.train_y)
    torch.testing.assert_close(found, values.train_y.square().mean())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "bce"}, "loss 'bce' is for labels that are labels, not classes: use cross-entropy"),
        ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing is 0.1: only cross-entropy has it, not mse"),
        ({"loss": "mse", "class_weights": "balanced"}, "class_weights is for cross-entropy and bce, not for mse"),
        ({"class_weights": "1,2"}, "class_weights has 2 weights, and there are 3 classes"),
        ({"loss": "no_such_module:Name"}, "cannot import 'no_such_module'"),
        ({"loss": "math:pi"}, "loss 'math:pi' is not a function of outputs and labels"),
    ],
)
def test_a_loss_that_does_not_fit_is_one_line(changes, words):
    with pytest.raises(BankwiseError, match=words):
        make_loss(Recipe(**changes), images(np.arange(60) % 3))


def test_recipes_name_what_there_is_and_keep_functions_by_their_names():
    for wrong, words in (
        ({"loss": "hinge"}, "hinge.*cross-entropy, bce, mse, module:Name"),
        ({"metric": "f1"}, "f1.*macro-f1"),
        ({"class_weights": "1,zero"}, "class_weights is '1,zero': must be balanced, or a number above 0"),
        ({"class_weights": [1.0, -1.0]}, "must be balanced"),
        ({"class_weights": 3}, "must be balanced"),
        ({"loss": lambda outputs, labels: 0}, "has no name"),
    ):
        with pytest.raises(BankwiseError, match=words):
            Recipe(**wrong)
    recipe = Recipe(loss=functional.multi_margin_loss, metric=sklearn_metrics.cohen_kappa_score, class_weights=(1, 0.5))
    assert recipe.loss == "torch.nn.functional:multi_margin_loss"
    assert recipe.named_code == (recipe.loss, recipe.metric) and recipe.class_weights == "1,0.5"
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert reference_of("loss", torch.nn.MultiMarginLoss) == "torch.nn.modules.loss:MultiMarginLoss"
    with pytest.raises(BankwiseError, match="distill"):
        make_loss(Recipe(distill=0.5), images(np.linspace(0, 1, 60)))


def test_own_functions_are_checked_and_imported_only_where_they_may_be():
    data = images(np.arange(60) % 3)
    logits = torch.zeros(4, 3, requires_grad=True)
    own = make_loss(Recipe(loss="torch.nn:MultiMarginLoss"), data)
    torch.testing.assert_close(own(logits, torch.zeros(4, dtype=torch.int64)), torch.tensor(2 / 3))
    with pytest.raises(BankwiseError, match=r"gives a tensor \(4,\), must give one number"):
        make_loss(Recipe(loss="torch:argmax"), data)(logits, torch.tensor(1))
    with pytest.raises(BankwiseError, match="loss 'math:hypot' failed: "):
        make_loss(Recipe(loss="math:hypot"), data)(logits.detach(), torch.zeros(4))
    with pytest.raises(BankwiseError, match="metric 'math:hypot' failed"):
        find_metric("math:hypot", CLASSES)(logits.detach(), torch.zeros(4))
    assert math.isnan(find_metric("r2", VALUES)(torch.full((4, 3), math.nan), torch.rand(4, 3)))
    with pytest.raises(BankwiseError, match="for labels that are values, not classes: use accuracy, macro-f1, top-5"):
        find_metric("r2", CLASSES)
    with code_in_files(False), pytest.raises(BankwiseError, match="code of your own"):
        find_metric("math:hypot", CLASSES)


def test_strata_keep_the_labels_together():
    rng = np.random.default_rng(0)
    several = (rng.random((300, 2)) < 0.5).astype(np.uint8)
    assert len(np.unique(strata(several))) == 4 and kind_of(several) == LABELS
    data = images(several.astype(np.int64))
    shares = [labels.float().mean(0) for labels in (data.train_y, data.val_y, data.test()[1])]
    for share in shares:
        torch.testing.assert_close(share, torch.from_numpy(several).float().mean(0), atol=0.02, rtol=0)
    assert dataclasses.replace(data, train_y=data.train_y[:, :1].long().flatten()).kind == CLASSES
