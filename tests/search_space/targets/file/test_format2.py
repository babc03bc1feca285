"""Files that earlier releases wrote are read; `format2/` holds two of them, and what they gave."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.targets.file.container import decode, encode, load, read

HERE = Path(__file__).parent / "format2"


@pytest.mark.parametrize("name", ["mixed", "kept"])
def test_a_file_of_format_2_gives_what_it_gave(name):
    file, said = read(HERE / f"{name}.bankwise"), json.loads((HERE / f"{name}.json").read_text())
    assert file.format == "bankwise 2" and file.size == (HERE / f"{name}.bankwise").stat().st_size
    assert list(file.plan.codes.values()) == said["plan"] and file.plan.vector_bits == said["vector_bits"]
    assert list(file.plan.keep) == said["keep"]
    assert (file.images.normalization, file.images.digest) == (said["normalization"], said["digest"])
    x = torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)
    torch.testing.assert_close(load(HERE / f"{name}.bankwise")(x), torch.tensor(said["logits"]), rtol=1e-5, atol=1e-5)


def test_written_anew_it_is_of_the_present_format_and_shorter():
    old = read(HERE / "mixed.bankwise")
    new = decode(encode(old.shape, old.plan, old.codes))
    assert new.format == "bankwise 3" and new.size < old.size - 200
    assert new.plan == old.plan and new.images.code == old.images.code
    assert all(torch.equal(new.codes[key], old.codes[key]) for key in old.codes)


def refused(data: bytes) -> str:
    with pytest.raises(BankwiseError) as raised:
        decode(data)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def forged(**metadata: object) -> bytes:
    """The file with other metadata and a right sha256."""
    data = (HERE / "mixed.bankwise").read_bytes()
    length = int.from_bytes(data[:8], "little")
    text, payload = data[8 : 8 + length].decode(), data[8 + length :]
    values = json.loads(text)["__metadata__"]
    changed = {key: one for key, one in ({**values, "sha256": "0" * 64} | metadata).items() if one is not None}
    text = text.replace(*(json.dumps(one, separators=(",", ":")) for one in (values, changed)))
    if "sha256" not in metadata:
        text = text.replace("0" * 64, hashlib.sha256(text.encode() + payload).hexdigest())
    return len(text).to_bytes(8, "little") + text.encode() + payload


def test_a_forged_file_without_changes_is_the_file():
    assert forged() == (HERE / "mixed.bankwise").read_bytes()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"format": "bankwise 1"}, "'bankwise 1' is not known; this release reads 'bankwise 2' and 'bankwise 3'"),
        ({"format": 3}, "format 3"),
        ({"format": None}, "not a bankwise file"),
        ({"classes": "0 -------"}, "does not describe a plan"),
        ({"classes": 4}, "does not describe a plan"),
        ({"classes": "9" * 5000}, "does not describe a plan"),
        ({"classes": "12 S14a21a"}, "bytes"),
        ({"input": "1x8"}, "does not describe a plan"),
        ({"input": None}, "does not describe a plan"),
        ({"vector": "64"}, "does not describe a plan"),
        ({"vector": "4"}, "does not describe a plan"),
        ({"vector": "16"}, "bytes"),
        ({"plan": "B"}, "1 layers"),
        ({"plan": "B B B B Q"}, "'Q'"),
        ({"plan": ["B"]}, "does not describe a plan"),
        ({"network": "tyni"}, "unknown network 'tyni'"),
        ({"network": 5}, "does not describe a plan"),
        ({"keep": "nothing"}, "'nothing' matches no"),
        ({"extra": "field"}, "does not describe a plan"),
        ({"sha256": "g" * 64}, "is not 64 hexadecimal digits"),
        ({"sha256": "0" * 63}, "is not 64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "do not match their sha256"),
    ],
    ids=str,
)
def test_a_header_that_no_release_wrote(metadata, words):
    assert words in refused(forged(**metadata))


def test_any_damaged_byte():
    data = (HERE / "kept.bankwise").read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        refused(bytes(damaged))
    for length in range(len(data)):
        refused(data[:length])
