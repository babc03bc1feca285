"""Non-maximum suppression against what defines it, with torchvision's own intersections over unions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.suppression import nms
from bankwise.search_space.torchvision_import import import_torchvision

box_iou = import_torchvision().ops.box_iou
sides = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9))


@given(st.lists(sides, max_size=24), st.sampled_from([0.25, 0.5, 0.75]), st.randoms(use_true_random=False))
def test_those_that_stay_are_the_greedy_ones(boxes, threshold, random):
    """In the order of their scores a box stays if it overlaps none that stays by more: there is one such set."""
    made = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=torch.float32).reshape(-1, 4)
    scores = torch.tensor(random.sample(range(100), len(boxes)), dtype=torch.float32)
    overlaps = box_iou(made, made)
    stay: list[int] = []
    for row in scores.argsort(descending=True).tolist():
        if not any(overlaps[row, other] > threshold for other in stay):
            stay.append(row)
    found = nms(made, scores, threshold)
    assert found.dtype == torch.int64 and found.tolist() == stay


def test_equal_scores_keep_their_order_and_boxes_may_need_gradients():
    boxes = torch.tensor([[0, 0, 2, 2], [0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6.0]], requires_grad=True)
    assert nms(boxes, torch.tensor([0.5, 0.5, 0.5, 0.9]), 0.3).tolist() == [3, 0]  # 2 of 6 pixels are a third
    assert nms(boxes, torch.tensor([0.5, 0.5, 0.5, 0.9]), 0.34).tolist() == [3, 0, 2]


def test_boxes_without_area_stay():
    """As in torchvision, where 0 / 0 is above no threshold."""
    boxes = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2.0]])
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 1, 2]
