"""The command that made a run."""

from __future__ import annotations

import dataclasses
import shlex

from bankwise.inputs import data_options
from bankwise.report.gather import Run
from bankwise.search_space.networks import IN_MEMORY
from bankwise.search_space.settings import SpaceSettings
from bankwise.trainers.metric import AUTO
from bankwise.trainers.presets import PRESETS
from bankwise.trainers.recipe import Recipe

_OPTIONS = ("network", "data", "budget", "accounting", "max_ram", "max_ops", "strategy", "engine", "trials",
            "uniform_trials", "finalists", "finalist_seeds", "seeds", "seed", "trial_epochs")  # fmt: skip
_RECIPE = ("epochs", "batch", "optimizer", "lr", "schedule", "weight_decay", "label_smoothing", "distill",
           "temperature", "amp", "threads", "device")  # fmt: skip
_AIMS = ("loss", "metric", "class_weights")
_SPACE = ("first", "hidden", "last")
_UNSAID_OF_SPACE = ("layers", "max_k", "tiles", "depthwise")  # by any option of the command
_SAID_OF_RECIPE = (*_RECIPE, *_AIMS, "augment", "seed")
_REST = {name: value for name, value in Recipe().to_dict().items() if name not in _SAID_OF_RECIPE}
_PRESETS = {  # what each says of the rest, which has no options of its own; the first that says a recipe is named
    name: {key: value for key, value in keys.items() if key in _REST} for name, keys in PRESETS.items()
}


def command(run: Run) -> list[str] | None:
    """The words of the command that repeats a search, an option and its value together.

    None for another run, and where a setting has no option of its own.
    """
    record = run.record
    if record is None:
        return None
    recipe, space = record.recipe, record.space
    rest = {name: value for name, value in recipe.to_dict().items() if name not in _SAID_OF_RECIPE}
    preset = next((name for name, keys in _PRESETS.items() if rest == _REST | keys), None)
    if preset is None or any(getattr(space, name) != getattr(SpaceSettings(), name) for name in _UNSAID_OF_SPACE):
        return None
    if space.vectors == () or IN_MEMORY in (record.network, record.data):
        return None
    if any(name.startswith("__main__:") for name in recipe.named_code):
        return None
    words = [(name, getattr(record, name)) for name in _OPTIONS]
    words += [("recipe", preset)] if _PRESETS[preset] else []
    words += [(name, getattr(recipe, name)) for name in _RECIPE]
    words += [(name, value) for name in _AIMS if (value := getattr(recipe, name)) not in (None, AUTO)]
    words += [(name, ",".join(kinds)) for name in _SPACE if (kinds := getattr(space, name))] + [
        ("keep", one) for one in space.keep
    ]
    words += [("vectors", ",".join(space.vectors))] if space.vectors else []
    words += [("vector_bits", space.vector_bits), ("out", run.folder.resolve())]
    if record.patience is not None:
        words.append(("patience", record.patience))
    if record.time is not None:
        words.append(("time", f"{record.time:.12g}s"))
    words += [
        (name, ",".join(f"{value:g}" for value in values))
        for name in ("widths", "depths")
        if (values := getattr(record, name))
    ]
    words.append(("architecture_epochs", record.architecture_epochs))
    options = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in words if value is not None]
    source, made = record.source, record.made_in
    if made is not None:
        options += made.options()
        source = dataclasses.replace(source, data_root=made.data_root)
    options += [shlex.join(option) for option in data_options(source)]
    return ["bankwise search", *options, "--augment" if recipe.augment else "--no-augment"]


def surroundings(run: Run) -> list[str]:
    """What a shell says before the command; nothing where a run did not record that."""
    made = None if run.record is None else run.record.made_in
    return [] if made is None else made.before()
