"""Non-maximum suppression in torch and NumPy, for a torchvision whose compiled operators cannot be loaded."""

from __future__ import annotations

import numpy as np
import torch


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Positions int64 of the boxes that stay, highest score first, as `torchvision.ops.nms` gives them.

    `boxes` (N, 4) are (x1, y1, x2, y2), `scores` (N,). A box goes where its intersection over union with one that stays
    is above `iou_threshold`. Takes N numbers of memory, and time for N boxes that stay times N.
    """
    order = scores.detach().argsort(descending=True, stable=True).cpu().numpy()
    x1, y1, x2, y2 = boxes.detach().cpu().numpy()[order].T
    areas = (x2 - x1) * (y2 - y1)
    kept, left = [], np.arange(len(order))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left])
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left])
        shared = width.clip(0) * height.clip(0)
        union = areas[best] + areas[left] - shared
        left = left[shared <= iou_threshold * union]
    return torch.from_numpy(order[np.array(kept, dtype=np.int64)]).to(boxes.device)
