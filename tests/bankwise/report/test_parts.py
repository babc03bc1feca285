from __future__ import annotations

from bankwise.report.gather import Run
from bankwise.report.parts import ORDER, part_names, rows, totals


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
