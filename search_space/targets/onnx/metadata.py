"""What an ONNX model says of itself: how it was made, what images it takes and what its classes are called."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from bankwise.search_space.images import Images
from bankwise.search_space.normalization import FORMULAS
from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.file.container import encode

if TYPE_CHECKING:
    from onnx import ModelProto


def describe(model: ModelProto, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> None:
    """Set the model's producer and metadata: `network`, `plan` (layer=code ...), `vector_bits`, `sha256` (of the file
    that the target `file` writes); `keep`, `normalization` and `labels` (a JSON list) where they are known."""
    images = plan.images or Images()
    values = {"network": plan.network, "plan": plan.text, "vector_bits": str(plan.vector_bits)}
    if plan.keep:
        values["keep"] = " ".join(plan.keep)
    if images.normalization is not None:
        values["normalization"] = f"{images.normalization}: {FORMULAS[images.normalization]}"
    if images.class_names is not None:
        values["labels"] = json.dumps(images.class_names)
    values["sha256"] = hashlib.sha256(encode(shape, plan, codes)).hexdigest()
    model.producer_name = "bankwise"
    model.ClearField("producer_version")
    del model.metadata_props[:]
    for key, value in values.items():
        model.metadata_props.add(key=key, value=value)
