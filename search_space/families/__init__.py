"""The families of bases. A new family is a subclass of `Choice` in a file of its own, and one name in FAMILIES."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bankwise.search_space.errors import BankwiseError, short, unknown
from bankwise.search_space.families.binary import Binary
from bankwise.search_space.families.choice import Choice, Codes, Operations
from bankwise.search_space.families.composite import Composite
from bankwise.search_space.families.floating import Float
from bankwise.search_space.families.integer import Integer
from bankwise.search_space.families.sparse import Sparse
from bankwise.search_space.families.stacked import Stacked
from bankwise.search_space.families.subbit import Subbit
from bankwise.search_space.families.tiled import Tiled
from bankwise.search_space.imports import code_in_files, import_class

FAMILIES: tuple[type[Choice], ...] = (Stacked, Sparse, Binary, Tiled, Subbit, Integer, Composite, Float)


def one_of_each(what: str, pairs: Iterable[tuple[str, type[Choice]]]) -> dict[str, type[Choice]]:
    """A mapping of the pairs.

    Raises:
        BankwiseError: two families have the same `what`.
    """
    found: dict[str, type[Choice]] = {}
    for name, family in pairs:
        if name in found:
            raise BankwiseError(f"families {found[name].__name__} and {family.__name__} have the same {what} {name!r}")
        found[name] = family
    return found


_NAMES = one_of_each("name", ((family.family, family) for family in FAMILIES))
_LETTERS = one_of_each("letter", ((family.letter, family) for family in FAMILIES))
_KINDS = one_of_each("kind", ((kind, family) for family in FAMILIES for kind in family.kinds))
KINDS: tuple[str, ...] = tuple(_KINDS)  # the names by which a layer may list the families, in their order
FIELDS_CODE = re.compile(r"([0-9.x]*)([a-z][0-9]+)?")  # the fields, and what is said of vectors
USERS_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


def kinds_of(families: Iterable[type[Choice]]) -> str:
    """Their kinds in words, numbered ones as a range: stacked, sparse, binary, int2 to int8."""
    shown: list[str] = []
    for family in families:
        first, last = family.kinds[0], family.kinds[-1]
        shown += [f"{first} to {last}"] if len(family.kinds) > 2 else family.kinds
    return ", ".join(shown)


def is_users_own(name: str) -> bool:
    """Whether a kind or a family's name, or the code of a choice, names code of the user's own, `module:Name`."""
    return ":" in name


def family_of(kind: str) -> type[Choice]:
    """The family by one of whose kinds a layer is listed; of `module:Name` the user's own, which is imported.

    Raises:
        BankwiseError: there is none.
    """
    if is_users_own(kind):
        return import_family(kind)
    if kind not in _KINDS:
        raise unknown("kind of layer", kind, [*KINDS, "package.module:Family"])
    return _KINDS[kind]


def import_family(reference: str) -> type[Choice]:
    """A family of the user's own, `package.module:Name`.

    Raises:
        BankwiseError: it may not or cannot be imported, or is not a family.
    """
    if not USERS_CODE.fullmatch(reference):
        raise BankwiseError(f"family {reference!r} is not package.module:Name")
    family = import_class("family", reference, Choice)
    missing = sorted(getattr(family, "__abstractmethods__", ()))
    missing += [name for name in ("family", "letter") if not isinstance(getattr(family, name, None), str)]
    if missing:
        raise BankwiseError(f"family {reference!r} lacks {', '.join(missing)}")
    right = family.reference() or family.family
    if right != reference:
        raise BankwiseError(f"family {reference!r} is another's name: name it {right!r}")
    others = [other for other in FAMILIES if other is not family]
    one_of_each("name", ((other.family, other) for other in (*others, family)))
    one_of_each("letter", ((other.letter, other) for other in (*others, family)))
    return family


def _users(reference: str, allow_code: bool) -> type[Choice]:
    with code_in_files(allow_code):
        return import_family(reference)


def choice_from_dict(values: object, allow_code: bool = False) -> Choice:
    """Read a choice as plans write it, such as {family: stacked, k: 32, s: 4, tile: 3x3}.

    A family of the user's own is {family: package.module:Name, ...}: it is imported with `allow_code`, or where this
    process has imported its module already.

    Raises:
        BankwiseError: the values are not a choice, or their family may not be imported.
    """
    if not isinstance(values, Mapping) or "family" not in values:
        raise BankwiseError(f"{short(values)} is not a choice; it needs a family, such as {{family: binary}}")
    name, own = values["family"], {key: value for key, value in values.items() if key != "vectors"}
    if isinstance(name, str) and is_users_own(name):
        made = _users(name, allow_code).from_dict(own)
    elif not isinstance(name, str) or name not in _NAMES:
        raise unknown("family", name, _NAMES)
    else:
        made = _NAMES[name].from_dict(own)
    return made.saying(values["vectors"]) if "vectors" in values else made


def choice_from_code(text: str, allow_code: bool = False) -> Choice:
    """Read a choice as the file's header writes it: S32.4.3x3, or package.module:Name/32.4.3x3 of a user's own family.

    Raises:
        BankwiseError: the text is not a choice's code, or its family may not be imported.
    """
    reference, slash, fields = text.rpartition("/")
    users = bool(slash) and USERS_CODE.fullmatch(reference) is not None
    if not users:
        reference, fields = text[:1], text[1:]
    split = FIELDS_CODE.fullmatch(fields)
    if split is None or not (users or reference in _LETTERS):
        raise BankwiseError(f"{short(text)} is not a choice's code")
    family, said = _users(reference, allow_code) if users else _LETTERS[reference], split[2]
    try:
        made = family.from_dict(family.from_fields_code(split[1]).to_dict())  # as strictly as a plan
        return made if said is None else made.saying(said)
    except ValueError as error:
        why = f": {error}" if isinstance(error, BankwiseError) else ""
        raise BankwiseError(f"{short(text)} is not a choice's code{why}") from None


__all__ = [
    "FAMILIES", "KINDS", "Binary", "Choice", "Codes", "Composite", "Float", "Integer", "Operations", "Sparse",
    "Stacked", "Subbit", "Tiled", "choice_from_code", "choice_from_dict", "family_of", "import_family", "is_users_own",
    "kinds_of",
]  # fmt: skip
