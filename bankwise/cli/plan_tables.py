"""The tables of `bankwise plan`: in 80 columns, with the short codes of choices, or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from rich.console import Console
from rich.text import Text

from bankwise.cli.names import ROOM, folded
from bankwise.cli.output import print_table, say, table
from bankwise.plan_report import PlanReport, ShadowPrices, Staircase
from bankwise.printable import printable
from bankwise.search_space.families import Choice
from bankwise.search_space.price import LayerPrice, Price
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.search_space.targets.c.chips import Fit

CODE = 9  # characters of a choice, for which names of layers leave room; longer ones take of theirs
CHANGES = 6  # layers named where the choices change


def print_report(
    report: PlanReport,
    path: str | None,
    choices: Mapping[str, Sequence[LayerPrice]],
    screen: Console,
    wide: bool = False,
) -> None:
    """The report as text. `path` is the file that the plan is in, `choices` are further layers' rows of choices. With
    `wide` names and choices are written out, and the bytes of every part, whatever the width of the screen."""
    shape = report.shape
    say(
        screen,
        f"network {shape.network}, image {_times(shape.input_shape)}, {shape.classes} classes",
        f"{len(shape.layers)} layers, {shape.weights:,} weights, uncompressed {shape.float_bytes:,} bytes (float32)",
    )
    if report.smallest is not None and report.largest is not None:
        smallest, largest = report.smallest.budget_bytes, report.largest.budget_bytes
        say(screen, f"reachable: {smallest:,} to {largest:,} bytes ({report.accounting} accounting)")
    if report.budget is not None:
        size, accounting = report.budget.bytes, report.budget.accounting
        say(screen, f"budget {report.budget_text} = {size:,} bytes ({accounting} accounting)")
    if report.price is not None:
        _print_plan(report.price, report.shadow_prices, screen, wide)
        _print_totals(report.price, screen)
        if report.capture is not None:
            _print_capture(report, report.capture, screen)
        if report.unspent is not None:
            say(screen, report.unspent)
        if report.fit is not None:
            _print_fit(report.price, report.fit, screen)
        if path is not None:
            say(screen, f"plan {path}")
    else:
        _print_layers(shape, screen, wide)
    if report.staircase is not None:
        _print_staircase(report.staircase, screen)
    for layer, rows in choices.items():
        _print_choices(layer, rows, screen, wide)


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _print_plan(cost: Price, shadow: ShadowPrices | None, screen: Console, wide: bool) -> None:
    gains = {} if shadow is None else shadow.layers
    further = ("rate", "bytes by part:") if wide else ()
    made = table("plan", "layer:", "weights", "choice:", "bytes", "paper bits", "1 KiB more", *further)
    code = max(len(layer.choice.code()) for layer in cost.layers)
    for name, layer in zip(_named(cost.layers, wide, max(0, code - CODE)), cost.layers, strict=True):
        parts = ", ".join(f"{name} {size:,}" for name, size in layer.to_dict()["parts"].items())
        made.add_row(
            name, _times(layer.weight_shape), _shown(layer.choice, wide), f"{layer.file_bytes:,}",
            f"{layer.paper_bits:,}", f"{100 * gains[layer.name]:+.1f} %" if layer.name in gains else "-",
            *((f"{layer.rate:.4f}", parts) if wide else ()),
        )  # fmt: skip
    for name, size in cost.fixed.items():
        made.add_row(name, "", "", f"{size:,}", "", "", *("" for _ in further))
    total = [f"{cost.weights:,}", "", f"{cost.file_bytes:,}", f"{cost.paper_bits:,}", "", *("" for _ in further)]
    made.add_row("total", *total, style="bold")
    print_table(made, screen, wide)
    if not wide:
        _print_codes([layer.choice for layer in cost.layers], screen)


def _named(layers: Sequence[LayerPrice] | Sequence[LayerShape], wide: bool, less: int = 0) -> list[Text]:
    """Folded to what is left in 80 columns, `less` than usual, but where the table may be wide."""
    names = [printable(layer.name) for layer in layers]
    return [Text(name) for name in (names if wide else folded(names, ROOM - less))]


def _shown(choice: Choice, wide: bool) -> str:
    return str(choice) if wide else choice.code()


def _print_codes(choices: Sequence[Choice], screen: Console) -> None:
    """What the short codes mean, by an example of each family."""
    for choice in {choice.family: choice for choice in reversed(choices)}.values():
        say(screen, f"{choice.code()} is {choice}")


def _print_totals(cost: Price, screen: Console) -> None:
    say(
        screen,
        f"file accounting: {cost.file_bytes:,} bytes, {cost.file_bits_per_weight:.4f} bits a weight, "
        f"{cost.ratio:.1f}x below float32",
        f"device accounting: {cost.device_bytes:,} bytes",
        f"paper accounting: {cost.paper_bits:,} bits, {cost.paper_bits_per_weight:.4f} bits a compressed weight",
    )
    runs = table("one image, activations in float32", "run:", "multiplications", "additions", "peak bytes")
    for run, name in (("materialized", "materialized"), ("merge", "split-transform-merge")):
        totals = cost.totals(run)
        runs.add_row(name, f"{totals.multiplications:,}", f"{totals.additions:,}", f"{totals.peak_bytes:,}")
    screen.print(runs)


def _print_fit(cost: Price, fit: Fit, screen: Console) -> None:
    chip = fit.chip
    say(
        screen,
        f"chip {chip.name} ({chip.core}, {chip.source}): fits",
        f"  flash: constant data {cost.device_bytes:,} of {chip.constants:,} bytes, beside "
        f"{chip.flash - chip.constants:,} for code",
        f"  RAM: {fit.ram:,} of {chip.ram:,} bytes: {fit.parts}",
    )


def _print_capture(report: PlanReport, capture: float, screen: Console) -> None:
    uniform = report.uniform
    say(
        screen,
        f"mean capture: {capture:.4f} of the weights (geometric mean over layers)",
        f"best uniform plan: mean capture {uniform.capture:.4f}, {uniform.file_bytes:,} bytes (file)"
        if uniform is not None
        else "best uniform plan: none fits the budget",
    )
    if report.expected is not None:
        chance, *points = report.expected.lines
        say(screen, f"expected over the best uniform plan: {chance}", *(f"  {line}" for line in points))
    if report.shadow_prices is not None:
        more = report.shadow_prices
        changed = [_change(name, old, new) for name, (old, new) in more.changes.items()]
        rest = len(changed) - CHANGES
        named = [*chain(*changed[:CHANGES])] + ([f"  and {rest} more"] if rest > 0 else [])
        say(screen, f"1 KiB more: mean capture {100 * more.gain:+.2f} %" + (" by" if named else ""), *named)


def _change(layer: str, old: str, new: str) -> list[str]:
    """On one line of 80 columns, else on three."""
    line = f"  {layer}: {old} -> {new}"
    return [line] if len(line) <= 80 else [f"  {layer}:", f"    {old}", f"    -> {new}"]


def _print_layers(shape: NetworkShape, screen: Console, wide: bool) -> None:
    made = table("layers", "layer:", "kind:", "weights", "count", "output", "batch norm:")
    for name, layer in zip(_named(shape.layers, wide), shape.layers, strict=True):
        made.add_row(
            name, layer.kind, _times(layer.weight_shape), f"{layer.weights:,}", _times(layer.out_size),
            "yes" if layer.normalized else "no",
        )  # fmt: skip
    print_table(made, screen, wide)


def _print_staircase(staircase: Staircase, screen: Console) -> None:
    made = table("staircase: the best plan of each budget", "budget bytes", "file bytes", "paper bits", "mean capture")
    for step in staircase.to_dict():
        made.add_row(
            f"{step['budget_bytes']:,}", f"{step['file_bytes']:,}", f"{step['paper_bits']:,}", f"{step['capture']:.4f}"
        )
    screen.print(made)


def _print_choices(layer: str, rows: Sequence[LayerPrice], screen: Console, wide: bool) -> None:
    merge = ("additions (merge)", "multiplications (merge)") if wide else ("additions", "multiplications")
    made = table(f"choices of {layer}", "choice:", "rate", "bytes", "paper bits", *merge)
    for row in rows:
        made.add_row(
            _shown(row.choice, wide), f"{row.rate:.4f}", f"{row.file_bytes:,}", f"{row.paper_bits:,}",
            f"{row.merge.additions:,}", f"{row.merge.multiplications:,}",
        )  # fmt: skip
    print_table(made, screen, wide)
    if not wide:
        say(screen, "additions and multiplications by split-transform-merge")
        _print_codes([row.choice for row in rows], screen)


def csv_rows(report: PlanReport, choices: Sequence[LayerPrice] | None) -> list[dict[str, object]]:
    """The choices of a layer where they are asked for, else the plan's layers and fixed bytes, else the staircase."""
    if choices is not None:
        return [_csv_row(one) for one in choices]
    if report.price is None:
        return report.staircase.to_dict() if report.staircase is not None else []
    gains = {} if report.shadow_prices is None else report.shadow_prices.layers
    layers = [_csv_row(one) | {"gain_of_1KiB": gains.get(one.name, "")} for one in report.price.layers]
    return layers + [{"layer": name, "file_bytes": size} for name, size in report.price.fixed.items()]


def _csv_row(one: LayerPrice) -> dict[str, object]:
    parts = one.to_dict()["parts"]
    return {
        "layer": one.name, "weights": _times(one.weight_shape), "choice": one.choice.code(), "text": str(one.choice),
        "rate": one.rate, "file_bytes": one.file_bytes, "paper_bits": one.paper_bits,
        "additions": one.merge.additions, "multiplications": one.merge.multiplications,
        "parts": " ".join(f"{name}={size}" for name, size in parts.items()),
    }  # fmt: skip
