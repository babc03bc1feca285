"""The command that made a run."""

from __future__ import annotations

import shlex

from bankwise.report.gather import Run
from search_space.space import SpaceSettings
from trainers.recipe import Recipe

_OPTIONS = ("network", "data", "budget", "accounting", "max_ram", "max_ops", "strategy", "engine", "trials",
            "uniform_trials", "finalists", "finalist_seeds", "seeds", "seed", "trial_epochs")  # fmt: skip
_RECIPE = ("epochs", "batch", "optimizer", "lr", "schedule", "weight_decay", "label_smoothing", "distill",
           "temperature", "amp", "threads")  # fmt: skip
_SPACE = ("first", "hidden", "last")


def command(run: Run) -> list[str] | None:
    """The words of the command that repeats a search, an option and its value together.

    None for another run, and where a setting has no option of its own.
    """
    settings = run.settings
    if "space" not in settings:
        return None
    recipe, space = settings["recipe"], settings["space"]
    usual = SpaceSettings()
    if space["layers"] or space["tiles"] or space["max_k"] != usual.max_k or not recipe["channels_last"]:
        return None
    if recipe["recalibrate"] != Recipe().recalibrate:
        return None
    words = [(name, settings[name]) for name in _OPTIONS] + [(name, recipe[name]) for name in _RECIPE]
    words += [(name, ",".join(space[name])) for name in _SPACE] + [("keep", pattern) for pattern in space["keep"]]
    words += [("vector_bits", space["vector_bits"]), ("out", run.path)]
    if settings["widths"]:
        words.append(("widths", ",".join(f"{width:g}" for width in settings["widths"])))
        words.append(("width_epochs", settings["width_epochs"]))
    options = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in words if value is not None]
    return ["bankwise search", *options, "--augment" if recipe["augment"] else "--no-augment"]
