"""Bytes of ONNX models beside the packed file of the same plan: `python benchmarks/onnx_size.py`.

The plans are the closed form's; weights are untrained, which no size depends on, and batch norms estimated on random
images. `weights` are the bytes that hold the
plan's parts, `graph` everything else; `error` is the largest difference from torch's logits, in units of the largest
logit, on random images.
"""

from __future__ import annotations

import onnx
import onnxruntime
import torch

from bankwise import solve
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import build
from bankwise.search_space.packing import assemble, blank, pack
from bankwise.search_space.targets import make_target
from bankwise.search_space.targets.onnx.checking import open_session, run
from bankwise.search_space.trace import trace

PLANS = (
    ("tiny", (1, 8, 8), 10, "900B"),
    ("small", (1, 28, 28), 10, "2KiB"),
    ("small", (1, 28, 28), 10, "8KiB"),
    ("resnet20", (3, 32, 32), 10, "8KiB"),
    ("resnet20", (3, 32, 32), 10, "32KiB"),
    ("vgg_small", (3, 32, 32), 10, "64KiB"),
    ("resnet18", (3, 32, 32), 100, "256KiB"),
    ("torchvision:mobilenet_v2", (3, 224, 224), 1000, "512KiB"),
)
HEAD = ("network", "budget", "file", "onnx", "weights", "graph", "onnx/file", "onnx_plain", "error")


def row(name: str, size: tuple[int, int, int], classes: int, budget: str) -> list[str]:
    module = build(name, classes=classes, in_channels=size[0])
    shape = trace(module, name, size, classes)
    plan = solve(shape, budget)
    child, images = build_child(module, shape, plan, 0), torch.rand(8, *size) * 2 - 1
    for norm in (one for one in child.modules() if isinstance(one, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        child.train()(images)
    codes = pack(child.eval(), shape, plan)
    written = {target: make_target(target).write(shape, plan, codes) for target in ("file", "onnx", "onnx_plain")}
    parts = make_target("onnx").size(shape, plan)
    assert sum(parts.values()) == len(written["onnx"])
    network = assemble(blank(plan), shape, plan, codes)
    found, wanted = run(open_session(written["onnx"]), images), network(images)
    lengths = {target: len(data) for target, data in written.items()}
    graph = parts["", "graph"]
    counts = (lengths["file"], lengths["onnx"], lengths["onnx"] - graph, graph)
    ratio, error = lengths["onnx"] / lengths["file"], float((found - wanted).abs().max() / wanted.abs().max())
    return [name, budget, *(f"{n:,}" for n in counts), f"{ratio:.2f}", f"{lengths['onnx_plain']:,}", f"{error:.0e}"]


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print(" | ".join(HEAD), "|".join("---" for _ in HEAD), sep="\n")
    for one in PLANS:
        print(" | ".join(row(*one)), flush=True)


if __name__ == "__main__":
    main()
