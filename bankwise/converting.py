"""Compress a trained network under a budget, without training it: `bankwise convert` as a function."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from bankwise import offer
from bankwise.inputs import usual_inputs
from bankwise.run_folder import RunFolder
from bankwise.weights import load_weights, run_of
from search_space.budget import Budget
from search_space.errors import BankwiseError, unknown
from search_space.files import write_bytes
from search_space.fits import converted, with_weights
from search_space.modelfile import encode, pack, read
from search_space.networks import build
from search_space.plan import Plan
from search_space.price import price
from search_space.shape import NetworkShape
from search_space.trace import norms_behind, trace
from strategies.conversion import Candidates, Watch, candidates, check_reach, suitable
from trainers.data import ImageData, load_data, to_input
from trainers.evaluate import ImageNetPixels, accuracy, realign

IMAGES = 256  # that calibrate
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Trained:
    """A network with its weights; `weights` says where they are from."""

    network: nn.Module
    shape: NetworkShape
    weights: str
    data: ImageData | None = None
    imagenet: bool = False

    def seen(self, network: nn.Module) -> nn.Module:
        """`network` for images in [-1, 1]."""
        return ImageNetPixels(network) if self.imagenet else network

    def calibration(self) -> torch.Tensor | None:
        """Training images as the network takes them, spread over the whole set."""
        if self.data is None:
            return None
        count = min(IMAGES, len(self.data.train_x))
        images = to_input(self.data.train_x[torch.arange(count) * len(self.data.train_x) // count])
        return ImageNetPixels(self.network).prepare(images) if self.imagenet else images


def open_trained(
    network: str | None,
    *,
    weights: str | Path | None = None,
    checkpoint: str | Path | None = None,
    data: str | ImageData | None = None,
    data_root: str | Path | None = None,
    limit: int | None = None,
    validation: float | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    keep: tuple[str, ...] = (),
    imagenet: bool = False,
    seed: int = 0,
) -> Trained:
    """Build and load a network: `weights` is a file, `checkpoint` a run's folder; without either they are random.

    Images and classes are those of the data, of the run, as given, or the usual ones of a published network.
    """
    if weights is not None and checkpoint is not None:
        raise BankwiseError("weights come from a file or from a run: give --weights or --checkpoint, not both")
    usual = None
    if checkpoint is not None:
        plan, weights = run_of(checkpoint)
        if network not in (None, plan.network):
            raise BankwiseError(f"the run {str(checkpoint)!r} is of network {plan.network!r}, not of {network!r}")
        network, keep, usual = plan.network, keep or plan.keep, (plan.input_shape, plan.classes)
    if network is None:
        raise BankwiseError("name a network, such as torchvision:resnet18, or a run by --checkpoint")
    usual = usual or usual_inputs(network)
    if isinstance(data, str):
        side = (input_shape or (usual or ((None, None),))[0])[1] if data.startswith("imagefolder:") else None
        data = load_data(data, root=data_root, limit=limit, validation=validation, image_size=side)
    if data is not None:
        usual = (data.input_shape, data.classes)
    if usual is None and (input_shape is None or classes is None):
        raise BankwiseError(f"network {network!r}: say what it takes, by --data or by --input CxHxW and --classes N")
    wanted = (input_shape or usual[0], classes or usual[1])
    if data is not None and wanted != usual:
        raise BankwiseError(f"the network is for {_told(*wanted)}, data set {data.name!r} has {_told(*usual)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build(network, classes=wanted[1], in_channels=wanted[0][0]).eval().requires_grad_(False)
    if weights is not None:
        load_weights(built, weights)
    shape = trace(built, network, *wanted, keep, any_output=data is None)
    return Trained(built, shape, "random" if weights is None else str(weights), data, imagenet)


def _told(input_shape: tuple[int, int, int], classes: int) -> str:
    return f"images {'x'.join(map(str, input_shape))} of {classes} classes"


def kinds_for(trained: Trained, budget: Budget, kinds: Sequence[str] | None, vector_bits: int) -> tuple[str, ...]:
    """The kinds to try; InfeasibleBudget where none of them can be small enough."""
    kinds = tuple(kinds) if kinds else suitable(trained.shape, budget, vector_bits)
    check_reach(trained.shape, kinds, budget, vector_bits)
    return kinds


def packed(trained: Trained, found: Candidates, plan: Plan, watch: Watch | None = None) -> bytes:
    """The file of a plan of the candidates. With data, batch norms are realigned before."""
    fits = found.fit(plan, watch)
    network = trained.network
    if trained.data is not None and trained.shape.norms:
        network = with_weights(network, fits)
        realign(trained.seen(network), trained.seen(trained.network), trained.data.train_x)
    child = converted(network, trained.shape, norms_behind(trained.network, trained.shape), fits)
    return encode(trained.shape, plan, pack(child, trained.shape, plan))


def convert(
    trained: Trained,
    budget: str,
    out: str | Path,
    *,
    kinds: Sequence[str] | None = None,
    vector_bits: int = 16,
    split: str = "test",
    watch: Watch | None = None,
) -> dict:
    """Convert, write and read back; the summary. `out` is a file where it ends with .bankwise, else a folder for the
    file, its plan and the summary. Raises InfeasibleBudget, before anything is fitted where shapes tell it."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    begin, shape = time.time(), trained.shape
    limit = Budget.parse(budget, shape)
    kinds = kinds_for(trained, limit, kinds, vector_bits)
    found = candidates(trained.network, shape, kinds, trained.calibration(), vector_bits, watch)
    plan = found.solve(limit)
    data = packed(trained, found, plan, watch)
    target, folder = Path(out), None
    if target.suffix != ".bankwise":
        folder = RunFolder(target)
        target = folder.model
    write_bytes(target, data)
    file = read(target, allow_code=True)
    told = offer.describe(shape) | offer.within(limit, budget) | offer.priced(shape, plan)
    for layer, choices, errors in zip(told["layers"], found.choices, found.errors, strict=True):
        layer["error"] = float(errors[choices.index(plan.layers[layer["name"]])])
    told |= {
        "planned_bytes": price(shape, plan).file_bytes,
        "file_bytes": file.size,
        "weight_bits_per_weight": weight_bits(shape, plan),
        "trained": trained.weights,
        "data": None if trained.data is None else trained.data.name,
        "split": None if trained.data is None else split,
        "images": 0,
        "realigned": trained.data is not None and bool(shape.norms),
        "model": str(target),
        "plan": None if folder is None else str(folder.plan),
    }
    if trained.data is not None:
        told |= _measured(trained, file.network(), split, told["uncompressed"])
    told["seconds"] = time.time() - begin
    if folder is not None:
        plan.save(folder.plan)
        folder.write(folder.summary, told)
    return told


def weight_bits(shape: NetworkShape, plan: Plan) -> float:
    """Bits of the choices' own parts over the weights: what papers give as average bits."""
    return (
        sum(part.total_bits for layer in shape.layers for part in plan.layers[layer.name].parts(layer)) / shape.weights
    )


def _measured(trained: Trained, network: nn.Module, split: str, uncompressed: dict) -> dict:
    pixels, labels = trained.data.test() if split == "test" else (trained.data.val_x, trained.data.val_y)
    before, after = (accuracy(trained.seen(one), pixels, labels) for one in (trained.network, network))
    return {"images": len(labels), "accuracy": after, "uncompressed": uncompressed | {"accuracy": before}}
