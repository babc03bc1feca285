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


def described(name: str = AUTO, threads: int | None = None) -> str:
    """What a user is told of it; `threads` are those of a recipe.

    >>> described("cpu").startswith("cpu, ")
    True
    """
    device = chosen_device(name)
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}; --device cpu trains without it"
    if device.type != "cpu":
        return str(device)
    most = threads or torch.get_num_threads()
    return f"{device}, {'up to ' if threads is None else ''}{most} threads" if most > 1 else f"{device}, 1 thread"


def _others() -> str:
    return "".join(f", cuda:{number}" for number in range(torch.cuda.device_count()))
