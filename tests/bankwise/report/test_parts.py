from __future__ import annotations

from bankwise.report.gather import Run
from bankwise.report.parts import ORDER, layer_bytes, part_names, rows, totals
from bankwise.search_space.families import Composite
from bankwise.search_space.price import layer_price
from bankwise.search_space.shape import LayerShape


def test_the_parts_add_up_to_the_file(run: Run):
    for price in (run.price, run.uniform_price):
        assert sum(totals(price).values()) == price.file_bytes
        named = dict(rows(price))
        for layer in price.layers:
            assert sum(named[layer.name].values()) == layer.file_bytes
        banks = sum(part.file_bytes for layer in price.layers for part in layer.parts if part.name == "bank")
        assert totals(price).get("bank", 0) == banks


def test_names_come_in_the_usual_order(run: Run):
    names = part_names([run.price, run.uniform_price])
    assert set(names) == set(totals(run.price)) | set(totals(run.uniform_price))
    assert names == [name for name in ORDER if name in names]


def test_factors_of_all_planes_are_one_part():
    layer = LayerShape("conv", "conv2d", 64, 64, (3, 3), normalized=True)
    cost = layer_price(layer, Composite(3, (40, 6)), 8)
    assert layer_bytes(cost) == {"levels": 36_864 * 4 // 8, "factors": 46 * 384 // 8, "header": 1 + 3}
    assert {"levels", "factors"} <= set(ORDER)
