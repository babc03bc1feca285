"""Compress a trained network under a budget, without training it: `bankwise convert` as a function."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bankwise.inputs import fed_as, take, usual_inputs
from bankwise.made import made
from bankwise.plan_report import PlanReport
from bankwise.planning import price_plan
from bankwise.recorded import as_in_run, values_in
from bankwise.run_folder import RunFolder
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.files import write_bytes
from bankwise.search_space.fits import converted, with_weights
from bankwise.search_space.images import Images, ramp
from bankwise.search_space.imports import code_in_files
from bankwise.search_space.networks import IN_MEMORY, build_or_copy
from bankwise.search_space.normalization import SYMMETRIC, check_normalization
from bankwise.search_space.packed import check_packed
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.state import check_kept, check_rebuilt
from bankwise.search_space.targets.file.container import encode, read
from bankwise.search_space.trace import shape_of
from bankwise.strategies.conversion import Candidates, OnProgress, candidates, check_feasible, suitable
from bankwise.trainers.data import ImageData
from bankwise.trainers.data_sets import find_data_set
from bankwise.trainers.evaluate import measure_on, realign
from bankwise.trainers.metric import AUTO, find_metric
from bankwise.trainers.task import TaskSource
from bankwise.weights import load_weights, run_of

IMAGES = 256  # that calibrate
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Trained:
    """A network with its weights; `weights` says where they are from. `module` is it where it was one in memory.
    `images` are what it was trained on, where that is known; `source` is the data description of the run that trained
    it."""

    network: nn.Module
    shape: NetworkShape
    weights: str
    data: ImageData | None = None
    images: Images | None = None
    source: Mapping[str, Any] | None = None

    @property
    def module(self) -> nn.Module | None:
        return self.network if self.shape.network == IN_MEMORY else None

    def calibration(self) -> torch.Tensor | None:
        """Training images as the network takes them."""
        return None if self.data is None else self.data.spread(IMAGES)

    def some_images(self) -> torch.Tensor:
        """A few images as the network takes them: training images where there are any, else a ramp."""
        found = self.calibration()
        if found is not None:
            return found[:2]
        return ramp(self.shape.input_shape)


def open_trained(
    network: str | nn.Module | None,
    *,
    weights: str | Path | None = None,
    checkpoint: str | Path | None = None,
    data: object = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    keep: tuple[str, ...] = (),
    seed: int = 0,
    normalization: str | None = None,
    allow_code: bool = False,
) -> Trained:
    """Build and load a network: `weights` is a file, `checkpoint` a run's folder; without either they are random, or
    those of `network`, where that is an nn.Module.

    `data` is None or as in `bankwise.search`. `normalization` says how pixels enter; None: as the run recorded, else as
    the data description says. Images and classes are those of the data, of the run, as given, or the usual ones of a
    published network. A network of the user's own that the run names needs
    `allow_code`, or `network` to name it too. Raises BankwiseError where these do not agree or are missing.
    """
    if weights is not None and checkpoint is not None:
        raise BankwiseError("weights come from a file or from a run: give --weights or --checkpoint, not both")
    if not isinstance(network, str | nn.Module | None):
        raise BankwiseError(f"network {short(network)}: expected a name or an nn.Module with its weights")
    module = network if isinstance(network, nn.Module) else None
    name: str | None = IN_MEMORY if isinstance(network, nn.Module) else network
    usual, recorded, source = None, Images(), None
    if checkpoint is not None:
        with code_in_files(allow_code, [name]):
            plan, weights = run_of(checkpoint, allow_code=True)
        if name not in (None, plan.network):
            raise BankwiseError(f"the run {str(checkpoint)!r} is of network {plan.network!r}, not of {name!r}")
        name, keep, usual = plan.network, keep or plan.keep, (plan.input_shape, plan.classes)
        recorded = plan.images or recorded
        settings = values_in(RunFolder(checkpoint).settings)
        data, source = as_in_run(data, name, settings), settings.get("source")
    if name is None:
        raise BankwiseError("name a network, such as torchvision:resnet18, or a run by --checkpoint")
    usual = usual or usual_inputs(name)
    images = None if data is None else _images(name, module, data, input_shape or (usual and usual[0]))
    if images is not None:
        used = fed_as(normalization, recorded.normalization, images.normalization, str(checkpoint))
        images = images.fed(used, images.flip)
        recorded.check(images.images, repr(str(checkpoint)), f"data set {images.name!r}")
        usual = (images.input_shape, images.classes)
    if usual is not None:
        wanted = (input_shape or usual[0], classes or usual[1])
    elif input_shape is not None and classes is not None:
        wanted = (input_shape, classes)
    else:
        raise BankwiseError(f"network {name!r}: say what it takes, by --data or by --input CxHxW and --classes N")
    if images is not None and wanted != (images.input_shape, images.classes):
        has = _text(images.input_shape, images.classes)
        raise BankwiseError(f"the network is for {_text(*wanted)}, data set {images.name!r} has {has}")
    shape = shape_of(name, wanted[0], wanted[1], keep, any_output=images is None, module=module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build_or_copy(name, module, classes=wanted[1], in_channels=wanted[0][0])
    built = built.cpu().eval().requires_grad_(False)
    if weights is not None:
        load_weights(built, weights)
    check_kept(built, shape)
    if module is None:
        check_rebuilt(built, shape, outputs=images is not None)
    given = "the module" if module is not None else "random"
    described = recorded if images is None else images.images
    if images is None and normalization is not None:
        check_normalization(normalization, wanted[0][0])
        used = fed_as(normalization, recorded.normalization, SYMMETRIC, str(checkpoint))
        described = dataclasses.replace(recorded, normalization=used)
    return Trained(built, shape, given if weights is None else str(weights), images, described, source)


def _images(
    network: str, module: nn.Module | None, data: object, input_shape: tuple[int, int, int] | None
) -> ImageData:
    """The data; images of a folder are resized to what the network takes, where the description says no size."""
    if isinstance(data, str):
        data = TaskSource(network, data)
    if isinstance(data, TaskSource):
        data = dataclasses.replace(data, network=network)
        if data.image_size is None and input_shape is not None and find_data_set(data.data).kind.resizes:
            data = dataclasses.replace(data, image_size=input_shape[1])
    return take(module or network, data).data


def _text(input_shape: tuple[int, int, int], classes: int) -> str:
    return f"images {'x'.join(map(str, input_shape))} of {classes} classes"


def kinds_for(trained: Trained, budget: Budget, kinds: Sequence[str] | None, vector_bits: int) -> tuple[str, ...]:
    """The kinds to try; InfeasibleBudget where none of them can be small enough."""
    kinds = tuple(kinds) if kinds else suitable(trained.shape, budget, vector_bits)
    check_feasible(trained.shape, kinds, budget, vector_bits)
    return kinds


def packed(trained: Trained, found: Candidates, plan: Plan, on_progress: OnProgress | None = None) -> bytes:
    """The file of a plan of the candidates. With data, batch norms are realigned before. Raises BankwiseError where
    the network is another one when it is packed."""
    fits, shape = found.fit(plan, on_progress), trained.shape
    network = with_weights(trained.network, fits)
    if trained.data is not None and shape.norms:
        realign(network, trained.network, trained.data.train_x, trained.data.normalization)
    child = converted(network, shape, fits)
    check_packed(network, child, shape, plan, trained.some_images(), trained.module)
    return encode(shape, plan, pack(child, shape, plan))


@dataclass(frozen=True)
class Conversion:
    """A converted network: `accuracy` (0 to 1, None without data) of the file read back, `uncompressed_accuracy` of the
    network before; sizes in bytes. `report` prices the plan; `details` are all values as the summary holds them: the
    network, the budget, the price of every layer and its error."""

    model: Path
    plan: Plan
    file_bytes: int
    budget_bytes: int
    accuracy: float | None
    uncompressed_accuracy: float | None
    seconds: float
    report: PlanReport = field(repr=False)
    details: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dict(self.details)


@typed_arguments("out", "weights", "kinds", "vector_bits", "split", "on_progress")
def convert(
    network: str | nn.Module | Trained,
    data: object,
    budget: str | int,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    vector_bits: int = 16,
    split: str = "test",
    on_progress: OnProgress | None = None,
) -> Conversion:
    """Convert, write and read back. `out` is a file where it ends with .bankwise, else a folder for the file, its plan
    and the summary.

    `network` is an nn.Module with its weights, a reference, whose state dict is in the file `weights`, or what
    `open_trained` opened, with its data. `data` is as in `bankwise.search`, or None: then nothing is calibrated and
    measured. The file of a module in memory names it "in-memory": `load(path, network=module)` gives it back.

    Raises InfeasibleBudget, before anything is fitted where shapes tell it, and BankwiseError for other bad input.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    target, folder = Path(out), None
    if target.suffix != ".bankwise":
        folder = RunFolder(target)
        folder.check_converted()
        target = folder.model
    elif RunFolder.of_model(target) is not None:
        raise BankwiseError(f"{str(target)!r} is the model of a run; choose another file")
    elif RunFolder.that_keeps(target) is not None:
        raise BankwiseError(f"{str(target)!r} is what a run keeps; choose another file")
    trained = network if isinstance(network, Trained) else open_trained(network, weights=weights, data=data)
    begin, shape = time.time(), trained.shape
    limit = Budget.parse(budget, shape)
    kinds = kinds_for(trained, limit, kinds, vector_bits)
    found = candidates(trained.network, shape, kinds, trained.calibration(), vector_bits, on_progress)
    plan = dataclasses.replace(found.solve(limit), images=trained.images)
    contents = packed(trained, found, plan, on_progress)
    with contextlib.nullcontext() if folder is None else folder.converted_into():
        write_bytes(target, contents)
        file = read(target, allow_code=True, network=trained.module)
        report = price_plan(shape, plan, limit, str(budget))
        values = report.to_dict()
        for layer, choices, errors in zip(values["layers"], found.choices, found.errors, strict=True):
            layer["error"] = float(errors[choices.index(plan.layers[layer["name"]])])
        images = trained.data
        values |= {
            "planned_bytes": price(shape, plan).file_bytes,
            "file_bytes": file.size,
            "weight_bits_per_weight": weight_bits(shape, plan),
            "trained": trained.weights,
            "source": trained.source,
            "data": None if images is None else images.name,
            "split": None if images is None else split,
            "images": 0,
            "normalization": None if images is None else images.normalization,
            "class_names": None if images is None else list(images.class_names),
            "realigned": images is not None and bool(shape.norms),
            "model": str(target),
            "plan": None if folder is None else str(folder.plan),
        }
        if images is not None:
            values |= _measured(trained, images, file.network(), split, values["uncompressed"])
        values |= {"seconds": time.time() - begin, "made": made()}
        if folder is not None:
            plan.save(folder.plan)
            folder.write(folder.summary, values)
    before = values["uncompressed"]["accuracy"]
    return Conversion(
        target, plan, file.size, limit.bytes, values["accuracy"], before, values["seconds"], report, values
    )


def weight_bits(shape: NetworkShape, plan: Plan) -> float:
    """Bits of the choices' own parts over the weights: what papers give as average bits."""
    return (
        sum(part.total_bits for layer in shape.layers for part in plan.layers[layer.name].parts(layer)) / shape.weights
    )


def _measured(
    trained: Trained, data: ImageData, network: nn.Module, split: str, uncompressed: dict[str, Any]
) -> dict[str, Any]:
    metric = find_metric(AUTO, data.kind).name
    before, after = (measure_on(one, data, metric, split) for one in (trained.network, network))
    images = len(data.test()[1] if split == "test" else data.val_y)
    return {"images": images, "metric": metric, "accuracy": after, "uncompressed": uncompressed | {"accuracy": before}}
