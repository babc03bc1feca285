"""How C runs a layer: the fields of `struct layer`, as the family of its choice says, and whether maps are merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bankwise.search_space.families import Choice, Operations
from bankwise.search_space.families.bank import map_length
from bankwise.search_space.families.in_c import MergedBank, Packed, Plane
from bankwise.search_space.shape import LayerShape

Fields = dict[str, str]  # of `struct layer`, as they are assigned


def unpacking(layer: LayerShape, choice: Choice, at: Mapping[str, str]) -> tuple[Plane, MergedBank | None]:
    """How the choice is unpacked, and its bank where the layer is run by split-transform-merge. `at` are pointers to
    its parts; a function of its own is named by the place of the first of them, which no other layer has.

    Raises BankwiseError for a family that C cannot unpack.
    """
    first = at[choice.parts(layer)[0].name]
    packed = Packed(at, f"plane_at_{first.rpartition(' ')[2]}")
    return choice.in_c(layer, packed), choice.merged_in_c(layer, packed)


def assigned(fields: Mapping[str, str | int]) -> Fields:
    return {name: str(value) for name, value in fields.items()}


@dataclass(frozen=True)
class Merge:
    """Split-transform-merge of a layer, `height` rows of its output at a time: the size and stride of the maps that
    these read, the steps from tile to tile in them, and the additions and multiplications of all of it."""

    bank: MergedBank
    height: int
    size: tuple[int, int]
    stride: tuple[int, int]
    step: tuple[int, int]
    operations: int

    @property
    def fields(self) -> Fields:
        bank, (height, width) = self.bank, self.bank.tile
        numbers = {"k": bank.k, "s": bank.s, "th": height, "tw": width, "index_bits": (bank.k - 1).bit_length()}
        terms = {"bits": bank.bits, "terms": bank.terms, "coefficient_bits": bank.coefficient_bits}
        return assigned({**bank.fields, **numbers, **terms, "step_h": self.step[0], "step_w": self.step[1]})

    def view(self, rows: Fields) -> Fields:
        """The fields of its maps, of a layer with the fields `rows`."""
        return assigned({
            "map.ih": rows["view.ih"], "map.iw": rows["view.iw"], "map.oh": self.size[0], "map.ow": self.size[1],
            "map.sh": self.stride[0], "map.sw": self.stride[1],
        })  # fmt: skip

    @property
    def words(self) -> int:
        """Of the k maps of one group of channels, and the taps of one bank filter and channel behind them."""
        return self.bank.k * self.size[0] * self.size[1] + self.bank.tile[0] * self.bank.tile[1]


def merged(layer: LayerShape, choice: Choice, bank: MergedBank | None) -> list[Merge]:
    """How the layer may be run by split-transform-merge, most rows first: with fewer, maps take less memory, and those
    of tiles above each other are computed more than once. None where its family has none, the price says that it takes
    no fewer operations, or its maps are not the grid that the price counts."""
    if bank is None or len(layer.out_sizes) > 1:
        return []
    by, plain = (total(choice.operations(layer, run)) for run in ("merge", "materialized"))
    axes = [_axis(layer, bank.tile, i, layer.out_size[i]) for i in (0, 1)]
    counted = [
        map_length(layer.out_size[i], layer.stride[i], bank.tile[i], layer.kernel[i], layer.dilation[i]) for i in (0, 1)
    ]
    if [length for length, _ in axes] != counted:
        return []
    (whole, sh), (width, sw) = axes
    steps = (bank.tile[0] * layer.dilation[0], bank.tile[1] * layer.dilation[1])
    each = bank.k * layer.c * layer.groups * bank.tile[0] * bank.tile[1] * width * (1 + (bank.bits > 1))
    found = list[Merge]()
    for strips in range(1, layer.out_size[0] + 1):
        height = -(-layer.out_size[0] // strips)
        rows, _ = _axis(layer, bank.tile, 0, height)
        operations = by + each * (strips * rows - whole)
        if operations < plain and (not found or height < found[-1].height):
            found.append(Merge(bank, height, (rows, width), (sh, sw), steps, operations))
    return found


def total(operations: Operations) -> int:
    return operations.multiplications + operations.additions


def _axis(layer: LayerShape, tile: tuple[int, int], i: int, out: int) -> tuple[int, int]:
    """The length and stride of the maps along an axis that `out` places of the output read."""
    stride = layer.stride[i]
    if tile[i] == layer.kernel[i]:
        return out, stride
    return (out - 1) * stride + 1 + (layer.kernel[i] - tile[i]) * layer.dilation[i], 1
