from __future__ import annotations

import json

import pytest

from search_space.errors import BankwiseError
from strategies.nni import database


@pytest.fixture
def folder(books):
    return books.checkpoint.parent


def test_jobs_are_what_their_events_say(books, folder):
    books.submit("a", 0, {"0.0": "B"})
    books.submit("b", None, {"0.0": "I4"})  # added by hand
    books.event("", "IMPORT_DATA", "[]")
    books.event("a", "SUCCEEDED")
    books.event("b", "USER_TO_CANCEL")
    books.submit("c", 2, {"0.0": "I8"})
    for sequence in (0, 1, 0):
        books.metric("a", "PERIODICAL", sequence, {"default": sequence / 10})
    books.metric("a", "FINAL", 0, {"default": 0.5})
    books.metric("a", "FINAL", 0, {"default": 0.9})  # of the process of a killed manager
    books.metric("nobody", "FINAL", 0, 1)
    first, second, third = database.trial_jobs(folder)
    assert (first.id, first.status, first.parameter_id, first.parameters) == ("a", "SUCCEEDED", 0, {"0.0": "B"})
    assert first.epochs == {0: {"default": 0.0}, 1: {"default": 0.1}} and first.final == {"default": 0.5}
    assert (second.status, second.parameter_id, second.final) == ("USER_CANCELED", None, None)
    assert (third.status, third.parameters) == ("RUNNING", {"0.0": "I8"})


def test_a_database_that_is_gone_or_none(books, folder):
    books.database.write_bytes(b"x" * 5000)
    with pytest.raises(BankwiseError, match="cannot read NNI's database"):
        database.trial_jobs(folder)
    books.database.unlink()
    with pytest.raises(BankwiseError, match="is gone"):
        database.trial_jobs(folder)


def test_an_experiment_that_has_not_begun(books, folder):
    with pytest.raises(BankwiseError, match="has not begun"):
        database.config(folder)


def test_the_list_of_experiments(home):
    assert database.experiments() == {}
    with pytest.raises(BankwiseError, match="none on this machine"):
        database.find("abc")
    place = home / "nni-experiments"
    place.mkdir()
    known = {"abcd1234": {"logDir": str(place), "port": 8080}, "x": {"logDir": "/elsewhere"}}
    (place / ".experiment").write_text(json.dumps(known))
    assert database.find("abcd1234") == place / "abcd1234"
    with pytest.raises(BankwiseError, match="'abcd123'.*did you mean abcd1234"):
        database.find("abcd123")
    for damaged in ("[", "[]", '{"a": 3}', '{"a": {}}'):
        (place / ".experiment").write_text(damaged)
        with pytest.raises(BankwiseError, match="damaged"):
            database.experiments()
