"""`bankwise show`: what a file, a run or a plan tells of itself; `bankwise list`: the runs of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from bankwise.cli import options


def show(
    what: Annotated[Path, Argument(help="Exported file, folder of a run or a conversion, or plan (YAML or JSON).")],
    allow_code: options.AllowCode = False,
    as_json: options.Json = False,
) -> None:
    """Tell what a file, a run or a plan is for and made of."""
    from bankwise.cli.output import console, print_json, say, table
    from bankwise.showing import show as told

    found = told(what, allow_code)
    if as_json:
        print_json(found)
        return
    screen = console()
    say(screen, *_lines(found))
    parts = table("bytes by part", "part:", "bytes")
    for name, size in found["parts"].items():
        parts.add_row(name, f"{size:,}")
    parts.add_row("total", f"{found['file_bytes']:,}", style="bold")
    layers = table("plan", "layer:", "weights", "choice:", "bytes")
    for layer in found["layers"]:
        sizes = "x".join(map(str, layer["weight_shape"]))
        layers.add_row(layer["name"], sizes, layer["text"], f"{layer['file_bytes']:,}")
    for one in (parts, layers):
        screen.print(one)


def _lines(found: dict[str, Any]) -> list[str]:
    names = found["class_names"]
    digest = (
        "of unknown names" if found["class_digest"] is None else f"their names have the digest {found['class_digest']}"
    )
    lines = [
        f"{found['kind']} {found['path']}: {found['file_bytes']:,} bytes"
        + (f", format {found['format']}" if "format" in found else ""),
        f"network {found['network']}, images {'x'.join(map(str, found['input_shape']))}, "
        f"normalization {found['normalization'] or 'not recorded'}",
        f"{found['classes']} classes: {', '.join(names) if names else digest}",
        f"vectors of {found['vector_bits']} bits" + (f"; kept {', '.join(found['keep'])}" if found["keep"] else ""),
    ]
    made = found.get("made")
    if made:
        by = ", ".join(f"{name} {made[name]}" for name in ("bankwise", "torch", "python") if name in made)
        lines += [f"made by {by}", f"on {made.get('host')}, {made.get('date')}"]
    return lines


def list_runs(
    folder: Annotated[Path, Argument(help="Folder that holds runs, itself or up to three folders down.")] = Path(
        "runs"
    ),
    as_json: options.Json = False,
) -> None:
    """List the runs and conversions of a folder."""
    from bankwise.cli.output import console, print_json, say, table
    from bankwise.showing import list_runs as runs_of
    from bankwise.shown import value_of

    found = runs_of(folder)
    if as_json:
        print_json({"runs": found})
        return
    screen = console()
    if not found:
        say(screen, f"no runs in {folder}")
        return
    made = table(f"runs in {folder}", "run:", "state:", "network:", "data:", "bytes", "validation", "test")
    for run in found:
        size = run["file_bytes"]
        measured = [value_of(run[name], metric=run["metric"] or "accuracy") for name in ("accuracy", "test_accuracy")]
        cells = [run["run"], run["state"] if run["what"] == "search" else f"{run['what']}, {run['state']}"]
        made.add_row(*cells, run["network"], run["data"] or "-", "-" if size is None else f"{size:,}", *measured)
    screen.print(made)
