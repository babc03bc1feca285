"""Names of layers, files and folders as they can be shown: they may hold any character."""

from __future__ import annotations


def printable(text: object) -> str:
    """The text on one line: what cannot be printed (newlines, control codes, undecodable bytes) is escaped as Python
    writes it.

    >>> printable("block\\x1b[31m")
    'block\\\\x1b[31m'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in str(text))
