"""What a run, or a conversion of one, recorded of its images, for those who measure on the same data later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.strict import parse_json
from bankwise.trainers.task import TaskSource

IN_PATHS = ("npz", "imagefolder")  # data sets that are named by a path


def values_in(path: Path) -> dict[str, Any]:
    """What a JSON file of a run holds; nothing where there is none that can be read."""
    try:
        values = parse_json(path.read_bytes(), "it")
    except (OSError, BankwiseError):  # no such file, or none that can be read
        return {}
    return values if isinstance(values, dict) else {}


def as_in_run(data: object, network: str, settings: Mapping[str, Any]) -> object:
    """The data description with the limit and the validation share that `settings` record, where it is of the same data
    and says neither: of other images some were trained on."""
    described = TaskSource(network, data) if isinstance(data, str) else data
    recorded = settings.get("source")
    if not isinstance(described, TaskSource) or not isinstance(recorded, dict):
        return data
    if described.limit is not None or described.validation is not None or not _same(described, recorded):
        return data
    return dataclasses.replace(described, limit=recorded.get("limit"), validation=recorded.get("validation"))


def _same(described: TaskSource, recorded: Mapping[str, Any]) -> bool:
    """Whether it is the recorded data, by any spelling of a path."""
    known = recorded.get("data")
    if described.data == known or not isinstance(known, str):
        return described.data == known
    (kind, _, path), (other, _, before) = described.data.partition(":"), known.partition(":")
    return kind == other in IN_PATHS and Path(path).resolve() == Path(before).resolve()


def claims_run(data: object, settings: Mapping[str, Any], split: str) -> bool:
    """Whether the description says that `split` is the run's own: the same data and, of images that validate, the same
    limit and share."""
    recorded = settings.get("source")
    if isinstance(data, str):
        data = TaskSource("", data)
    if not isinstance(data, TaskSource) or not isinstance(recorded, dict) or not _same(data, recorded):
        return False
    same = (data.limit, data.validation) == (recorded.get("limit"), recorded.get("validation"))
    return split == "test" or same
