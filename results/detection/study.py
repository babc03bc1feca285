"""Detection at equal bytes: torchvision's SSD with a small backbone, digits of MNIST among clutter, mAP of the file.

    nice -n 10 python results/detection/study.py --data-root DATA        (about 12 minutes of one core)

Every network is trained in floating point first, then its compressed layers from these weights, alike. Writes table.md,
boxes.png, results.json and the plans beside this file; what is through lies in --cache, and is not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from functools import cache as once
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bankwise import BankwiseError, Child, Plan, SpaceSettings, load, plan, price, save
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.space import SearchSpace
from bankwise.search_space.trace import trace
from bankwise.trainers.data import load_data
from examples.detector import CLASSES, INPUT, detector, score, train
from examples.scenes import Scenes, make_scenes
from results.jobs import run_jobs

SEEDS = (0, 1, 2)
COUNTS = {"training": 4000, "validation": 500, "test": 1000}  # scenes
EPOCHS, RATE = 3, 1e-2  # the better of 4e-3 and 1e-2 for a float network on the validation scenes
FLOAT, PLANNED, UNIFORM, NARROWER = "float32", "plan of `bankwise.plan`", "best uniform plan", "narrower, 1-bit"
EIGHT_BITS = "plan, scales and shifts of 8 bits"
BUDGETS = {8: (PLANNED, EIGHT_BITS, UNIFORM, NARROWER), 16: (PLANNED, EIGHT_BITS, UNIFORM)}  # KiB: methods
SHORT = {PLANNED: "plan", EIGHT_BITS: "plan-v8", UNIFORM: "uniform", NARROWER: "narrower"}
ONE_BIT = SpaceSettings(("binary",), ("binary", "int4", "int8"), ("binary", "int4", "int8"))
SHOWN, SURE = 6, 0.4  # scenes of the picture, and the least score of boxes in it


@once
def scenes(split: str, root: str) -> Scenes:
    """Those of a split, of digits of its own."""
    data = load_data("mnist", root=Path(root))
    parts = {"training": (data.train_x, data.train_y), "validation": (data.val_x, data.val_y)}
    images, labels = data.test() if split == "test" else parts[split]
    return make_scenes(images, labels, COUNTS[split], seed=list(COUNTS).index(split))


def planned(method: str, kib: int) -> tuple[float, Plan]:
    """The width of the method's network and its plan."""
    budget, width = kib * 1024, 1.0
    if method == NARROWER:
        width = next(step / 100 for step in range(100, 0, -1) if _fits(step / 100, budget))
    settings = {NARROWER: ONE_BIT, EIGHT_BITS: SpaceSettings(vectors=("v8",))}.get(method)
    report = plan(detector(width), budget, space=settings, input_shape=INPUT, classes=CLASSES)
    found = report.uniform if method == UNIFORM else report
    if found is None or found.plan is None:
        raise BankwiseError(f"no uniform plan takes {budget:,} bytes")
    return width, found.plan


def _fits(width: float, budget: int) -> bool:
    shape = trace(detector(width), IN_MEMORY, INPUT, CLASSES, any_output=True)
    prices = SearchSpace(shape, ONE_BIT).prices
    return prices.fixed_file_bytes + sum(int(row.min()) for row in prices.file_bytes) <= budget


def floating(root: str, kept: Path, width: float, seed: int) -> dict:
    """Train and keep the float network; only the one that is in the table is tested."""
    torch.manual_seed(seed)
    network = detector(width)
    train(network, scenes("training", root), EPOCHS, seed, RATE)
    torch.save(network.state_dict(), kept)
    found = {"validation": score(network, scenes("validation", root))}
    if width == 1:
        shape = trace(network, IN_MEMORY, INPUT, CLASSES, any_output=True)
        found |= {"test": score(network, scenes("test", root)), "bytes": shape.float_bytes}
    return found


def compressed(root: str, start: Path, file: Path, width: float, chosen: dict, seed: int) -> dict:
    """The child of the float network; figures are those of its file."""
    network = detector(width)
    network.load_state_dict(torch.load(start, weights_only=True))
    child = Child(network, Plan.from_dict(chosen), seed=seed)
    train(child, scenes("training", root), EPOCHS, seed, RATE)
    read_back = load(save(child, file), network=detector(width))
    cost = price(child.shape, child.plan)
    if file.stat().st_size != cost.file_bytes:
        raise BankwiseError(f"{file} has {file.stat().st_size:,} bytes, its plan {cost.file_bytes:,}")
    found = {split: score(read_back, scenes(split, root)) for split in ("validation", "test")}
    return found | {"bytes": cost.file_bytes, "paper_bits": cost.paper_bits}


