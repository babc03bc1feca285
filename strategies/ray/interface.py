"""The network interface by which the processes of a training talk: that of their node's address in the Ray cluster.

Gloo by itself takes the address that the machine's own name resolves to. On many machines that is one which no other
machine reaches (127.0.1.1), and a training over two of them would not begin.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


def use_own_interface() -> None:
    """In a process of the training, before it joins; what the user has set stays."""
    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if address in (one.address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class _Backend(_TorchBackend):
    def on_start(self, worker_group, backend_config) -> None:
        worker_group.execute(use_own_interface)
        super().on_start(worker_group, backend_config)


@dataclass
class OwnInterface(TorchConfig):
    """torch.distributed as Ray Train sets it up, over that interface."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend
