"""The tables of `bankwise plan`."""

from __future__ import annotations

from rich.console import Console

from bankwise.cli.output import table
from search_space.shape import NetworkShape


def print_offer(told: dict, shape: NetworkShape, screen: Console) -> None:
    """Everything that `bankwise.offer` found, as text."""

    def say(line: str) -> None:
        screen.print(line, highlight=False, markup=False, soft_wrap=True)

    size = "x".join(map(str, shape.input_shape))
    say(
        f"network {shape.network}, image {size}, {shape.classes} classes: {len(shape.layers)} layers, "
        f"{shape.weights:,} weights, uncompressed {shape.float_bytes:,} bytes (float32)"
    )
    if told["range"] is not None:
        smallest, largest = (told["range"][end]["budget_bytes"] for end in ("smallest", "largest"))
        say(f"reachable: {smallest:,} to {largest:,} bytes ({told['range']['accounting']} accounting)")
    if told["budget_bytes"] is not None:
        say(f"budget {told['budget']} = {told['budget_bytes']:,} bytes ({told['accounting']} accounting)")
    if told["file_bytes"] is not None:
        _print_plan(told, screen, say)
    else:
        _print_layers(shape, screen)
    if told["staircase"] is not None:
        _print_staircase(told, screen)
    for layer, rows in told.get("choices", {}).items():
        _print_choices(layer, rows, screen)


def _print_plan(told: dict, screen: Console, say) -> None:
    more = told["one_more"] or {"layers": {}}
    made = table(
        "plan", "layer:", "weights", "choice:", "rate", "one more KiB", "file bytes", "paper bits", "bytes by part:"
    )
    for layer in told["layers"]:
        parts = ", ".join(f"{name} {size:,}" for name, size in layer["parts"].items())
        made.add_row(
            layer["name"], "x".join(map(str, layer["weight_shape"])), layer["text"], f"{layer['rate']:.4f}",
            f"{100 * more['layers'][layer['name']]:+.1f} %" if layer["name"] in more["layers"] else "-",
            f"{layer['file_bytes']:,}", f"{layer['paper_bits']:,}", parts,
        )  # fmt: skip
    for name, size in told["fixed"].items():
        made.add_row(name, "", "", "", "", f"{size:,}", "", "")
    made.add_row(
        "total",
        f"{told['weights']:,}",
        "",
        "",
        "",
        f"{told['file_bytes']:,}",
        f"{told['paper_bits']:,}",
        "",
        style="bold",
    )
    screen.print(made)
    say(
        f"file accounting: {told['file_bytes']:,} bytes, {told['file_bits_per_weight']:.4f} bits a weight, "
        f"{told['times_smaller']:.1f}x smaller than float32\n"
        f"paper accounting: {told['paper_bits']:,} bits, {told['paper_bits_per_weight']:.4f} bits a compressed weight"
    )
    runs = table("one image", "run:", "multiplications", "additions", "peak activation bytes (float32)")
    for run, name in (("materialized", "materialized"), ("merge", "split-transform-merge")):
        runs.add_row(name, *(f"{told['runs'][run][key]:,}" for key in ("multiplications", "additions", "peak_bytes")))
    screen.print(runs)
    if "rate" in told:
        say(f"mean rate: {told['rate']:.4f} bits a weight (geometric mean over layers; what the closed form maximizes)")
        uniform = told["baseline_uniform"]
        say(
            f"best uniform plan: mean rate {uniform['rate']:.4f}, {uniform['bytes']:,} bytes (file)"
            if uniform is not None
            else "best uniform plan: none fits the budget"
        )
        changed = ", ".join(f"{name}: {old} -> {new}" for name, (old, new) in list(more["changes"].items())[:6])
        rest = len(more["changes"]) - 6
        say(
            f"one more KiB: mean rate {100 * more['gain']:+.2f} %"
            + (f" ({changed}{f', and {rest} more' if rest > 0 else ''})" if changed else "")
        )
    if told["plan"] is not None:
        say(f"plan {told['plan']}")


def _print_layers(shape: NetworkShape, screen: Console) -> None:
    made = table("layers", "layer:", "kind:", "weights", "count", "output", "batch norm follows:")
    for layer in shape.layers:
        made.add_row(
            layer.name, layer.kind, "x".join(map(str, layer.weight_shape)), f"{layer.weights:,}",
            "x".join(map(str, layer.out_size)), "yes" if layer.normalized else "no",
        )  # fmt: skip
    screen.print(made)


def _print_staircase(told: dict, screen: Console) -> None:
    made = table("staircase: the best plan of each budget", "budget bytes", "file bytes", "paper bits", "mean rate")
    for step in told["staircase"]:
        made.add_row(
            f"{step['budget_bytes']:,}", f"{step['file_bytes']:,}", f"{step['paper_bits']:,}", f"{step['rate']:.4f}"
        )
    screen.print(made)


def _print_choices(layer: str, rows: list[dict], screen: Console) -> None:
    made = table(
        f"choices of {layer}",
        "choice:",
        "rate",
        "file bytes",
        "paper bits",
        "additions (merge)",
        "multiplications (merge)",
    )
    for row in rows:
        made.add_row(
            row["text"], f"{row['rate']:.4f}", f"{row['file_bytes']:,}", f"{row['paper_bits']:,}",
            f"{row['merge']['additions']:,}", f"{row['merge']['multiplications']:,}",
        )  # fmt: skip
    screen.print(made)
