"""Files of the format before: a description in the JSON header's metadata, parts alone in the payload."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from bankwise.search_space.errors import BankwiseError, short
from bankwise.search_space.images import Images
from bankwise.search_space.targets.file.description import Description

FORMAT = "bankwise 2"
_SIZES = re.compile(r"([0-9]{1,9})x([0-9]{1,9})x([0-9]{1,9}) ([0-9]{1,9}) (\S+)")
_VECTOR_BITS = {"8": 8, "16": 16, "32": 32}
_KEYS = {"format", "network", "input", "classes", "vector", "plan", "sha256", "keep"}


def read(header: bytes, values: Any, payload: bytes) -> Description:
    """What the header (`values`: read as JSON) says, after a check of its sha256.

    Raises:
        BankwiseError: it is damaged, or of another format.
    """
    try:
        metadata = values["__metadata__"]
        begin, end = values["payload"]["data_offsets"]
        form, digest = metadata["format"], metadata["sha256"]
    except (ValueError, KeyError, TypeError):
        raise BankwiseError("not a bankwise file, or its header is damaged") from None
    if form != FORMAT:
        raise BankwiseError(f"format {short(form)} is not known; this release reads 'bankwise 2' and 'bankwise 3'")
    if not isinstance(digest, str) or re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise BankwiseError(f"damaged: the sha256 {short(digest)} is not 64 hexadecimal digits")
    if (begin, end) != (0, len(payload)):
        raise BankwiseError(
            f"truncated or extended: the payload has {len(payload)} bytes, its header says {short(end)}"
        )
    if digest != hashlib.sha256(header.replace(digest.encode(), b"0" * 64) + payload).hexdigest():
        raise BankwiseError("damaged: the contents do not match their sha256")
    return _described(metadata)


def _described(metadata: Mapping[str, Any]) -> Description:
    try:
        if metadata.keys() - _KEYS or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError
        sizes = re.fullmatch(_SIZES, f"{metadata['input']} {metadata['classes']}")
        if sizes is None:
            raise ValueError
        channels, height, width, classes = map(int, sizes.groups()[:4])
        images, bits = Images.of_code(sizes[5]), _VECTOR_BITS[metadata["vector"]]
        if min(channels, height, width, classes) < 1:
            raise ValueError
        keep = tuple(metadata["keep"].split()) if "keep" in metadata else ()
        codes = tuple(metadata["plan"].split())
        return Description(metadata["network"], (channels, height, width), classes, images, bits, keep, codes)
    except (KeyError, ValueError, AttributeError):
        raise BankwiseError("damaged: the header does not describe a plan") from None
