"""An exported file measured on data, as it lies on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bankwise.inputs import fed_as, take
from bankwise.recorded import as_in_run, claims_run, values_in
from bankwise.run_folder import RunFolder
from bankwise.search_space.arguments import typed_arguments
from bankwise.search_space.errors import BankwiseError, unknown
from bankwise.search_space.images import Images
from bankwise.search_space.imports import code_in_files, reference_of
from bankwise.search_space.price import price
from bankwise.search_space.targets.file.container import ModelFile, read
from bankwise.trainers.data import ImageData
from bankwise.trainers.data_sets import find_data_set
from bankwise.trainers.evaluate import outputs_on
from bankwise.trainers.metric import AUTO, find_metric
from bankwise.trainers.task import TaskSource

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Evaluation:
    """An exported file on data: `accuracy` is the share of right answers among `images` images of `split`, which
    come from `origin`, or what else `metric` is.

    `beside` is what the run that the file lies in measured: budget_bytes, plan, baseline_uniform, uncompressed; None
    where it lies alone.
    """

    model: str
    network: str
    data: str
    split: str
    images: int
    origin: str
    normalization: str
    metric: str
    accuracy: float
    file_bytes: int
    paper_bits: int
    paper_bits_per_weight: float
    beside: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return values | dict(values.pop("beside"))


@typed_arguments("path", "split", "normalization", "allow_code", "network")
def evaluate(
    path: str | Path,
    data: object,
    split: str = "test",
    *,
    metric: str | Callable[..., object] | None = None,
    normalization: str | None = None,
    allow_code: bool = False,
    network: nn.Module | None = None,
) -> Evaluation:
    """Measure the file, or that of a run's or a conversion's folder, on the `split`, "test" or "validation", of the
    data, which are as in `bankwise.search`.

    `normalization` says how pixels enter ("symmetric" or "imagenet"); None: as the file records, else as the data
    description says. `metric` is as in `bankwise.search`; None: that of the run that the file lies in, else the usual
    one for the labels. Validation images are split off as in the run that the file lies in, unless the description has
    a limit or a validation share of its own. Images of a folder are resized to what the file takes. `allow_code`
    imports and runs a network of the user's own, `network` is the module where the file is of one in memory.

    Raises BankwiseError where file and data do not fit: other images, another normalization or other classes; or where
    what the run's own description names now is not what the run recorded, by its checksums.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    path = model_of(path)
    file, folder = read(path, allow_code, network), path.parent
    summary, settings = values_in(folder / "summary.json"), values_in(folder / "settings.json")
    own = summary.get("file_bytes") == file.size
    if split == "validation" and own:
        data = as_in_run(data, file.plan.network, settings or summary)
    images = _images(path, file, data, split, normalization, network)
    _check(path, file, images, summary)
    if own and claims_run(data, settings, split):
        _check_same(path, images, settings, split)
    cost = price(file.shape, file.plan)
    recorded = _metric_of_run(settings)
    with code_in_files(allow_code, () if metric is None else (reference_of("metric", metric),)):
        measured = find_metric(reference_of("metric", metric or recorded), images.kind)
    return Evaluation(
        model=str(path),
        network=file.plan.network,
        data=images.name,
        split=split,
        images=len(images.test()[1] if split == "test" else images.val_y),
        origin=images.origins.get(split, images.name),
        normalization=images.normalization,
        metric=measured.name,
        accuracy=measured(*outputs_on(file.network(), images, split)),
        file_bytes=file.size,
        paper_bits=cost.paper_bits,
        paper_bits_per_weight=cost.paper_bits_per_weight,
        beside=_beside(summary, settings, file, images, split, measured.name, str(RunFolder(folder).plan)),
    )


def model_of(path: str | Path) -> Path:
    """The exported file: `path`, or that in the folder `path`. Raises BankwiseError for a folder that has none."""
    if not Path(path).is_dir():
        return Path(path)
    folder = RunFolder(path)
    if not folder.model.exists():
        hint = folder.missing("name a run, a conversion or a file")
        raise BankwiseError(f"{str(path)!r} holds no {folder.model.name}: {hint}")
    return folder.model


