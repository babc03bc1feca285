"""The page of one run: what it reached, at the top, and how it was made, at the end."""

from __future__ import annotations

from pathlib import Path

from bankwise.report import sections, words
from bankwise.report.closed_form import closed_form
from bankwise.report.elements import (
    FILE,
    PAPER,
    beside,
    cards,
    code,
    heading,
    listing,
    page,
    paragraph,
    preformatted,
    section,
    table,
)
from bankwise.report.gather import Measured, Run
from bankwise.report.repeat import command


def run_page(run: Run, folder: Path) -> str:
    """The HTML; its figures are also written to `folder`."""
    form = closed_form(run)
    blocks = [_headline(run)]
    if form is not None:
        blocks.append(sections.staircase(run, form, folder))
    blocks += [sections.bytes_by_part(run, folder), sections.choices(run, folder)]
    if run.widths:
        blocks.append(sections.widths(run))
    if run.trials:
        blocks.append(sections.history(run, folder))
    if form is not None:
        blocks.append(sections.next_kib(run, form, folder))
    return page(run.title, *blocks, sections.computation(run), _made(run))


def _headline(run: Run) -> str:
    return "\n".join([heading(run.title), _sizes(run), _cards(run), _accuracies(run)])


def _sizes(run: Run) -> str:
    budget = []
    if run.budget_bytes is not None:
        budget = [f"Budget “{run.budget}” = {run.budget_bytes:,} bytes (", code(run.accounting), "). "]
    relation = "=" if run.planned_bytes == run.searched.bytes else "≠"
    return paragraph(
        *budget,
        f"Planned {run.planned_bytes:,} bytes {relation} written {run.searched.bytes:,} bytes (",
        FILE,
        f"); {run.searched.paper_bits:,} bits (",
        PAPER,
        f"). {run.shape.weights:,} weights in {words.count(len(run.shape.layers), 'layer')}.",
        kind="lead",
    )


def _cards(run: Run) -> str:
    budget = ""
    if run.budget_bytes is not None:
        taken = run.searched.bytes if run.accounting == "file" else -(-run.searched.paper_bits // 8)
        counted = "" if run.accounting == "file" else f", {taken:,} in paper accounting"
        budget = f"{counted}; {run.budget_bytes - taken:,} of the budget's {run.budget_bytes:,} left"
    items = [
        (f"{run.searched.bytes:,} bytes", f"the exported file{budget}"),
        (words.times_smaller(run, run.searched), "smaller than the uncompressed float32 network"),
        (f"{100 * run.searched.test.mean:.1f} %", "test accuracy of the exported file, read back from disk"),
    ]
    if run.uniform is not None:
        ahead = 100 * (run.searched.validation.mean - run.uniform.validation.mean)
        spread = 100 * max(run.searched.validation.spread, run.uniform.validation.spread)
        than = f"; the larger spread is {spread:.1f}" if run.seeds > 1 else ""
        items.append((f"{ahead:+.1f} points", f"validation accuracy over the best uniform plan{than}"))
    return cards(items)


def _accuracies(run: Run) -> str:
    rows: list[tuple[str, Measured]] = [(words.plan_name(run), run.searched)]
    if run.uniform is not None:
        rows.append(("Best uniform plan", run.uniform))
    rows.append(("Uncompressed (float32)", run.uncompressed))
    shown = table(
        ["network:", "bytes (file)", "validation accuracy", "test accuracy", "times smaller", "bits (paper)"],
        [
            [
                name,
                f"{measured.bytes:,}",
                words.percent(measured.validation),
                words.percent(measured.test),
                words.times_smaller(run, measured),
                "–" if measured.paper_bits is None else f"{measured.paper_bits:,}",
            ]
            for name, measured in rows
        ],
        strong=0,
    )
    note = paragraph(
        f"Accuracy: {words.measured_over(run.seeds)}. Plans are chosen on the validation split; the test set is read "
        "once, at the end, and compressed networks are measured there as files read back from disk. ",
        FILE,
        " counts every byte of the exported file, ",
        PAPER,
        " only the bits of banks, indices and binary weights "
        f"({run.paper_bits_per_weight:.4f} bits per weight of the layers that hold them).",
        kind="note",
    )
    return shown + note


def _made(run: Run) -> str:
    settings = run.settings
    groups = {"run": {key: settings[key] for key in settings if key not in ("recipe", "space", "plan")}}
    groups |= {key: settings[key] for key in ("recipe", "space") if key in settings}
    groups["run"] = groups["run"] | {"time since the last start": words.duration(run.seconds)}
    listings = [
        listing(title, [(key.replace("_", " "), words.setting(value)) for key, value in values.items()])
        for title, values in groups.items()
    ]
    repeat = command(run)
    again = []
    if repeat is not None:
        images = f"{settings['training_images']:,}"
        unknown = f"Not recorded: --data-root, --limit, --validation. Images trained on: {images}."
        again = [
            paragraph("The command that repeats it:"),
            preformatted(words.shell_lines(repeat)),
            paragraph(unknown, kind="note"),
        ]
    return section("How it was made", *again, beside(*listings))
