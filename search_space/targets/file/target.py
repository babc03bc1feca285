"""The target `file`: the packed model that `load` reads."""

from __future__ import annotations

from pathlib import Path

from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.file.container import ModelFile, encode, read
from bankwise.search_space.targets.file.layout import header_bytes, payload_entries
from bankwise.search_space.targets.target import Sizes, Target


class FileTarget(Target):
    name = "file"
    help = "one packed file that bankwise reads back"
    suffix = ".bankwise"

    def size(self, shape: NetworkShape, plan: Plan) -> Sizes:
        plan.check(shape)
        parts = {(entry.owner, entry.part.name): entry.part.file_bytes for entry in payload_entries(shape, plan)}
        return {("", "header"): header_bytes(shape, plan), **parts}

    def write(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> bytes:
        plan.check(shape)
        return encode(shape, plan, codes)

    def read(self, path: str | Path, allow_code: bool = False) -> ModelFile:
        """The model in a written file; see `container.read`."""
        return read(path, allow_code)
