"""What a target is: a form in which a trained plan is deployed, of a size that is known before any training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from torch import nn

from bankwise.search_space.files import write_files
from bankwise.search_space.packing import PlanCodes
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape

Sizes = dict[tuple[str, str], int]  # (owner, part) -> bytes
Written = bytes | dict[str, bytes]  # one file, or several by name


class Target(ABC):
    """`size` and `write` follow from one layout, so that planned and written bytes cannot differ."""

    name: ClassVar[str]
    help: ClassVar[str]
    suffix: ClassVar[str] = ""  # of a target of one file: what ends its name

    def __init__(self, network: nn.Module | None = None):
        """`network` is the module where plans are of one in memory, which no reference builds."""
        self.network = network

    @abstractmethod
    def size(self, shape: NetworkShape, plan: Plan) -> Sizes:
        """Bytes by owner (a layer's, norm's or tensor's name; "" for the network itself) and part.

        Raises BankwiseError where the target cannot hold the plan.
        """

    @abstractmethod
    def write(self, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> Written:
        """The deployed form of the parts' `codes` (`search_space.packing.pack` of a trained child).

        The same arguments give the same bytes. Raises BankwiseError where the target cannot hold the plan.
        """

    def counted(self, written: Written) -> int:
        """The bytes of what was written that `size` adds up to: all of them, unless a target says otherwise."""
        return len(written) if isinstance(written, bytes) else sum(map(len, written.values()))

    def save(self, path: str | Path, shape: NetworkShape, plan: Plan, codes: PlanCodes) -> int:
        """Write the file `path`, or several files into the folder `path`; the counted bytes.

        Raises BankwiseError where the plan or the disk does not allow it; all files are written or none.
        """
        written = self.write(shape, plan, codes)
        files = {Path(path): written} if isinstance(written, bytes) else {
            Path(path) / name: data for name, data in written.items()
        }  # fmt: skip
        write_files(files)
        return self.counted(written)
