from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import torch

from bankwise.cli.settings import make_recipe
from bankwise.command_line import main
from bankwise.report.gather import Run, read_run
from bankwise.report.repeat import command
from bankwise.report.view import run_view
from bankwise.surroundings import Surroundings
from bankwise.trainers.presets import PRESETS
from bankwise.trainers.recipe import Recipe


def test_the_command_is_accepted_by_the_run_that_it_repeats(copied: Path, capsys):
    """A run's folder refuses every setting that differs from its own; the finished run answers at once."""
    words = shlex.split(" ".join(command(read_run(copied))))
    assert words[:2] == ["bankwise", "search"] and words[words.index("--limit") + 1] == "200"
    assert main([*words[1:], "--json"]) == 0, capsys.readouterr().err
    wrong = [word if word != "random" else "rate" for word in words[1:]]
    assert main([*wrong, "--json"]) == 2


def test_the_page_says_where_it_ran_on_which_data_and_with_how_many_threads(copied: Path, monkeypatch):
    """What a shell reads of the page repeats the run from anywhere."""
    run = read_run(copied)
    made = Surroundings("/work/my photos", 3, "/data/of mine", {"workers": 2, "warm": False, "address": "auto"})
    record = dataclasses.replace(
        run.record, made_in=made, source=dataclasses.replace(run.record.source, limit=200, validation=0.25)
    )
    page = run_view(dataclasses.replace(run, record=record)).repeat
    words = shlex.split(page)
    assert words[:6] == ["cd", "/work/my photos", "&&", "OMP_NUM_THREADS=3", "bankwise", "search"]
    options = {word: after for word, after in zip(words, words[1:], strict=False) if word.startswith("--")}
    assert options["--data-root"] == "/data/of mine" and options["--out"] == str(copied.resolve())
    assert (options["--limit"], options["--validation"]) == ("200", "0.25")
    assert (options["--workers"], options["--address"]) == ("2", "auto") and "--no-warm" in words
    found = run.record.made_in
    assert found.directory == str(Path.cwd()) and found.threads == torch.get_num_threads()
    monkeypatch.setenv("BANKWISE_DATA", str(copied))
    assert Surroundings.now(run.record.source, {"space": object()}).data_root == str(copied.resolve())


def test_widths_are_searched_again(widened: Path, capsys):
    words = shlex.split(" ".join(command(read_run(widened))))
    assert main([*words[1:], "--json"]) == 0, capsys.readouterr().err


def test_what_no_option_can_say_gives_no_command(run: Run):
    record = run.record
    other = {"space": dataclasses.replace(record.space, max_k=16)}
    assert command(dataclasses.replace(run, record=dataclasses.replace(record, **other))) is None
    other = {"recipe": dataclasses.replace(record.recipe, recalibrate=3)}
    assert command(dataclasses.replace(run, record=dataclasses.replace(record, **other))) is None
    assert command(dataclasses.replace(run, record=None)) is None


OTHER = dict(
    epochs=7, batch=33, optimizer="sgd", lr=0.5, weight_decay=0.25, schedule="cosine", label_smoothing=0.125,
    distill=0.5, temperature=2.0, augment=False, flips="alternating", shift=3, start="dirac", whiten=True, average=0.5,
    recalibrate=3, amp="off", channels_last=False, threads=2, device="cuda", loss="mse", metric="top-5",
    class_weights="balanced",
)  # fmt: skip


def test_every_setting_of_a_recipe_is_said_or_there_is_no_command(run: Run):
    """Also of recipes that are to come."""
    said = command(run)
    assert set(OTHER) == {field.name for field in dataclasses.fields(Recipe)} - {"seed"}, "give the new one a value"
    for name, value in OTHER.items():
        assert getattr(run.record.recipe, name) != value
        recipe = dataclasses.replace(run.record.recipe, **{name: value})
        found = command(dataclasses.replace(run, record=dataclasses.replace(run.record, recipe=recipe)))
        assert found is None or found != said


def test_a_preset_is_said_by_its_name(run: Run):
    recipe = dataclasses.replace(run.record.recipe, **PRESETS["fast"], lr=0.01)
    words = " ".join(command(dataclasses.replace(run, record=dataclasses.replace(run.record, recipe=recipe)))).split()
    options = dict(zip(words, words[1:], strict=False))
    given = {"lr": float(options["--lr"]), "epochs": int(options["--epochs"])}
    assert make_recipe(options["--recipe"], Recipe(), given).shift == recipe.shift == 2
    assert make_recipe(options["--recipe"], Recipe(), given).whiten and given["lr"] == 0.01
    assert not any(word.startswith("--recipe") for word in command(run))
