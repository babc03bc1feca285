"""Networks by name, as `bankwise plan` takes them."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from random import Random

from bankwise.command_line import main
from bankwise.search_space.errors import BankwiseError
from fuzz.kinds.kind import Kind

NAMES = (
    "tiny",
    "small",
    "vgg_small",
    "resnet20",
    "segnet",
    "torchvision:resnet18",
    "torchvision:mobilenet_v2",
    "torchvision:vit_b_16",
)
ODD = (
    "builtins:dict", "builtins:int", "math:pi", "json:loads", "collections:OrderedDict", "torch.nn:Linear",
    "torch.nn:Identity", "torch.nn:Module", "torch.nn:", "torch:nn", "no_module:make", ":", "a:b:c", "torchvision:",
    "torchvision:nothing", "in-memory", "", " ", "-1", "tiny@", "tiny@0", "tiny@-1", "tiny@nan", "tiny@inf",
    "tiny@1e18", "tiny@1e300", "tiny@100000", "tiny@1e-9", "tiny@1,2", "tiny@1,1,1,1", "vgg16@40", "resnet18@30",
    "torchvision:vit_h_14", "torchvision:regnet_y_128gf", "\x1b[31m", "[/b]",
)  # fmt: skip
INPUTS = (
    "1x8x8",
    "3x32x32",
    "3x224x224",
    "1x1x1",
    "0x8x8",
    "3x20000x20000",
    "20000000x8x8",
    "1x999999999x9",
    "x",
    "8",
    "1" * 400,
)
CLASSES = ("10", "1", "2", "10000000", "100000000000", "9" * 30)
BUDGETS = (
    "4KiB",
    "1",
    "0",
    "1e9",
    "100x",
    "0.1bpw",
    "1e400bpw",
    "nan",
    "inf",
    "-1",
    "9" * 40,
    "",
    "x",
    "1e-30bpw",
    "0x",
)


class Networks(Kind):
    name = "networks"
    seconds = 60.0
    megabytes = 2048  # nothing is read from a file, and published networks are large

    def write(self, place: Path, rng: Random) -> None:
        network = rng.choice(NAMES if rng.randrange(2) else ODD)
        if rng.randrange(4) == 0:
            at = rng.randrange(len(network) + 1)
            network = network[:at] + rng.choice("@:.,0x9- ") + network[at:]
        words = ["plan", "--network", network]
        for option, values in (("--input", INPUTS), ("--classes", CLASSES), ("--budget", BUDGETS)):
            if rng.randrange(3):
                words += [option, rng.choice(values[:3] if rng.randrange(2) else values)]
        (self.fresh(place) / "command").write_text("\n".join(words), encoding="utf-8")

    def read(self, place: Path) -> None:
        words = (place / "command").read_text(encoding="utf-8").split("\n")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        if code:
            if err.getvalue().count("\n") != 1 or code not in (2, 3):
                raise RuntimeError(f"exit code {code}: {err.getvalue()!r}")
            raise BankwiseError(err.getvalue().strip())
        assert sys.stdout is not out
