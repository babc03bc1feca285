"""The packed model of a finished run, from the files and checkpoints that the run keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from bankwise.measuring import DIVERGED
from bankwise.on_device import DeviceAccuracy, c_target, check_options, device_accuracy
from bankwise.reading_back import data_of
from bankwise.run_folder import RunFolder
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.files import write_bytes
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build_or_copy
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets import make_target
from bankwise.search_space.targets.c.target import ACTIVATIONS, CTarget, check_identifier
from bankwise.search_space.targets.file.container import decode, encode, read
from bankwise.search_space.trace import trace
from bankwise.trainers.checkpoint import load_checkpoint


@typed_arguments("run", "path", "seed", "network", "target", "allow_code", "name", "on_accuracy")
def export(
    run: str | Path,
    path: str | Path | None = None,
    seed: int | None = None,
    network: nn.Module | None = None,
    target: str = "file",
    allow_code: bool = False,
    *,
    activations: str = "float32",
    data: object = None,
    name: str | None = None,
    on_accuracy: Callable[[DeviceAccuracy], None] | None = None,
) -> Path:
    """Write the trained model of `run` in the form of a target and return where it is: `path`, by default
    RUN/model.bankwise for the packed file, RUN/model.onnx and so on for another target, RUN/TARGET for one of several
    files.

    `seed` is the number, from 0, of one of the run's final trainings; by default the one that did best on the
    validation split, which is the run's model. Another one goes to RUN/model-SEED.bankwise and so on, and never takes
    the place of that. Its packed file is copied; where it is gone or damaged it is packed anew from the
    checkpoint. The folder of a conversion has one model and no seeds.
    `network` is the module where the run is of one in memory, `target` a name of `search_space.targets` or a user's own
    `package.module:Class`. What the run names of code of a user's own is imported with `allow_code` alone.

    Of C sources, `name` begins the names of files and functions, and `activations` may be "int8" (RUN/c-int8): with
    scales from the training images of `data` (as in `bankwise.search`; None: as the run recorded them), on whose test
    images such sources are then measured, for `on_accuracy`.

    Raises BankwiseError where the run is not finished, the target cannot hold the plan, or the run keeps `path`.
    """
    folder = RunFolder(run)
    form = make_target(target, network)
    check_options(form.name, activations, name, data)
    if name is not None:
        check_identifier(name)
    accuracies = _accuracies(folder)
    if seed is not None and seed not in accuracies:
        held = f"the seeds {', '.join(map(str, accuracies))}" if accuracies else "a conversion"
        raise BankwiseError(f"{str(run)!r} holds {held}, not seed {seed}")
    best = max(accuracies, key=lambda number: accuracies[number]) if accuracies else None
    other = "" if seed in (None, best) else f"-{seed}"
    kind = form.name if activations == ACTIVATIONS[0] else f"{form.name}-{activations}"
    default = folder.path / (f"{folder.model.stem}{other}{form.suffix}" if form.suffix else f"{kind}{other}")
    written = Path(path) if path is not None else default
    if other and written.resolve() == folder.model.resolve():
        raise BankwiseError(f"{str(written)!r} is the run's model, of seed {best}: write that of seed {seed} elsewhere")
    if form.name != "file" and written.resolve() == folder.model.resolve():
        raise BankwiseError(f"{str(written)!r} is the run's model: write the target {form.name!r} elsewhere")
    if folder.keeps(written):
        raise BankwiseError(f"{str(written)!r} is what the run keeps: write the target {form.name!r} elsewhere")
    with code_in_files(allow_code):
        if best is None:
            read(folder.model, allow_code=True, network=network)  # an error where it is damaged
            packed = folder.model.read_bytes()
        else:
            label = folder.checkpoints / f"searched-{best if seed is None else seed}"
            packed = _packed(folder, label.with_suffix(".bankwise"), label.with_suffix(".pt"), network)
    if form.name == "file":
        write_bytes(written, packed)
    else:
        model = decode(packed, allow_code, network)
        described = _described(model.plan, folder, allow_code)
        known = data_of(run) if data is None else data
        with code_in_files(allow_code):
            if isinstance(form, CTarget):
                form = c_target(run, model, network, activations, known, name)
            if isinstance(form, CTarget) and form.images is not None and on_accuracy is not None:
                on_accuracy(device_accuracy(run, model, form, known, network))  # it may fail: before anything is there
            form.save(written, model.shape, described, model.codes)
    return written


def _described(plan: Plan, folder: RunFolder, allow_code: bool) -> Plan:
    """The plan of a packed file with the names of the classes, of which the file has a digest and the folder all."""
    if not folder.plan.exists():
        return plan
    recorded, known = Plan.read(folder.plan, allow_code=allow_code).images, plan.images
    same = recorded is not None and known is not None and recorded.code == known.code
    return replace(plan, images=recorded) if same else plan


def _accuracies(folder: RunFolder) -> dict[int, float]:
    """Of the run's final trainings, by seed, without those that diverged; none of a conversion's folder."""
    summary = folder.read(folder.summary)
    if "accuracies" not in summary and "trained" in summary and folder.model.exists():
        return {}
    found, diverged = summary.get("accuracies"), summary.get(DIVERGED, {})
    if not isinstance(found, list) or not found or not all(isinstance(one, int | float) for one in found):
        raise BankwiseError(f"{str(folder.summary)!r} is damaged (accuracies); delete it and run again to resume")
    if not isinstance(diverged, dict):
        raise BankwiseError(f"{str(folder.summary)!r} is damaged (diverged); delete it and run again to resume")
    seeds = [seed for seed in range(len(found) + len(diverged)) if str(seed) not in diverged]
    return dict(zip(seeds, found, strict=False))


def _packed(folder: RunFolder, model: Path, checkpoint: Path, module: nn.Module | None) -> bytes:
    if model.exists():
        data = model.read_bytes()
        try:
            decode(data, allow_code=True, network=module)
            return data
        except BankwiseError:
            if not checkpoint.exists():
                raise
    plan = Plan.read(folder.plan, allow_code=True)
    network = build_or_copy(plan.network, module, classes=plan.classes, in_channels=plan.input_shape[0])
    shape = trace(network, plan.network, plan.input_shape, plan.classes, plan.keep)
    plan.check(shape)
    child = build_child(network, shape, plan, 0)
    child.load_state_dict(load_checkpoint(checkpoint)["model"])
    return encode(shape, plan, pack(child, shape, plan))
