"""What a file, a run or a plan tells of itself; and the runs of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bankwise.reading_back import model_of
from bankwise.report.parts import totals
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.file.container import read
from bankwise.search_space.targets.file.layout import payload_entries
from bankwise.search_space.trace import shape_of

NUMBERS = ("budget_bytes", "file_bytes", "accuracy", "test_accuracy", "seed")
DEPTH = 3  # folders below the one whose runs are listed


def show(path: str | Path, allow_code: bool = False) -> dict[str, Any]:
    """What an exported file, the folder of a run or a conversion, or a plan says, JSON-ready: network, input shape,
    classes, class names (of a file alone their digest), normalization, versions, bytes by part, the plan by layer, and
    of a file where every part lies (`docs/format.md`).

    Raises BankwiseError for a path that is none of these.
    """
    given = Path(path)
    with code_in_files(allow_code):
        if given.suffix in (".yaml", ".yml", ".json"):
            plan = Plan.read(given, allow_code=True)
            shape = shape_of(plan.network, plan.input_shape, plan.classes, plan.keep, any_output=True)
            plan.check(shape)
            return {"kind": "plan", "path": str(given), **_described(shape, plan)}
        model = model_of(given)
        file = read(model, allow_code=True)
    folder = RunFolder(model.parent)
    summary = _readable(folder, folder.summary) if model.name == folder.model.name else {}
    names = summary.get("class_names")
    known = Images(class_names=tuple(map(str, names))) if isinstance(names, list) else Images()
    layout = [
        {"owner": one.owner, "part": one.part.name, "shape": list(one.part.shape), "bits": one.part.bits,
         "offset": one.offset}
        for one in payload_entries(file.shape, file.plan)
    ]  # fmt: skip
    return {
        "kind": "file" if not given.is_dir() else "run" if folder.settings.exists() else "conversion",
        "path": str(given),
        "format": file.format,
        **_described(file.shape, file.plan),
        **({"class_names": names} if known.digest is not None and known.digest == file.images.digest else {}),
        "file_bytes": file.size,
        "made": made if isinstance(made := summary.get("made"), dict) else None,
        "payload_begins": file.parts_begin,
        "layout": layout,
    }


def _described(shape: NetworkShape, plan: Plan) -> dict[str, Any]:
    images, cost = plan.images or Images(), price(shape, plan)
    return {
        "network": plan.network,
        "input_shape": list(plan.input_shape),
        "classes": plan.classes,
        "class_names": None if images.class_names is None else list(images.class_names),
        "class_digest": images.digest,
        "normalization": images.normalization,
        "vector_bits": plan.vector_bits,
        "keep": list(plan.keep),
        "file_bytes": cost.file_bytes,
        "paper_bits": cost.paper_bits,
        "parts": totals(cost),
        "layers": [
            {
                "name": layer.name, "kind": own.kind, "weight_shape": list(layer.weight_shape),
                "choice": layer.choice.code(), "text": str(layer.choice), "file_bytes": layer.file_bytes,
                "normalized": own.normalized, "norm": own.norm, "bias": own.bias,
            }
            for layer, own in zip(cost.layers, shape.layers, strict=True)
        ],
        "norms": [{"name": norm.name, "channels": norm.channels} for norm in shape.norms],
        "tensors": [
            {"name": one.name, "shape": list(one.shape), "dtype": one.dtype, "bits": one.bits} for one in shape.tensors
        ],
    }  # fmt: skip


def list_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The runs and conversions in a folder, or that it is, by path, JSON-ready: what settings and summary say.

    Raises BankwiseError where there is no such folder.
    """
    top = Path(folder)
    if not top.is_dir():
        raise BankwiseError(f"{str(folder)!r} is not a folder")
    return [_listed(RunFolder(path), top) for path in _runs(top)]


def _runs(top: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(top):
        path = Path(place)
        is_run = "settings.json" in files or {"summary.json", "model.bankwise"} <= {*files}
        if is_run:
            yield path
        within = len(path.relative_to(top).parts) < DEPTH
        inner = ("search", "uniform", "checkpoints", "plots") if is_run else ()  # of a run: none holds another one
        folders[:] = sorted(one for one in folders if within and one not in inner and not one.startswith("."))


def _listed(run: RunFolder, top: Path) -> dict[str, Any]:
    settings, summary = (_readable(run, path) for path in (run.settings, run.summary))
    known = settings | summary
    for name in NUMBERS:  # a damaged summary has anything
        if not isinstance(known.get(name), int | float):
            known.pop(name, None)
    uncompressed = summary.get("uncompressed")
    return {
        "run": str(run.path.relative_to(top)),
        "state": "finished" if run.finished() else "not finished",
        "what": "conversion" if not settings else "training" if "plan" in settings else "search",
        **{
            name: value if isinstance(value := known.get(name), str | int | float) else None
            for name in ("network", "data", "budget", "budget_bytes", "file_bytes", "metric", "accuracy",
                         "test_accuracy", "seed", "engine", "strategy")
        },
        "uncompressed_bytes": uncompressed.get("bytes") if isinstance(uncompressed, Mapping) else None,
    }  # fmt: skip


def _readable(run: RunFolder, path: Path) -> dict[str, Any]:
    """What the file of a run holds; nothing where it is missing or damaged."""
    try:
        return run.read(path)
    except BankwiseError:
        return {}
