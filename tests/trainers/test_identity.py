from __future__ import annotations

from bankwise.trainers.identity import differences


def test_differences_are_named_by_their_path():
    there = {"seed": 1, "source": {"limit": 400, "data_root": "/a"}, "identity": {"output": [1.0, 2.0]}}
    assert list(differences(there, there)) == []
    moved = {**there, "source": {"limit": 400, "data_root": "/b"}}
    assert list(differences(there, moved)) == [], "the same images elsewhere"
    near = {**there, "identity": {"output": [1.0 + 1e-7, 2.0]}}
    assert list(differences(there, near)) == [], "rounding of another machine"
    other = {"seed": 1, "source": {"limit": 360, "data_root": "/a"}, "identity": {"output": [1.1, 2.0]}}
    assert list(differences(there, other)) == [
        "identity.output: [1.0, 2.0] there, [1.1, 2.0] now",
        "source.limit: 400 there, 360 now",
    ]
    assert list(differences({}, {"source": {"limit": None}})) == ["source: None there, {'limit': None} now"]
