"""Where a training runs."""

from __future__ import annotations

import torch

from bankwise.search_space.errors import BankwiseError

AUTO = "auto"


def chosen_device(name: str = AUTO) -> torch.device:
    """The device of that name, as torch writes it: cpu, cuda, cuda:1, mps; auto: CUDA where there is one, else the CPU.

    Raises:
        BankwiseError: there is none here.

    >>> chosen_device("cpu")
    device(type='cpu')
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):  # torch built without it, or no such GPU
        raise BankwiseError(f"device {name!r} is none that torch finds here; auto, cpu{_others()} are") from None
    return device


def described(name: str = AUTO) -> str:
    """What a user is told of it.

    >>> described("cpu").startswith("cpu, ")
    True
    """
    device = chosen_device(name)
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}; --device cpu trains without it"
    threads = torch.get_num_threads()
    return (
        f"{device}, {f'up to {threads} threads' if threads > 1 else '1 thread'}"
        if device.type == "cpu"
        else str(device)
    )


def _others() -> str:
    return "".join(f", cuda:{number}" for number in range(torch.cuda.device_count()))
