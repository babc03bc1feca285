"""What a run, or a conversion of one, recorded of its images, for those who measure on the same data later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.strict import parse_json
from bankwise.trainers.task import TaskSource


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
    if (described.data, described.limit, described.validation) != (recorded.get("data"), None, None):
        return data
    return dataclasses.replace(described, limit=recorded.get("limit"), validation=recorded.get("validation"))
