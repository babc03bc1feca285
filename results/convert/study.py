"""How many bits a weight does a conversion without training need? Trained networks, and sizes of published ones.

    python results/convert/study.py --data-root DATA        (about ten minutes of one core)

The networks of TRAINED are trained for a few epochs, then converted by `bankwise convert`'s own functions, never
trained again. Settings are chosen on 2,000 validation images; 2,000 test images are read for the rows of the table.
`paper` is the published rule: one J and one bottleneck for all layers, one scale a layer. `no data` uses nothing but
the weights; `calibrated` also 256 training images for importances and up to 4,000 to realign batch norms. The large
networks have random weights, since no trained ones are at hand: their figures are sizes and weight errors, not
accuracies. Writes results.json and table.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import compress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bankwise.converting import packed, weight_bits
from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import InfeasibleBudget
from bankwise.search_space.families import Choice, Composite, Integer
from bankwise.search_space.fits import LayerFits
from bankwise.search_space.plan import Plan
from bankwise.search_space.price import price
from bankwise.search_space.targets.file.container import decode
from bankwise.strategies.conversion import Candidates, candidates, conversion_kinds
from bankwise.trained import Trained, open_trained
from bankwise.trainers.data import load_data
from bankwise.trainers.evaluate import accuracy
from bankwise.trainers.loop import train
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import make_task
from results.jobs import run_jobs

HERE = Path(__file__).resolve().parent
TRAINED = {  # name of the rows: (network, data set, epochs)
    "small, fashion-mnist": ("small", "fashion-mnist", 2),
    "resnet20@0.5, cifar10": ("resnet20@0.5", "cifar10", 5),
}
IMAGES, IMAGES_MEASURED = 12_000, 2000  # training images, validation included; measured on so many, of each split
DROP = 0.01  # allowed on the validation images
BITS = (3.25, 3.5, 4.0, 4.5, 5.0)  # of the file, a weight: budgets of the composite plans
INTS = (3, 4, 5)
PAPER = [(planes, bottleneck) for planes in (2, 3, 4, 5) for bottleneck in (0.1, 0.3)]
LARGE = {
    "torchvision:resnet18": 5.25, "torchvision:vgg16": 5.47, "torchvision:densenet121": 5.72,
    "torchvision:ssd300_vgg16": 4.38, "segnet": 5.18, "torchvision:fcn_resnet50": None,
}  # fmt: skip
KEPT = {"torchvision:ssd300_vgg16": ("backbone.scale_weight",)}
NOMINAL = (3, 4, 5)  # J: four to six bits with the sign
BOTTLENECK = 0.3


def trained(root: str, cache: str, name: str) -> Trained:
    network, data_set, epochs = TRAINED[name]
    data = load_data(data_set, root=Path(root), limit=IMAGES)
    recipe, checkpoint = Recipe(epochs=epochs, recalibrate=0, threads=1), Path(cache) / f"{name}.pt"
    train(make_task(network, data, recipe).network, data, recipe, checkpoint=checkpoint)
    return open_trained(network, weights=checkpoint, data=data)


def small_network(root: str, cache: str, name: str) -> dict:
    """Every setting on the validation images; test accuracies of the chosen ones."""
    one = trained(root, cache, name)
    plain = dataclasses.replace(one, data=None)
    pixels, labels = one.data.val_x[:IMAGES_MEASURED], one.data.val_y[:IMAGES_MEASURED]
    before = accuracy(one.network, pixels, labels)
    rows, files = [], {}
    for how, source in (("no data", plain), ("calibrated", one)):
        every = candidates(one.network, one.shape, conversion_kinds("every"), source.calibration())
        for method, plan, found in plans(every, one, published=how == "no data"):
            data = packed(source, found, plan)
            row = {
                "how": how, "method": method, "bytes": len(data), "bits": weight_bits(one.shape, plan),
                "accuracy": accuracy(decode(data).network(), pixels, labels),
            }  # fmt: skip
            assert len(data) == price(one.shape, plan).file_bytes
            print(name, row, flush=True)
            rows.append(row)
            files[how, method] = data
    chosen = [row for row in rows if row["method"].startswith("int")]
    for how in ("no data", "calibrated"):
        mine = [row for row in rows if row["how"] == how]
        for kind in ("paper", "composite "):
            fitting = [row for row in mine if row["method"].startswith(kind) and row["accuracy"] > before - DROP]
            chosen += [min(fitting, key=lambda row: row["bytes"])] if fitting else []
        chosen += [row for row in mine if row["method"].endswith("bytes of int4")]
    test = [part[:IMAGES_MEASURED] for part in one.data.test()]
    for row in chosen:
        row["test"] = accuracy(decode(files[row["how"], row["method"]]).network(), *test)
    return {"before": before, "test_before": accuracy(one.network, *test), "rows": rows}


def plans(every: Candidates, one: Trained, published: bool) -> Iterator[tuple[str, Plan, Candidates]]:
    """(method, plan, candidates): ints alike, composite plans, all kinds at the bytes of int4; the paper's rule."""
    layers = one.shape.layers
    mine = [[isinstance(choice, Composite) for choice in row] for row in every.choices]
    composite = dataclasses.replace(
        every,
        choices=tuple(tuple(compress(row, on)) for row, on in zip(every.choices, mine, strict=True)),
        errors=tuple(row[on] for row, on in zip(every.errors, mine, strict=True)),
    )
    ints = {bits: alike(every, [Integer(bits)] * len(layers)) for bits in (INTS if published else (4,))}
    for bits, plan in ints.items():
        yield f"int{bits}", plan, every
    size = Budget(price(one.shape, ints[4]).file_bytes)
    yield "all kinds, bytes of int4", every.solve(size), every
    yield "composite, bytes of int4", composite.solve(size), composite
    for bits in BITS:
        with suppress(InfeasibleBudget):
            yield f"composite {bits}", composite.solve(Budget.parse(f"{bits}bpw", one.shape)), composite
    for planes, bottleneck in PAPER if published else ():
        fits = tuple(
            LayerFits(layer, one.network.get_submodule(layer.name).weight, per_filter=False) for layer in layers
        )
        plan = alike(every, [fit.fitter(Composite).resolve(planes, bottleneck) for fit in fits])
        yield f"paper J={planes} bottleneck {bottleneck}", plan, dataclasses.replace(every, fits=fits)


