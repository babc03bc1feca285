"""Compress a trained network under a budget, without training it: `bankwise convert` as a function."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from bankwise.made import made
from bankwise.plan_report import PlanReport
from bankwise.planning import price_plan
from bankwise.run_folder import RunFolder
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.files import write_bytes
from bankwise.search_space.fits import converted, with_weights
from bankwise.search_space.packed import check_packed
from bankwise.search_space.packing import pack
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.targets.file.container import encode, read
from bankwise.strategies.conversion import Candidates, OnProgress, candidates, check_feasible, suitable
from bankwise.trained import Trained, open_trained
from bankwise.trainers.data import ImageData
from bankwise.trainers.evaluate import measure_on, realign
from bankwise.trainers.metric import AUTO, find_metric

SPLITS = ("test", "validation")


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
