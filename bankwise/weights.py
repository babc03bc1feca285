"""A trained network to convert: its reference, the images that it takes, and its weights from a file or a run."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from torch import nn

from bankwise.run_folder import RunFolder
from search_space.errors import BankwiseError
from search_space.plan import Plan
from trainers.checkpoint import MAGIC, load_checkpoint

_AUXILIARY = re.compile(r"(aux_classifier|aux1|aux2|AuxLogits)\.")  # torchvision's, which serve training alone
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")  # names in the first published files


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a state dict (torch.save, safetensors, or a checkpoint of a run) into `network`; all of it must fit."""
    state = _read(Path(path))
    if all(name.startswith("module.") for name in state):  # as nn.DataParallel saves it
        state = {name.removeprefix("module."): value for name, value in state.items()}
    state = {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items() if not _AUXILIARY.match(name)}
    wanted = network.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # files of old releases lack them
    for name in sorted((wanted.keys() ^ state.keys()) - counters):
        where = "the network has no such tensor" if name in state else "the file lacks it"
        raise BankwiseError(f"weights {str(path)!r} do not fit the network: {name!r}: {where}")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise BankwiseError(
                f"weights {str(path)!r} do not fit the network: {name!r} is {tuple(value.shape)}, "
                f"expected {tuple(wanted[name].shape)}"
            )
    network.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
        if start == MAGIC:
            return load_checkpoint(path)["model"]
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except BankwiseError:
        raise
    except OSError as error:
        raise BankwiseError(f"cannot read the weights {str(path)!r}: {error.strerror or error}") from None
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BankwiseError(f"weights {str(path)!r} are no state dict that torch.save wrote ({reason})") from None
    except Exception as error:  # safetensors raises its own class
        raise BankwiseError(f"weights {str(path)!r} cannot be read ({type(error).__name__}: {error})") from None
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BankwiseError(f"weights {str(path)!r} are no state dict: expected tensors by name")
    return state


def run_of(run: str | Path) -> tuple[Plan, Path]:
    """A plan of a run, which tells its network and images, and the checkpoint of its uncompressed network."""
    folder = RunFolder(run)
    checkpoint = folder.checkpoints / "uncompressed-0.pt"
    if not checkpoint.exists():
        raise BankwiseError(f"{str(run)!r} holds no uncompressed network ({checkpoint} is missing); is it a run?")
    return Plan.read(folder.plan), checkpoint