def data_of(path: str | Path) -> TaskSource | None:
    """The data description of the run or conversion whose file or folder `path` is; None where there is none."""
    folder = model_of(path).parent
    if not RunFolder(folder).model.exists() or model_of(path).name != RunFolder(folder).model.name:
        return None
    recorded = values_in(folder / "settings.json").get("source")
    if isinstance(recorded, dict):
        return TaskSource.from_dict(recorded)
    named = values_in(folder / "summary.json").get("data")
    return TaskSource("", named) if isinstance(named, str) else None


def _images(
    path: str | Path,
    file: ModelFile,
    data: object,
    split: str,
    normalization: str | None,
    network: nn.Module | None,
) -> ImageData:
    """The data's split, normalized as asked or as the file says, and of the file's image size where they can be
    resized."""
    recorded = file.images.normalization
    if isinstance(data, str):
        data = TaskSource(file.plan.network, data)
    if not isinstance(data, TaskSource):
        images = take(network or file.plan.network, data).data
        return images.fed(fed_as(normalization, recorded, images.normalization, str(path)))
    size = data.image_size
    if size is None and find_data_set(data.data).kind.resizes:
        size = file.shape.input_shape[1]
    used = fed_as(normalization, recorded, data.normalization, str(path))
    return dataclasses.replace(data, normalization=used, image_size=size).load(only=split)


def fitting_images(
    path: str | Path, file: ModelFile, data: object, split: str, network: nn.Module | None = None
) -> ImageData:
    """The images of `data`, all of `split`, as the file takes them. Raises BankwiseError where they do not fit."""
    images = _images(path, file, data, split, None, network)
    _check(path, file, images, {})
    return images


def _check(path: str | Path, file: ModelFile, data: ImageData, summary: Mapping[str, Any]) -> None:
    for what, mine, given in (
        ("images of shape", file.shape.input_shape, data.input_shape),
        ("classes:", file.shape.classes, data.classes),
    ):
        if mine != given:
            raise BankwiseError(f"{str(path)!r} is for {what} {_text(mine)}, data set {data.name!r} has {_text(given)}")
    recorded, names = file.images, summary.get("class_names")
    if isinstance(names, list) and (named := Images(class_names=tuple(map(str, names)))).digest == recorded.digest:
        recorded = dataclasses.replace(recorded, class_names=named.class_names)  # for the error to name
    recorded.check(data.images, repr(str(path)), f"data set {data.name!r}")


def _check_same(path: Path, images: ImageData, settings: Mapping[str, Any], split: str) -> None:
    """Raises BankwiseError where images by the run's own description are others than those that it recorded."""
    identity = settings.get("identity")
    known = identity.get("checksums") if isinstance(identity, dict) else None
    if isinstance(known, dict) and known.get(split) not in (None, images.identity()["checksums"][split]):
        raise BankwiseError(
            f"the {split} images of {images.name!r} are others than those of the run {str(path.parent)!r}: name the "
            "run's own by --data, or copy the file out of its folder to measure it on these"
        )


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _metric_of_run(settings: Mapping[str, Any]) -> str:
    recipe = settings.get("recipe")
    named = recipe.get("metric") if isinstance(recipe, dict) else None
    return named if isinstance(named, str) else AUTO


def _beside(
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
    file: ModelFile,
    data: ImageData,
    split: str,
    metric: str,
    plan: str,
) -> dict[str, Any]:
    """Budget, the file of the plan and baselines of the run that the file lies in; null where it lies alone, or other
    images or another metric were measured there."""
    missing = {
        "budget_bytes": None,
        "plan": None,
        "baseline_uniform": None,
        "uncompressed": {"accuracy": None, "bytes": file.shape.float_bytes},
    }
    try:
        fits = summary["file_bytes"] == file.size and summary.get("metric", metric) == metric
        fits = fits and settings["identity"]["checksums"][split] == data.identity()["checksums"][split]
        key = "test_accuracy" if split == "test" else "accuracy"
        found = {
            name: summary[name] and {"accuracy": summary[name][key], "bytes": summary[name]["bytes"]}
            for name in ("baseline_uniform", "uncompressed")
        }
        return {"budget_bytes": summary["budget_bytes"], "plan": plan, **found} if fits else missing
    except (KeyError, TypeError):
        return missing
