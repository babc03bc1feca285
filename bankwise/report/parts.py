"""Where the bytes of a file go: by layer and by part."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bankwise.search_space.price import LayerPrice, Price

SHOWN = {
    "scale": "scale, bias", "scales": "scale, bias", "bias": "scale, bias",
    "norm.scale": "batch norm", "norm.shift": "batch norm",
}  # fmt: skip
ORDER = (
    "bank", "indices", "coefficients", "signs", "levels", "factors", "values",
    "scale, bias", "batch norm", "kept tensors", "header",
)  # fmt: skip
_BOUNDS = re.compile(r"\.(range|top)$")  # of a vector, beside its codes
_FACTOR = re.compile(r"(left|right)\d+")  # of the composite planes, two for each plane

Parts = dict[str, int]


def layer_bytes(layer: LayerPrice) -> Parts:
    """Bytes by part; the choice's code in the header counts as header."""
    found: Parts = {}
    for part in layer.parts:
        name = _FACTOR.sub("factors", _BOUNDS.sub("", part.name))
        name = SHOWN.get(name, name)
        found[name] = found.get(name, 0) + part.file_bytes
    return found | {"header": layer.file_bytes - sum(found.values())}


def rows(price: Price) -> list[tuple[str, Parts]]:
    """Every layer, then what no choice changes; all entries add up to the file's bytes."""
    return [(layer.name, layer_bytes(layer)) for layer in price.layers] + [
        (name, {name: size}) for name, size in price.fixed.items()
    ]


def totals(price: Price) -> Parts:
    """Bytes of each part over the whole file."""
    found: Parts = {}
    for _, parts in rows(price):
        for name, size in parts.items():
            found[name] = found.get(name, 0) + size
    return found


def part_names(prices: Sequence[Price]) -> list[str]:
    """The parts of all the files, in the usual order; parts of families without a place in it come last."""
    found = dict.fromkeys(name for price in prices for name in totals(price))
    return [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
