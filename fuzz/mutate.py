"""Seeded damage: to bytes, to texts and to the values of JSON and YAML files."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 2**31, 2**63, -(2**63), 2**64, 10**18, 10**140, 10**400, 0.5, -0.0,
    1e-320, 1e308, float("nan"), float("inf"), float("-inf"), "", " ", "0", "-1", "x", "tiny", "tiny@1e9", "no:code",
    "../..", "a" * 3000, "\u202e\x1b[31m", "\ud800", "[/b]", "$\\frac{$", [], {}, [[]], [None], [1, 2, 3], [1, 8, 8],
    {"": None}, {"family": "binary"}, {"family": "float", "bits": 10**9},
    {"family": "composite", "raw": 9, "ranks": [10**8]}, {"family": "stacked", "k": 10**8, "s": 1, "tile": "1x1"},
    {"family": "no:Code"}, ["x"] * 2000,
)  # fmt: skip
TEXTS = (
    "!!timestamp 2001-01-01", "2001-01-01", "!!int ''", "!!float x", "!!binary x", "!!set {a}",
    "!!python/object:os.system", "0o17", "0x1F", "1_000", "12:30:45", ".inf", ".nan", "-.inf", "~", "yes", "<<: *a",
    "&a [*a]", "*nowhere", "? a\n: b", "--- x\n--- y", "%YAML 9.9", "9" * 5000, "1e999", "NaN", "Infinity",
    '"\\ud800"', "\x00", "\ufeff", "\t", "{", "]", "'", '"', "[" * 3000, "{a: " * 500, "[" * 100 + "]" * 100,
    '{"a": 1, "a": 2}', "!!omap [a: 1]", "!<tag:yaml.org,2002:str> x",
)  # fmt: skip
_LEVELS = tuple(zip("abcdefghi", "bcdefghij", strict=True))
_NINE = [", ".join([f"*{before}"] * 9) for before, _ in _LEVELS]
BOMB = "a: &a [x]\n" + "".join(f"{name}: &{name} [{nine}]\n" for (_, name), nine in zip(_LEVELS, _NINE, strict=True))
MERGES = BOMB.replace("a: &a [x]", "a: &a {x: 1}").replace(" [*", " {<<: [*").replace("]\n", "]}\n")


def damaged(data: bytes, rng: Random) -> bytes:
    """One to four bits, bytes or stretches are not what they were."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(made) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
        kind = rng.randrange(6)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            made[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            del made[at : at + length]
        elif kind == 3:
            made[at:at] = made[at : at + length]
        elif kind == 4:
            made[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * length
        else:
            del made[at:]
    return bytes(made)


def spoiled(values: Any, rng: Random) -> Any:
    """A copy with one to three values replaced, removed, doubled or under another key."""
    values = copy.deepcopy(values)
    for _ in range(rng.randint(1, 3)):
        holders = list(_holders(values))
        if not holders:
            return rng.choice(HOSTILE)
        holder = rng.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key, kind = rng.choice(keys), rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[str(rng.choice(HOSTILE))[:50]] = holder.pop(key)
        elif kind == 2:
            holder[key] = [holder[key]]
        elif kind == 3:
            holder[key] = {"a": holder[key]}
        elif kind == 4 and isinstance(holder[key], str):
            text = holder[key]
            at = rng.randrange(len(text) + 1)
            holder[key] = text[:at] + rng.choice(("", "x", "0", ":", "/", " ", ".", "9" * 12, "\n")) + text[at + 1 :]
        else:
            holder[key] = copy.deepcopy(rng.choice(HOSTILE))
    return values


def _holders(values: Any) -> Any:
    if isinstance(values, (dict, list)) and values:
        yield values
        for item in values.values() if isinstance(values, dict) else values:
            yield from _holders(item)


def as_json(values: Any) -> bytes:
    return json.dumps(values).encode("utf-8", "surrogatepass")


def as_yaml(values: Any) -> bytes:
    """JSON is YAML; what YAML alone has comes by `spoiled_text`."""
    return json.dumps(values, allow_nan=False).encode() if _finite(values) else str(values).encode("utf-8", "replace")


def _finite(values: Any) -> bool:
    try:
        json.dumps(values, allow_nan=False)
    except ValueError:
        return False
    return True


def spoiled_text(text: bytes, rng: Random) -> bytes:
    """With something of YAML or JSON in it that no file of the project has."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice((BOMB, MERGES)).encode() + text
    lines = text.split(b"\n")
    at, new = rng.randrange(len(lines)), rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    if kind == 1:
        lines[at] = new
    elif kind == 2:
        lines.insert(at, lines[at])
    elif kind == 3 and b": " in lines[at]:
        lines[at] = lines[at].split(b": ")[0] + b": " + new
    elif kind == 4:
        words = lines[at].split(b" ")
        words[rng.randrange(len(words))] = new
        lines[at] = b" ".join(words)
    else:
        return damaged(text, rng)
    return b"\n".join(lines)
