"""Processes that train one network together (data parallel): each takes its share of every batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.synced_norm import SyncedNorms

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """Process `rank` of `size`. One alone communicates with nobody."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Group:
        """The default group of torch.distributed, where this process is in one."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """One process validates, reports and writes."""
        return self.rank == 0

    @property
    def least(self) -> int:
        """Images that a batch needs: batch norm cannot train on one alone."""
        return 2 * self.size

    def check(self, batch: int) -> None:
        if self.size > 1 and batch < self.least:
            raise BankwiseError(f"batch {batch} is too small for {self.size} processes: at least {self.least}")

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model`, its gradients averaged over the group in every backward pass; it starts as process 0 has it."""
        if self.size == 1:
            return model
        device_ids = [device.index] if device.type == "cuda" and device.index is not None else None
        return DistributedDataParallel(model, device_ids, broadcast_buffers=False, find_unused_parameters=True)

    def synced(self) -> AbstractContextManager[object]:
        """While it lasts, batch norms in training see the whole batch."""
        return SyncedNorms() if self.size > 1 else nullcontext()

    def share(self, indices: torch.Tensor) -> torch.Tensor:
        """This process's part of a batch."""
        return indices[self.rank :: self.size]

    def weight(self, indices: torch.Tensor) -> float:
        """What the loss of this process's part counts, so that the mean over the group is that of the whole batch."""
        return len(self.share(indices)) * self.size / len(indices) if self.size > 1 else 1.0

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over the group."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def average_buffers(self, model: nn.Module) -> None:
        """The mean of floating buffers that each process has of its own images; batch norm has those of all."""
        for buffer in model.buffers() if self.size > 1 else ():
            if buffer.is_floating_point():
                self.total(buffer.div_(self.size))

    def of_leader(self, value: T) -> T:
        """What process 0 passed, in every process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]
