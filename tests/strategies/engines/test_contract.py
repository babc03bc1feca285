"""What every engine must do with the same job: the same plans, the same failures, the same records after a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bankwise.search_space.budget import Budget
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.space import SearchSpace
from bankwise.strategies import BudgetedSpace, make_strategy
from bankwise.strategies.engines import ENGINES, Engine, Job, engine_class, make_engine
from bankwise.strategies.ledger import RETRIES
from bankwise.strategies.trials import Record, Trials
from bankwise.trainers.recipe import Recipe
from bankwise.trainers.task import TaskSource

NAMES = [engine.name for engine in ENGINES]
RECIPE = Recipe(epochs=1, threads=1)
NETWORK = '''
import os, signal
from torch import nn
from bankwise.search_space.networks import build

class Trouble(nn.Module):
    """Fails by what stands in the file $TROUBLE: one word for each trial that begins to train."""
    word = None
    def forward(self, images):
        if not self.training:
            return images
        if self.word is None:
            path = os.environ["TROUBLE"]
            self.word, _, rest = open(path).read().partition(" ")
            open(path, "w").write(rest)
        if self.word == "raise":
            raise KeyError("no such layer")
        if self.word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return images * float("nan") if self.word == "diverge" else images

def make(num_classes, in_channels):
    return nn.Sequential(Trouble(), build("tiny", classes=num_classes, in_channels=in_channels))
'''
SCRIPT = """
import sys
from pathlib import Path
from tests.strategies.engines.test_contract import job
from bankwise.strategies.engines import make_engine
make_engine(sys.argv[1]).run(job(Path(sys.argv[2])))
"""
ROOT = Path(__file__).parents[3]
TROUBLE = ["fine", "diverge", *["raise"] * (1 + RETRIES)]  # of trials 0, 1 and 2; the third is tried again
SEARCHES = 3  # at most, until one ends by itself


def job(folder: Path) -> Job:
    """A search of five trials that is killed at its first result, where a file FOLDER.kill says so."""
    order = folder.with_suffix(".kill")

    def killed(number: int, metrics: dict) -> None:
        if order.exists():
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    source = TaskSource(network="troubled:make", data="digits", limit=200)
    task = source.make(RECIPE)
    space = BudgetedSpace(SearchSpace(task.shape), Budget(1300))
    return Job(make_strategy("evolution", space, seed=3), task, RECIPE, 5, folder, source, on_result=killed)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the user's network, and a home."""
    folder = tmp_path_factory.mktemp("contract")
    (folder / "troubled.py").write_text(NETWORK)
    (folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TROUBLE", str(folder / "trouble"))
        patch.setenv("NNI_CONFIG_DIR", str(folder / "registered"))
        patch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{ROOT}:{folder}")
        patch.syspath_prepend(str(folder))
        patch.chdir(folder)
        yield folder
    listed = folder / "home" / "nni-experiments" / ".experiment"
    for experiment in json.loads(listed.read_text()).values() if listed.exists() else ():
        if experiment["status"] != "STOPPED":  # of a test that failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(experiment["pid"], signal.SIGTERM)


@dataclasses.dataclass
class Search:
    """`codes` are the exits of its processes, `tries` what the ledger says of failed tries."""

    folder: Path
    codes: list[int]
    errors: str
    trials: Trials
    tries: list[tuple[int, str, str]]

    @property
    def alone(self) -> bool:
        """Whether trials run in the search's own process, and end it with them."""
        return len(self.codes) > 2


def run(engine: str, folder: Path, words: list[str], killed: bool) -> Search:
    """The search, started anew until it is not killed any more."""
    Path(os.environ["TROUBLE"]).write_text(" ".join(words))
    if killed:
        folder.with_suffix(".kill").touch()
    codes = [-signal.SIGKILL]
    while codes[-1] == -signal.SIGKILL and len(codes) <= SEARCHES:
        done = start(engine, folder)
        codes.append(done.returncode)
    assert (folder / "ledger.jsonl").exists(), done.stderr
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    tries = [(one["number"], one["event"], one["reason"]) for one in lines if one.get("event") in ("retry", "failed")]
    return Search(folder, codes[1:], done.stderr, Trials.read(folder / "ledger.jsonl", 5), tries)


def start(engine: str, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", SCRIPT, engine, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def reference(place) -> Search:
    """The local engine's search, with failing trials and not killed."""
    return run("local", place / "reference", TROUBLE, killed=False)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"contract-{name}")) for name in NAMES]
)
def search(request, place) -> Search:
    """Of each engine, once: killed at its first result, and the process of trial 3 is killed."""
    return run(request.param, place / request.param, [*TROUBLE, "kill"], killed=True)


