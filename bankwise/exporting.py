"""The packed model of a finished run, from the files and checkpoints that the run keeps."""

from __future__ import annotations

from pathlib import Path

from bankwise.run_folder import RunFolder
from search_space.errors import BankwiseError
from search_space.files import write_bytes
from search_space.layer import build_child
from search_space.modelfile import decode, encode, pack
from search_space.networks import build
from search_space.plan import Plan
from search_space.trace import trace
from trainers.checkpoint import load_checkpoint


def export(run: str | Path, path: str | Path | None = None, seed: int | None = None) -> Path:
    """Write the packed model of `run` (default: RUN/model.bankwise) and return where it is.

    `seed` is the number, from 0, of one of the run's final trainings; by default the one that did best on the
    validation split. Its packed file is copied; where it is gone or damaged it is packed anew from the checkpoint.
    """
    folder = RunFolder(run)
    summary = folder.read(folder.summary)
    accuracies = summary.get("accuracies", [])
    if seed is None:
        seed = accuracies.index(max(accuracies)) if accuracies else 0
    if not 0 <= seed < len(accuracies):
        raise BankwiseError(f"run {str(run)!r} has the seeds 0 to {len(accuracies) - 1}, not {seed}")
    label = folder.checkpoints / f"searched-{seed}"
    target = Path(path) if path is not None else folder.model
    write_bytes(target, _packed(folder, label.with_suffix(".bankwise"), label.with_suffix(".pt")))
    return target


def _packed(folder: RunFolder, model: Path, checkpoint: Path) -> bytes:
    if model.exists():
        data = model.read_bytes()
        try:
            decode(data, allow_code=True)
            return data
        except BankwiseError:
            if not checkpoint.exists():
                raise
    plan = Plan.read(folder.plan)
    network = build(plan.network, classes=plan.classes, in_channels=plan.input_shape[0])
    shape = trace(network, plan.network, plan.input_shape, plan.classes, plan.keep)
    plan.check(shape)
    child = build_child(network, shape, plan, 0)
    child.load_state_dict(load_checkpoint(checkpoint)["model"])
    return encode(shape, plan, pack(child, shape, plan))
