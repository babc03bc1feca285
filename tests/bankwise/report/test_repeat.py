from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from bankwise.command_line import main
from bankwise.report.gather import Run, read_run
from bankwise.report.repeat import command


def test_the_command_is_accepted_by_the_run_that_it_repeats(copied: Path, capsys):
    """A run's folder refuses every setting that differs from its own; the finished run answers at once."""
    words = shlex.split(" ".join(command(read_run(copied))))
    assert words[:2] == ["bankwise", "search"]
    assert main([*words[1:], "--limit", "200", "--json"]) == 0, capsys.readouterr().err
    wrong = [word if word != "random" else "rate" for word in words[1:]]
    assert main([*wrong, "--limit", "200", "--json"]) == 2


def test_widths_are_searched_again(widened: Path, capsys):
    words = shlex.split(" ".join(command(read_run(widened))))
    assert main([*words[1:], "--limit", "200", "--json"]) == 0, capsys.readouterr().err


def test_what_no_option_can_say_gives_no_command(run: Run):
    space = run.settings["space"] | {"max_k": 16}
    assert command(dataclasses.replace(run, settings=dict(run.settings) | {"space": space})) is None
    recipe = run.settings["recipe"] | {"recalibrate": 3}
    assert command(dataclasses.replace(run, settings=dict(run.settings) | {"recipe": recipe})) is None
    assert command(dataclasses.replace(run, settings={"plan": {}})) is None