def untimed(record: Record) -> Record:
    metrics = record.metrics and {**record.metrics, "seconds": 0}
    return dataclasses.replace(record, metrics=metrics, failures=0)


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_records_of_an_undisturbed_one(search, reference):
    assert search.codes == [-signal.SIGKILL] * (2 if search.alone else 1) + [0], search.errors
    assert search.trials.plans == reference.trials.plans
    assert [untimed(one) for one in search.trials.records] == [untimed(one) for one in reference.trials.records]
    assert [one.status for one in reference.trials.records] == ["finished", "failed", "failed", "finished", "finished"]


@pytest.mark.slow
def test_failures_are_recorded_alike_in_every_engine(search, reference):
    died = [] if search.alone else [(3, "retry", "its process died")]
    assert search.tries == [*reference.tries, *died]
    diverged, crashed = reference.trials.records[1:3]
    assert (diverged.failures, crashed.failures) == (1, 1 + RETRIES) and "diverged" in diverged.reason
    assert crashed.reason.startswith("KeyError: 'no such layer' (troubled.py:")
    assert [event for _, event, _ in reference.tries] == ["failed", *["retry"] * RETRIES, "failed"]
    assert [one.failures for one in search.trials.records] == [0, 1, 1 + RETRIES, len(died), 0]


@pytest.mark.slow
def test_the_call_after_the_end_trains_nothing(search):
    lines = (search.folder / "ledger.jsonl").read_bytes()
    done = start(search.folder.name, search.folder)
    assert done.returncode == 0, done.stderr
    assert (search.folder / "ledger.jsonl").read_bytes() == lines


def test_each_engine_says_what_it_is_and_its_options_have_help():
    for engine in ENGINES:
        assert engine.name and engine.help
        for option in dataclasses.fields(engine.Options):
            assert option.metadata["help"], (engine, option.name)
        assert make_engine(engine.name).options == engine.Options()
        with pytest.raises(BankwiseError, match=f"unknown option of the {engine.name} engine 'no_such'"):
            make_engine(engine.name, no_such=1)
    for name in ("local", "nni", "ray"):
        assert make_engine(name, workers=1).options == engine_class(name).Options()
        with pytest.raises(BankwiseError, match="workers=0 must be at least 1"):
            make_engine(name, workers=0)
        for wrong in (2.5, "2", True):
            with pytest.raises(BankwiseError, match=f"option of the {name} engine workers: .* is not a whole number"):
                make_engine(name, workers=wrong)
        with pytest.raises(BankwiseError, match=f"unknown option of the {name} engine 'worker': did you mean"):
            make_engine(name, worker=1)
    with pytest.raises(BankwiseError, match="unknown engine 'rey': did you mean ray"):
        make_engine("rey")


def test_an_engine_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_engine.py").write_text(
        "from bankwise.strategies.engines.local import LocalEngine\n"
        "class Mine(LocalEngine):\n    name = 'mine'\n"
        "other = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    found = make_engine("my_engine:Mine", workers=1)
    assert isinstance(found, Engine) and found.name == "mine"
    for name, message in (
        ("my_engine:other", "is not a subclass"),
        ("my_engine:None_", "has no class 'None_'"),
        ("nowhere:X", "ModuleNotFoundError"),
    ):
        with pytest.raises(BankwiseError, match=message) as caught:
            engine_class(name)
        assert "\n" not in str(caught.value)
