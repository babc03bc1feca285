"""The budget and the further limits."""

from __future__ import annotations

from typing import Annotated

from typer import Option

_LIMITS = "Budget and limits"

_BUDGET_HELP = "Hard budget: 4096, 96KiB, 0.1MB, 0.07bpw (bits a weight) or 100x (smaller than float32)."
Budget = Annotated[str, Option(help=_BUDGET_HELP, rich_help_panel=_LIMITS)]
Budgets = Annotated[
    str,
    Option(
        help=f"{_BUDGET_HELP} Several, as 2KiB,4KiB: a run each in OUT, of one teacher, and one report.",
        rich_help_panel=_LIMITS,
    ),
]
OptionalBudget = Annotated[
    str | None,
    Option(
        help=f"{_BUDGET_HELP} Without it: that of --chip, or the reachable range and the staircase.",
        rich_help_panel=_LIMITS,
    ),
]
_ACCOUNTING_HELP = (
    "What the budget counts: file (every byte of the exported file), device (the constant data of C sources; "
    "device-int8: with int8 activations) or paper (banks and indices alone)."
)
Accounting = Annotated[str, Option(help=_ACCOUNTING_HELP, rich_help_panel=_LIMITS)]
OptionalAccounting = Annotated[
    str | None,
    Option(help=f"{_ACCOUNTING_HELP} Default: file, with --chip device.", rich_help_panel=_LIMITS, show_default=False),
]
Chip = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="The plan fits into the flash and RAM of this microcontroller, beside code, stack, an image and its "
        "logits, or that is an error: [chips].",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
MaxRam = Annotated[
    str | None,
    Option(
        help="Hard limit on the peak activation bytes of the whole network (float32, one image; by "
        "split-transform-merge, which takes most), such as 64KiB. Of accounting device: the arena of the C sources.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
MaxOps = Annotated[
    str | None,
    Option(
        help="Hard limit on the additions and multiplications of an image by split-transform-merge, such as 5M. Of "
        "accounting device: by the C sources.",
        rich_help_panel=_LIMITS,
        show_default=False,
    ),
]
