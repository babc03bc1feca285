"""Where NNI's web page is, as a search tells it; the experiment itself is made believe."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

pytest.importorskip("nni")
from bankwise.strategies.engines.nni import engine
from bankwise.strategies.engines.on_nni import NniOptions


def test_the_address_is_that_of_the_port_that_was_free(monkeypatch, tmp_path):
    @contextlib.contextmanager
    def running(folder, name, port):
        assert port == 8080
        yield SimpleNamespace(id="abc", port=8123)

    monkeypatch.setattr(engine, "describe", lambda job: None)
    monkeypatch.setattr(engine, "_write", lambda *given: None)
    monkeypatch.setattr(engine, "_running", running)
    monkeypatch.setattr(engine, "_Watch", lambda *given: SimpleNamespace(until_the_end=lambda: None))
    ended = SimpleNamespace(check=lambda: None, records=[])
    monkeypatch.setattr(engine, "Trials", SimpleNamespace(read=lambda *given: ended))
    told: list[str] = []
    job = SimpleNamespace(folder=tmp_path, trials=1, tell=told.append)
    assert engine.run_nni(job, NniOptions()) == []
    assert told == ["NNI's web page: http://127.0.0.1:8123"]
