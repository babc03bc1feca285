"""An exported file measured on data, as it lies on disk."""

from __future__ import annotations

import json
from pathlib import Path

from search_space.errors import BankwiseError, unknown
from search_space.modelfile import ModelFile, read
from search_space.price import price
from trainers.data import ImageData, load_data
from trainers.evaluate import ImageNetPixels, accuracy

SPLITS = ("test", "validation")


def evaluate_file(
    path: str | Path,
    data: str | ImageData,
    split: str = "test",
    *,
    data_root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    allow_code: bool = False,
    imagenet: bool = False,
) -> dict:
    """Accuracy (0 to 1) of the file on the `split` of the data, and its price. BankwiseError where they do not fit.

    With `imagenet` images enter less ImageNet's mean, over its deviation, else in [-1, 1].

    In a run's folder, what the run measured for its baselines on the same split and data stands beside it.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    file = read(path, allow_code)
    if isinstance(data, str):
        data = load_data(data, root=data_root, limit=limit, validation=validation)
    for what, mine, given in (
        ("images of shape", file.shape.input_shape, data.input_shape),
        ("classes:", file.shape.classes, data.classes),
    ):
        if mine != given:
            raise BankwiseError(f"{str(path)!r} is for {what} {_text(mine)}, data set {data.name!r} has {_text(given)}")
    pixels, labels = data.test() if split == "test" else (data.val_x, data.val_y)
    cost = price(file.shape, file.plan)
    network = ImageNetPixels(file.network()) if imagenet else file.network()
    return {
        "model": str(path),
        "network": file.plan.network,
        "data": data.name,
        "split": split,
        "images": len(labels),
        "accuracy": accuracy(network, pixels, labels),
        "file_bytes": file.size,
        "paper_bits": cost.paper_bits,
        "paper_bits_per_weight": cost.paper_bits_per_weight,
        **_beside(Path(path).parent, file, data.name, split),
    }


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _beside(folder: Path, file: ModelFile, data: str, split: str) -> dict:
    """Budget, plan and baselines of the run that the file lies in; null where it lies alone."""
    missing = {
        "budget_bytes": None,
        "plan": None,
        "baseline_uniform": None,
        "uncompressed": {"accuracy": None, "bytes": file.shape.float_bytes},
    }
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        fits = summary["file_bytes"] == file.size and summary["data"] == data
        key = "test_accuracy" if split == "test" else "accuracy"
        found = {
            name: summary[name] and {"accuracy": summary[name][key], "bytes": summary[name]["bytes"]}
            for name in ("baseline_uniform", "uncompressed")
        }
        return {"budget_bytes": summary["budget_bytes"], "plan": summary["plan"], **found} if fits else missing
    except (OSError, ValueError, KeyError, TypeError):  # no run's summary, or none that can be read
        return missing
