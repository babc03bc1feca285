"""The records' study: plans that fit their rows, only finished rows in the table, a cache for each setting."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "results"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_plans_of_a_row_fill_it():
    from bankwise.search_space.price import price
    from bankwise.search_space.trace import shape_of
    from results.records.ladders import MNIST
    from results.records.work import plans

    ladder = dataclasses.replace(MNIST, scores=("capture", "rate"))
    found = plans(ladder, "small@0.2", 1500)
    assert list(found) == ["capture", "rate"]
    for plan in found.values():
        assert 1400 < price(shape_of("small@0.2", (1, 28, 28), 10), plan).file_bytes <= 1500
    assert plans(ladder, "small", 300) == {}


def final(accuracy: float, file_bytes: int) -> dict:
    return {
        "accuracy": accuracy, "network": "small", "file_bytes": file_bytes, "device_bytes": file_bytes - 300,
        "seconds": 60.0, "petaflop": 0.5,
    }  # fmt: skip


def test_only_rows_that_are_through_are_shown(tmp_path):
    from results.records.ladders import FASHION
    from results.records.study import results
    from results.records.tables import draw, table

    def write(name: str, values: dict) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps(values))

    for seed, test in enumerate((0.89, 0.90, 0.915)):
        write(f"float-small-{seed}", {"accuracy": 0.9 + seed / 100, "seconds": 30.0, "petaflop": 0.25})
        for label, size in (("8192-small@0.7-rate", 8192), ("16384-small-capture", 16384)):
            write(f"final-{label}-{seed}", final(0.92, size - 2))
        write(f"test-16384-small-capture-{seed}", {"accuracy": test})
        write(f"test-16384-small@0.7-rate-{seed}", {"accuracy": 0.99})  # of another choice, once made
    for label, accuracy in (
        ("8192-small@0.7-rate", 0.8),
        ("16384-small-capture", 0.8),
        ("16384-small@0.7-rate", 0.7),
        ("16384-tiny-rate", 0.9),  # no network of the row any more
    ):
        write(f"try-{label}", {"accuracy": accuracy})
    write("test-8192-small@0.7-rate-0", {"accuracy": 0.99})
    found = results(FASHION, tmp_path)
    assert list(found) == [16384] and found[16384]["test_accuracies"] == [0.89, 0.90, 0.915]
    assert found[16384]["seconds"] == 90.0 and found[16384]["petaflop"] == 0.75
    lines = table(FASHION, found).splitlines()
    row = "| 16,384 | small | 16,382 | 16,082 | 92.00 ± 0.00 | 90.17 ± 1.26 | 91.00 ± 1.00 | 8 + 20 | 0.750 | 1.5 |"
    assert lines[2] == row
    assert any(line.startswith("Not through yet: 1,024, 2,048, 4,096, 8,192, 32,768") for line in lines)
    assert "Fewest bytes with a mean test accuracy of 90 %: 16,382 bytes." in lines
    assert "Fewest bytes with a mean test accuracy of 92 %: no row that is through." in lines
    assert draw(FASHION, found).axes[0].get_title() == "fashion-mnist"
    beside = {"tiled": 0.99, "60-epochs": 0.92}  # another method reaches no goal
    found[16384]["compared"] = {name: found[16384] | {"test_accuracies": [one] * 2} for name, one in beside.items()}
    assert "Fewest bytes with a mean test accuracy of 92 %: 16,382 bytes." in table(FASHION, found).splitlines()


def test_other_methods_stand_beside_a_row_once_they_are_through(tmp_path):
    from results.records.ladders import CIFAR10
    from results.records.study import results
    from results.records.tables import draw, table

    ladder = dataclasses.replace(
        CIFAR10, name="cifar10", networks={8192: ("small",)}, seeds=2, compared={8192: ("tiled", "narrower-1-bit")}
    )

    def write(label: str, size: int, test: float, seeds: range) -> None:
        for seed in seeds:
            (tmp_path / f"final-{label}-{seed}.json").write_text(json.dumps(final(0.9, size)))
            (tmp_path / f"test-{label}-{seed}.json").write_text(json.dumps({"accuracy": test + seed / 100}))

    for seed in range(2):
        (tmp_path / f"float-small-{seed}.json").write_text(
            json.dumps({"accuracy": 0.9, "seconds": 6.0, "petaflop": 0.25})
        )
    write("8192-small-capture", 8000, 0.85, range(2))  # nothing was to be chosen: no short training
    write("8192-small-tiled", 8100, 0.8, range(2))
    write("8192-small-narrower-1-bit", 8101, 0.99, range(1))
    found = results(ladder, tmp_path)
    assert list(found[8192]["compared"]) == ["tiled"] and found[8192]["tried"] == {}
    lines = table(ladder, found).splitlines()
    cells = [line.count("|") for line in lines]
    assert all(a == b for a, b in zip(cells, cells[1:], strict=False) if a and b), "rows of one table are of one width"
    assert "| 8,192 | closed form | small | 8,000 | 90.00 ± 0.00 | 85.50 ± 0.71 | 90.00 ± 0.00 | 8 + 16 |" in lines
    assert "| 8,192 | tiled | small | 8,100 | 90.00 ± 0.00 | 80.50 ± 0.71 | 90.00 ± 0.00 | 8 + 16 |" in lines
    assert "tiled, whole file" in draw(ladder, found).axes[0].get_legend_handles_labels()[1]


def test_what_is_missing_beside_a_row_of_an_earlier_run(tmp_path, monkeypatch):
    from results.records import study
    from results.records.ladders import MNIST
    from results.records.work import plans

    ladder = dataclasses.replace(MNIST, compared={1500: ("tiled",)}, longer={1500: 33}, seeds=1)
    plan = plans(ladder, "small@0.2", 1500)["capture"]
    kept = {1500: final(0.98, 1490) | {"plan": plan.to_dict(), "test_accuracies": [0.98], "compared": {"old": {}}}}
    told = []
    monkeypatch.setattr(study, "run_jobs", lambda work, jobs, cache, workers: told.extend(dict(jobs)))
    study.row(study.Run(ladder, "nowhere", tmp_path, 1, kept), 1500)
    assert [name for name in told if name.startswith("final")] == [
        "final-1500-small@0.2-33-epochs-0", "final-1500-small@0.2-tiled-0",
    ]  # fmt: skip
    assert not any(name.startswith("try") for name in told)
    for name, accuracy in (("33-epochs", 0.99), ("tiled", 0.9)):
        (tmp_path / f"final-1500-small-{name}-0.json").write_text(json.dumps(final(accuracy, 1500) | {"epochs": 33}))
        (tmp_path / f"test-1500-small-{name}-0.json").write_text(json.dumps({"accuracy": accuracy}))
    (tmp_path / "float-small-0.json").write_text(json.dumps({"accuracy": 0.9, "seconds": 6.0, "petaflop": 0.25}))
    found = study.results(ladder, tmp_path, kept)
    assert list(found) == [1500] and found[1500]["test_accuracies"] == [0.98]
    assert list(found[1500]["compared"]) == ["old", "33-epochs", "tiled"]
    other = {1500: kept[1500] | {"network": "tiny"}}  # whose row has others beside it
    assert list(study.results(ladder, tmp_path, other)[1500]["compared"]) == ["old"]


def test_methods_fill_the_row_that_they_are_compared_in():
    from bankwise.search_space.price import price
    from bankwise.search_space.trace import shape_of
    from results.records.ladders import MNIST
    from results.records.work import by_method

    for method in MNIST.compared[3200]:
        plan = by_method(MNIST, method, "small@0.25", 3200)
        assert 2700 < price(shape_of(plan.network, (1, 28, 28), 10), plan).file_bytes <= 3200
        assert (plan.network == "small@0.25") == (method != "narrower-1-bit")
    assert by_method(MNIST, "tiled", "small", 300) is None


def test_other_settings_have_another_cache():
    from results.records.ladders import MNIST

    row = {**MNIST.networks, 2000: ("small@0.25",)}
    assert dataclasses.replace(MNIST, networks=row).key == MNIST.key
    for changes in ({"full": 21}, {"recipe": dataclasses.replace(MNIST.recipe, lr=1e-3)}, {"limit": 9}):
        assert dataclasses.replace(MNIST, **changes).key != MNIST.key


def test_rows_of_an_earlier_run_stay_where_the_settings_are_the_same(tmp_path):
    from results.records.ladders import MNIST
    from results.records.study import published

    assert published(MNIST, tmp_path) == {}
    rows = {"3200": final(0.99, 3190), "1500": final(0.98, 1490), "77": final(0.9, 70)}  # 77: no row any more
    (tmp_path / "results.json").write_text(json.dumps({"settings": MNIST.key, "rows": rows}))
    assert published(MNIST, tmp_path) == {1500: rows["1500"], 3200: rows["3200"]}
    assert published(dataclasses.replace(MNIST, full=1), tmp_path) == {}