def alike(found: Candidates, choices: list[Choice]) -> Plan:
    shape = found.shape
    layers = {layer.name: choice for layer, choice in zip(shape.layers, choices, strict=True)}
    return Plan(shape.network, shape.input_shape, shape.classes, layers, shape.keep, found.vector_bits)


def large_network(network: str) -> dict:
    """Average bits and squared weight error, random weights, for every J; one bottleneck, one scale a layer."""
    begin = time.process_time()
    one = open_trained(network, keep=KEPT.get(network, ()))
    bits, errors = dict.fromkeys(NOMINAL, 0), dict.fromkeys(NOMINAL, 0.0)
    for layer in one.shape.layers:
        weight = one.network.get_submodule(layer.name).weight
        fits = LayerFits(layer, weight, per_filter=False)
        for planes in NOMINAL:
            choice = fits.fitter(Composite).resolve(planes, BOTTLENECK)
            bits[planes] += sum(part.total_bits for part in choice.parts(layer))
            errors[planes] += fits.error(choice) * layer.weights
    weights = one.shape.weights
    return {
        "weights": weights, "layers": len(one.shape.layers), "seconds": time.process_time() - begin,
        "bits": {planes: bits[planes] / weights for planes in NOMINAL},
        "errors": {planes: errors[planes] / weights for planes in NOMINAL},
    }  # fmt: skip


def tables(results: dict[str, dict]) -> list[str]:
    lines = [
        "| network | how | method | file bytes | bits a weight | validation % (drop) | test % (drop) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in TRAINED:
        one = results[name]
        lines.append(f"| {name} | | float32 | | 32 | {100 * one['before']:.1f} | {100 * one['test_before']:.1f} |")
        for row in (row for row in one["rows"] if "test" in row):
            cells = [
                f"{100 * row[key]:.1f} ({100 * (one[before] - row[key]):+.1f})"
                for key, before in (("accuracy", "before"), ("test", "test_before"))
            ]
            cells = [name, row["how"], row["method"], f"{row['bytes']:,}", f"{row['bits']:.2f}", *cells]
            lines.append(f"| {' | '.join(cells)} |")
    nominal = " | ".join(f"J={planes}: bits, error" for planes in NOMINAL)
    lines += ["", f"| random weights | layers | weights | {nominal} | CPU s | published bits |"]
    lines += ["|---|---|---|" + "---|" * (len(NOMINAL) + 2)]
    for network, published in LARGE.items():
        one = results[network]
        cells = [f"{one['bits'][planes]:.2f}, {one['errors'][planes]:.4f}" for planes in map(str, NOMINAL)]
        lines.append(
            f"| {network} | {one['layers']} | {one['weights']:,} | {' | '.join(cells)} | {one['seconds']:.0f} | "
            f"{published or '-'} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/convert")
    parser.add_argument("--workers", type=int, help="Processes side by side. Default: one a core.")
    options = parser.parse_args()
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [(name, (options.data_root, options.cache, name)) for name in TRAINED]
    results = run_jobs(small_network, jobs, cache, options.workers)
    named = {network.replace(":", "-"): network for network in LARGE}
    large = run_jobs(large_network, [(name, (network,)) for name, network in named.items()], cache, options.workers)
    results |= {named[name]: value for name, value in large.items()}
    results = json.loads(json.dumps(results))  # the keys of a first run as those read again
    lines = tables(results)
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
