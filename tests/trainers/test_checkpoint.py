"""Checkpoints: whole or not at all, and no damage goes unseen."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.checkpoint import MAGIC, load_checkpoint, save_checkpoint

STATE = {
    "weights": {"a": torch.linspace(-1, 1, 7), "b": torch.arange(6).view(2, 3), "h": torch.ones(2).bfloat16()},
    "history": [{"loss": 0.1}],
    "done": False,
    "none": None,
}
ROOT = Path(__file__).parents[2]


def fails(path: Path, *parts: str, settings=None) -> None:
    with pytest.raises(BankwiseError) as caught:
        load_checkpoint(path, settings)
    assert "\n" not in str(caught.value)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_checkpoint(path, STATE, {"epochs": 3})
    return path.read_bytes()


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "er" / "checkpoint"
    save_checkpoint(path, STATE, {"epochs": 3})
    state = load_checkpoint(path, {"epochs": 3})
    assert state["weights"].keys() == STATE["weights"].keys()
    for name, tensor in STATE["weights"].items():
        assert torch.equal(state["weights"][name], tensor) and state["weights"][name].dtype == tensor.dtype
    assert (state["history"], state["done"], state["none"]) == ([{"loss": 0.1}], False, None)
    save_checkpoint(path, {"done": True})
    assert load_checkpoint(path) == {"done": True}
    assert os.listdir(path.parent) == ["checkpoint"]


def test_other_settings_are_named(tmp_path):
    path = tmp_path / "checkpoint"
    settings = {"epochs": 3, "data": "digits", "sizes": (1, 2)}
    save_checkpoint(path, STATE, settings)
    load_checkpoint(path, settings)
    load_checkpoint(path)
    fails(path, "epochs 3 (now 4)", "delete it", settings={**settings, "epochs": 4})
    fails(path, "data 'digits' (now None)", settings={"epochs": 3, "sizes": (1, 2)})
    fails(path, "lr None (now 0.1)", settings={**settings, "lr": 0.1})


@given(st.data())
def test_every_flipped_bit_is_seen(tmp_path_factory, saved, data):
    position = data.draw(st.integers(0, len(saved) - 1))
    damaged = bytearray(saved)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "checkpoint"
    path.write_bytes(damaged)
    fails(path, "delete it to start again")


@given(st.data())
def test_every_truncation_is_seen(tmp_path_factory, saved, data):
    path = tmp_path_factory.mktemp("cut") / "checkpoint"
    path.write_bytes(saved[: data.draw(st.integers(0, len(saved) - 1))])
    fails(path, "delete it to start again")


def test_foreign_missing_and_future_files(tmp_path, saved):
    path = tmp_path / "checkpoint"
    fails(path, "No such file")
    fails(tmp_path, "Is a directory")
    torch.save(STATE, path)
    fails(path, "not a bankwise checkpoint", "delete it")
    path.write_bytes(saved.replace(b"checkpoint 1\n", b"checkpoint 2\n", 1))
    fails(path, "version 2", "reads version 1")


class Command:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", [{"settings": "{}", "state": Command()}, {"state": {}}, [1], {"settings": "{"}])
def test_a_forged_file_runs_no_code(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    for payload in (buffer.getvalue(), pickle.dumps(content, protocol=2)):
        digest = hashlib.sha256(payload).hexdigest().encode()
        (tmp_path / "forged").write_bytes(MAGIC + b"1\n" + digest + b"\n" + payload)
        fails(tmp_path / "forged", "holds what no checkpoint does")
    assert not (tmp_path / "ran").exists()


FULL = """
import resource, sys
import torch
from pathlib import Path
from bankwise.search_space.errors import BankwiseError
from bankwise.trainers.checkpoint import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"epoch": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # no file of this process may grow beyond this
try:
    save_checkpoint(path, {"epoch": 2, "weights": torch.zeros(100_000)})
except BankwiseError as error:
    print(error)
"""


def test_no_room_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=500, check=True
    )
    assert done.stdout.count("\n") == 1 and str(path) in done.stdout and "File too large" in done.stdout
    assert load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["checkpoint"]
