"""What the page of a conversion shows: no search, no training, the error of every layer instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bankwise.report import plots
from bankwise.report.parts import totals
from bankwise.run_folder import RunFolder
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import LayerPrice, Price, price
from bankwise.search_space.shape import NetworkShape
from bankwise.search_space.strict import read_known
from bankwise.search_space.trace import shape_of
from bankwise.shown import metric_name, value_of

PLAN = "converted plan"


@dataclass(frozen=True)
class Summary:
    """What the page needs of a conversion's summary.json, which has further keys."""

    network: str
    budget: str
    budget_bytes: int
    file_bytes: int
    planned_bytes: int
    trained: str
    layers: tuple[Mapping[str, Any], ...]
    uncompressed: Mapping[str, Any]
    weight_bits_per_weight: float
    seconds: float
    data: str | None
    split: str | None
    images: int
    realigned: bool
    accuracy: float | None
    metric: str = "accuracy"
    made: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ConversionView:
    """`layers` are the price of each layer and its error: the share of the weight's energy that was lost, weighed by
    the images where there were any."""

    title: str
    summary: Summary
    shape: NetworkShape
    price: Price
    parts: Mapping[str, int]
    layers: tuple[tuple[LayerPrice, float], ...]

    @property
    def metric(self) -> str:
        return metric_name(self.summary.metric)

    def value(self, number: float) -> str:
        """Of the metric, as text."""
        return value_of(number, metric=self.summary.metric)

    @property
    def plots(self) -> dict[str, Callable[..., Any]]:
        """The figures by name; each takes a theme."""
        prices = {PLAN: self.price}
        return {
            "bytes": partial(plots.bytes_by_part, prices),
            "choices": partial(plots.bits_per_weight, self.shape, prices),
        }


def is_conversion(folder: RunFolder) -> bool:
    return folder.summary.exists() and folder.model.exists() and not folder.settings.exists()


def conversion_view(folder: RunFolder) -> ConversionView:
    """Read the folder of a conversion. Raises BankwiseError where its files are damaged."""
    try:
        summary = read_known(Summary, folder.read(folder.summary), "summary")
        errors = [float(layer["error"]) for layer in summary.layers]
    except (BankwiseError, KeyError, TypeError, ValueError) as error:
        why = error if isinstance(error, BankwiseError) else "layers"
        raise BankwiseError(f"{str(folder.summary)!r} is damaged ({why}); convert again") from None
    plan = Plan.read(folder.plan, allow_code=True)
    shape = shape_of(plan.network, plan.input_shape, plan.classes, plan.keep, any_output=True)
    cost = price(shape, plan)
    if len(errors) != len(cost.layers):
        raise BankwiseError(f"{str(folder.summary)!r} is damaged (layers); convert again")
    return ConversionView(
        f"{summary.network} converted to {summary.file_bytes:,} bytes",
        summary, shape, cost, totals(cost), tuple(zip(cost.layers, errors, strict=True)),
    )  # fmt: skip
