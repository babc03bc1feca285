"""A trained network to convert: its reference, the images that it takes, and its weights from a file or a run."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch
from torch import nn

from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.imports import error_line
from bankwise.search_space.plan import Plan
from bankwise.trainers.checkpoint import MAGIC, load_checkpoint

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which trainings save it
PREFIXES = ("module", "_orig_mod", "model")  # of nn.DataParallel, torch.compile and Lightning
_AUXILIARY = re.compile(r"(aux_classifier|aux1|aux2|AuxLogits)\.")  # torchvision's, which serve training alone
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")  # names in the first published files


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a state dict (torch.save, safetensors, or a checkpoint of a run) into `network`; all of it must fit, and
    every number be finite. Raises BankwiseError, in one line, for any other file."""
    state = _without_prefix(_read(Path(path)), network)
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
        if not _usual(value) or value.is_complex() and not wanted[name].is_complex():
            raise BankwiseError(f"weights {str(path)!r}: {name!r} is a {_described(value)}, not an ordinary tensor")
        if not torch.isfinite(value.float() if value.is_floating_point() else value).all():
            raise BankwiseError(f"weights {str(path)!r}: {name!r} holds NaN or infinity; did the training diverge?")
    network.load_state_dict(state, strict=False)


def _usual(value: torch.Tensor) -> bool:
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def _described(value: torch.Tensor) -> str:
    return f"{'quantized ' if value.is_quantized else ''}{value.layout} tensor of {value.dtype} on {value.device}"


def _without_prefix(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Without what wrappers put before every name, where the network has no such module itself."""
    own = {name for name, _ in network.named_children()}
    while True:
        first = next(iter(state)).partition(".")[0]
        wrapped = first in PREFIXES and first not in own and all(name.startswith(f"{first}.") for name in state)
        if not wrapped:
            return state
        state = {name.removeprefix(f"{first}."): value for name, value in state.items()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
        if start == MAGIC:
            saved: dict[str, torch.Tensor] = load_checkpoint(path)["model"]
            return saved
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        _refuse_compressed(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except BankwiseError:
        raise
    except OSError as error:
        raise BankwiseError(f"cannot read the weights {str(path)!r}: {error.strerror or error}") from None
    except Exception as error:  # damaged pickles raise many kinds, safetensors its own
        raise BankwiseError(
            f"weights {str(path)!r} are no state dict that torch.save wrote ({error_line(error)}); "
            "torch.save(network.state_dict(), path) writes one"
        ) from None
    for _ in WRAPPERS:
        key = next((key for key in WRAPPERS if isinstance(state, dict) and isinstance(state.get(key), dict)), None)
        state = state if key is None else state[key]
    if not isinstance(state, dict) or not state:
        raise BankwiseError(f"weights {str(path)!r} are no state dict: expected tensors by name")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            found = f"{short(name)} is a {type(value).__name__}, not a tensor by name"
            raise BankwiseError(f"weights {str(path)!r} are no state dict: {found}")
    return state


def _refuse_compressed(path: Path) -> None:
    """torch.save compresses nothing; a small archive could stand for any amount of memory."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("the archive is compressed")


def run_of(run: str | Path, allow_code: bool = False) -> tuple[Plan, Path]:
    """A plan of a run, which tells its network and images, and the checkpoint of its uncompressed network."""
    folder = RunFolder(run)
    first = folder.checkpoints / "uncompressed-0.pt"
    found = sorted(folder.checkpoints.glob("uncompressed-*.pt"), key=lambda path: int(path.stem.split("-")[1]))
    checkpoint = next((path for path in found if not path.with_suffix(".diverged").exists()), first)
    if not checkpoint.exists():
        raise BankwiseError(f"{str(run)!r} holds no uncompressed network ({checkpoint} is missing); is it a run?")
    return Plan.read(folder.plan, allow_code), checkpoint
