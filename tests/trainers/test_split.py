"""Orders of which every prefix is stratified."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bankwise.trainers.split import stratified_order, stratified_split

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(np.array)


@given(LABELS, st.integers(0, 2**32))
def test_every_prefix_holds_the_classes_in_their_shares(labels, seed):
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    classes, sizes = np.unique(labels, return_counts=True)
    # The last place t of a prefix holds m t of a class to 1/2 and, where places tie, 1; so n = N t to 3/2 a class.
    bound = 1.5 + sizes / len(labels) * 1.5 * len(classes)
    for count in range(len(labels) + 1):
        counts = np.array([(labels[order[:count]] == label).sum() for label in classes])
        assert (abs(counts - count * sizes / len(labels)) <= bound).all()


def test_equal_classes_are_cut_equally():
    labels = np.repeat(np.arange(7), 30)
    for count in range(7, 210, 7):
        chosen, _ = stratified_split(labels, count, seed=3)
        assert np.bincount(labels[chosen], minlength=7).tolist() == [count // 7] * 7


@given(LABELS, st.integers(0, 100), st.data())
def test_a_split_parts_the_images(labels, seed, data):
    count = data.draw(st.integers(0, len(labels)))
    first, rest = stratified_split(labels, count, seed)
    assert len(first) == count
    assert sorted([*first, *rest]) == list(range(len(labels)))
    assert (np.diff(first) > 0).all() and (np.diff(rest) > 0).all()


def test_the_seed_decides():
    labels = np.arange(100) % 10
    assert (stratified_order(labels, 1) == stratified_order(labels, 1)).all()
    assert (stratified_order(labels, 1) != stratified_order(labels, 2)).any()