def run(root: str, cache: Path) -> list[dict]:
    cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for kib, methods in BUDGETS.items():
        plans = {method: planned(method, kib) for method in methods}
        widths = dict.fromkeys([1.0, *(width for width, _ in plans.values())])
        jobs = [
            (weights(cache, width, seed).stem, (root, weights(cache, width, seed), width, seed))
            for width in widths
            for seed in SEEDS
        ]
        floats = run_jobs(floating, jobs, cache)
        jobs = []
        for method, (width, chosen) in plans.items():
            for seed in SEEDS:
                file, start = model(cache, method, kib, seed), weights(cache, width, seed)
                jobs.append((file.stem, (root, start, file, width, chosen.to_dict(), seed)))
        children = run_jobs(compressed, jobs, cache)
        if not rows:
            whole = [floats[weights(cache, 1.0, seed).stem] for seed in SEEDS]
            rows.append({"method": FLOAT, "width": 1.0, "seeds": whole})
        for method, (width, chosen) in plans.items():
            found = [children[model(cache, method, kib, seed).stem] for seed in SEEDS]
            row = {"method": method, "budget": kib * 1024, "width": width, "seeds": found}
            rows.append(row | {"plan": chosen.to_dict()})
    return rows


def weights(cache: Path, width: float, seed: int) -> Path:
    """Of the float network from which children start."""
    return cache / f"float-{width:g}-seed{seed}.pt"


def model(cache: Path, method: str, kib: int, seed: int) -> Path:
    return cache / f"{SHORT[method]}-{kib}KiB-seed{seed}.bankwise"


def table(rows: list[dict]) -> str:
    heads = ("budget", "method", "width", "file bytes", "paper bits", "validation mAP", "test mAP", "test mAP at 0.5")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        budget = f"{row['budget'] // 1024} KiB" if "budget" in row else ""
        bits = f"{row['seeds'][0]['paper_bits']:,}" if "budget" in row else ""
        cells = [budget, row["method"], f"{row['width']:g}", f"{row['seeds'][0]['bytes']:,}", bits]
        for split, name in (("validation", "map"), ("test", "map"), ("test", "map_50")):
            values = [100 * seed[split][name] for seed in row["seeds"]]
            cells.append(f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(root: str, cache: Path, rows: list[dict]) -> Figure:
    """The first scenes of the test, and what the networks of the first seed find there with a score of SURE."""
    network = detector()
    network.load_state_dict(torch.load(weights(cache, 1.0, SEEDS[0]), weights_only=True))
    networks = {"float32": network.eval()}
    for row in rows:
        kib = row.get("budget", 0) // 1024
        if kib == min(BUDGETS):
            file = model(cache, row["method"], kib, SEEDS[0])
            networks[f"{SHORT[row['method']]}, {kib} KiB"] = load(file, network=detector(row["width"]))
    shown = scenes("test", root)
    images, targets = shown.inputs(torch.arange(SHOWN))
    found = {"truth": targets}
    with torch.no_grad():
        found |= {name: network(images) for name, network in networks.items()}
    figure = Figure(figsize=(1.5 * SHOWN, 1.5 * len(found)), layout="constrained")
    for line, (name, detections) in zip(figure.subplots(len(found), SHOWN), found.items(), strict=True):
        line[0].set_ylabel(name, fontsize=8)
        for axes, image, boxes in zip(line, images, detections, strict=True):
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            scores = boxes.get("scores", torch.ones(len(boxes["boxes"])))
            sure = (boxes[key][scores >= SURE].tolist() for key in ("boxes", "labels"))
            for (x1, y1, x2, y2), label in zip(*sure, strict=True):
                axes.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, ec="tab:orange", lw=1.2))
                axes.text(x1, y1 - 1, label - 1, color="tab:cyan", fontsize=7, weight="bold", clip_on=True)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--cache", default="runs/detection")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache, folder = Path(options.cache), Path(__file__).resolve().parent
    rows = run(options.data_root, cache)
    (folder / "table.md").write_text(table(rows))
    (folder / "results.json").write_text(json.dumps(rows, indent=1))
    draw(options.data_root, cache, rows).savefig(folder / "boxes.png", dpi=130)
    for row in rows:
        if row["method"] == PLANNED:
            Plan.from_dict(row["plan"]).save(folder / f"plan-{row['budget'] // 1024}KiB.yaml")
    print(table(rows))


if __name__ == "__main__":
    main()
