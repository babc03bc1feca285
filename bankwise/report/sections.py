"""The sections of a run's page: a figure each, what it shows, how it was measured, and the numbers behind it."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from bankwise.report import plots, words
from bankwise.report.closed_form import KIB, ClosedForm
from bankwise.report.elements import FILE, PAPER, details, paragraph, picture, section, table
from bankwise.report.gather import Run
from bankwise.report.parts import part_names, totals
from search_space.basis import Choice
from search_space.price import LayerPrice, Price, Totals

UNIFORM = (
    "A uniform plan has one setting for all layers, cut to what each can take; its bits differ because a bank weighs "
    "more in a small layer."
)


def _plans(run: Run) -> list[tuple[str, Price]]:
    """The plans set side by side."""
    other = [] if run.uniform_price is None else [("Best uniform plan", run.uniform_price)]
    return [(words.plan_name(run), run.price), *other]


def staircase(run: Run, form: ClosedForm, folder: Path) -> str:
    reached = f"The searched plan reaches {words.share(form.searched.rate / form.optimum.rate)} of the best mean rate"
    if form.uniform is not None:
        reached += f", the best uniform plan {words.share(form.uniform.rate / form.optimum.rate)}"
    figure = picture(
        "staircase",
        "The staircase",
        plots.staircase(form, run.budget_bytes),
        folder,
        "The largest geometric mean of the layers' rates (index bits per weight; a binary weight has one) for every "
        "number of bytes (",
        FILE if form.accounting == "file" else PAPER,
        "), found by the exact solver: a closed form that needs no data and no training. ",
        f"{reached}. A plan may lie below the curve and still be the more accurate one: the search looks at data, the "
        "curve does not. Logarithmic axes, but for the bytes of the lower plot.",
        "" if run.settings["max_ops"] is None else " The limit on operations is left out of the curve.",
    )
    return section("The staircase: what bytes can buy", figure)


def bytes_by_part(run: Run, folder: Path) -> str:
    parts = part_names([price for _, price in _plans(run)])
    plans = [(f"{name.lower()}, bytes", totals(price), price.file_bytes) for name, price in _plans(run)]
    rows = [[part, *_shares([(found.get(part, 0), size) for _, found, size in plans])] for part in parts]
    rows.append(["all", *_shares([(size, size) for _, _, size in plans])])
    figure = picture(
        "bytes",
        "Bytes by layer and part",
        plots.bytes_by_part(run),
        folder,
        "Every byte of the exported file (",
        FILE,
        "): the parts of each layer with its choice's code in the header, and below them what no choice changes. These "
        "are exact prices; they add up to the size of the file.",
    )
    columns = ["part:", *(column for name, _, _ in plans for column in (name, "share"))]
    return section("Where the bytes go", figure, table(columns, rows, total=1))


def _shares(pairs: list[tuple[int, int]]) -> list[str]:
    return [cell for part, whole in pairs for cell in (f"{part:,}", words.share(part / whole, 1))]


def choices(run: Run, folder: Path) -> str:
    plans = _plans(run)
    of_layers = zip_longest(*(price.layers for _, price in plans))
    rows = [
        [layer.name, words.filters(layer), f"{layer.weights:,}", *(cell for price in prices for cell in _choice(price))]
        for layer, prices in zip(run.shape.layers, of_layers, strict=True)
    ]
    columns = ["layer:", "filters:", "weights", *["choice:", "bytes", "bits/weight"] * len(plans)]
    figure = picture(
        "choices",
        "Bits per weight of each layer",
        plots.bits_per_weight(run),
        folder,
        "Bytes of a layer in the file (",
        FILE,
        ": bank, indices or weights, scales, bias, its code in the header) over its weights; logarithmic. ",
        "" if run.uniform is None else UNIFORM,
    )
    note = paragraph("k: bank size, s: sub-channel dimension, then the kernel split.", kind="note")
    groups = [("", 3), *((name, 3) for name, _ in plans)]
    return section("The choice of each layer", figure, table(columns, rows, groups), note)


def _choice(layer: LayerPrice) -> list[str]:
    return [words.choice(layer.choice), f"{layer.file_bytes:,}", f"{8 * layer.file_bytes / layer.weights:.3f}"]


def widths(run: Run) -> str:
    epochs = words.count(run.settings["width_epochs"] or run.settings["trial_epochs"], "epoch")
    rows = [[name, f"{100 * accuracy:.2f} %"] for name, accuracy in run.widths.items()]
    note = paragraph(
        "Channels of all stages alike first, then stage by stage from the best, in the order of the trials. Each "
        f"network was trained for {epochs} uncompressed, then for {epochs} as its closed-form plan at this budget.",
        kind="note",
    )
    shown = table(["network:", "validation accuracy"], rows, strong=list(run.widths).index(run.network))
    return section("The widths that were tried", shown, note)


def history(run: Run, folder: Path) -> str:
    settings = run.settings
    sizes = [trial.file_bytes for trial in (*run.trials, *run.uniform_trials)]
    caption = (
        f"Validation accuracy of the packed network after {words.count(settings['trial_epochs'], 'epoch')}, one seed a "
        f"trial: {len(run.trials)} searched and {len(run.uniform_trials)} uniform plans of {min(sizes):,} to "
        f"{max(sizes):,} bytes. "
    )
    if any(trial.full is not None for trial in (*run.trials, *run.uniform_trials)):
        caption += (
            f"Hollow marks: the finalists after {words.count(settings['recipe']['epochs'], 'epoch')}, mean over "
            f"{words.count(settings['finalist_seeds'], 'seed')}; the best of all is the run's plan, trained again "
            f"for the results above, over {words.count(run.seeds, 'seed')} of its own. "
        )
    if run.uniform_trials:
        caption += "The uniform plans come in the order of their closed-form score, best first."
    return section(
        "The search", picture("history", "Accuracy of the trials, in order", plots.history(run), folder, caption)
    )


def next_kib(run: Run, form: ClosedForm, folder: Path) -> str:
    title = "What one more KiB would buy"
    if form.gain <= 0:
        return section(
            title, paragraph("Nothing that the closed form sees: the budget holds the best plan of the space.")
        )
    rows = [
        [
            layer.name,
            words.choice(layer.now),
            _change(layer.now, layer.alone),
            words.gain(layer.gain),
            _change(layer.now, layer.shared),
        ]
        for layer in form.layers
        if (layer.alone, layer.shared) != (layer.now, layer.now)
    ]
    columns = ["layer:", "at this budget:", "with the KiB to itself:", "mean rate", "with the KiB for all:"]
    figure = picture(
        "next-kib",
        "The shadow price of a KiB",
        plots.next_kib(form),
        folder,
        "How much the geometric mean rate of the best plan (closed form, exact solver) grows from "
        f"{run.budget_bytes:,} to {run.budget_bytes + KIB:,} bytes: {words.gain(form.gain)} where all layers change; "
        "the other bars are for one layer alone, the others staying as they are; a layer without a bar gains nothing. "
        "No network was trained for this figure: the rate stands for accuracy, it is not one.",
    )
    return section(title, figure, details("Layers whose choice changes", table(columns, rows)))


def _change(before: Choice, after: Choice) -> str:
    return "the same" if before == after else words.choice(after)


def computation(run: Run) -> str:
    rows = [[f"{name}, split-transform-merge", *_work(price.totals("merge"))] for name, price in _plans(run)]
    rows.append(["Any plan, materialized", *_work(run.price.totals("materialized"))])
    layers = [
        [
            layer.name,
            words.choice(layer.choice),
            f"{layer.merge.multiplications:,}",
            f"{layer.merge.additions:,}",
            f"{layer.merge_peak_bytes:,}",
            f"{layer.materialized.multiplications:,}",
            f"{layer.materialized.additions:,}",
            f"{layer.live_bytes:,}",
        ]
        for layer in run.price.layers
    ]
    work = ["multiplications", "additions", "activation bytes"]
    groups = [("", 2), ("split-transform-merge", 3), ("materialized", 3)]
    return section(
        "Computation, for one image",
        table(["way of running:", "multiplications", "additions", "peak activation bytes"], rows),
        paragraph(
            "Convolutions and linear layers, counted from their shapes. Materialized: the weight is built and the "
            "layer runs as an ordinary convolution, so every plan does the work of the uncompressed network. "
            "Split-transform-merge: each channel group is convolved with the bank and the selected maps are added; "
            "layers of one-bit weights need no multiplication. Activation bytes: all float32 maps alive at once.",
            kind="note",
        ),
        details(f"{words.plan_name(run)}, layer by layer", table(["layer:", "choice:", *work * 2], layers, groups)),
    )


def _work(totals: Totals) -> list[str]:
    return [f"{value:,}" for value in (totals.multiplications, totals.additions, totals.peak_bytes)]
