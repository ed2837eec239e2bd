"""Which structure of one segmentation is which of another: by the code of its type, else by its name.

The side of the body is kept apart from the rest. It comes from the modifier of the type, else from the words of the
type's meaning, else from the name, and structures of different sides never match, by code or by name.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Callable, NamedTuple, Optional

from LowResSegLib.volume import Label

_LEFT, _RIGHT = "left", "right"
_SIDE_WORDS = {
    **dict.fromkeys(("left", "lt", "lh", "l", "sin", "sinister", "sinistra", "sinistrum"), _LEFT),
    **dict.fromkeys(("right", "rt", "rh", "r", "dx", "dexter", "dextra", "dextrum"), _RIGHT),
}
# The codes of a type's modifier: SNOMED CT, and the older identifiers that Slicer and DICOM had before (SRT).
_SIDE_CODES = {
    **dict.fromkeys(("7771000", "G-A101"), frozenset({_LEFT})),
    **dict.fromkeys(("24028007", "G-A100"), frozenset({_RIGHT})),
    **dict.fromkeys(("51440002", "G-A102"), frozenset({_LEFT, _RIGHT})),
}
_SAME_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT", "SNOMED": "SCT"}
# What Slicer gives to every new segment says nothing: Tissue, and Anatomical Structure without more.
_SAYS_NOTHING = {("SCT", "85756007"), ("SRT", "T-D0050"), ("SCT", "123037004"), ("SRT", "T-D000A")}
_PRIVATE = "99"  # schemes that begin so are their makers' own: two makers may use one code for two things


class Match(NamedTuple):
    """Two structures that are the same, by their places in the two lists, and what tells it: `code` or `name`."""

    first: int
    second: int
    matched_by: str


def match(first: Sequence[Label], second: Sequence[Label]) -> list[Match]:
    """Match the structures of two segmentations, each with one of the other at most, in the order of the first.

    Codes come before names. A code that several structures of a segmentation have (such as that of a lesion) tells
    nothing; their names do. Names are compared without case, accents, separators, and the order of words; of several
    that are then alike, those that are equal letter for letter match.
    """
    sides: list[list[Optional[Label]]] = [list(first), list(second)]
    found: list[Match] = []
    steps: tuple[tuple[str, Callable[[Label], Optional[Hashable]]], ...] = (
        ("code", _code_key),
        ("name", lambda label: (side_of(label), label.name)),
        ("name", lambda label: (side_of(label), words_of(label.name)) if words_of(label.name) else None),
    )
    for matched_by, key in steps:
        keys = [[None if label is None else key(label) for label in labels] for labels in sides]
        partners = _unique(keys[1])
        for place, value in _unique(keys[0]).items():
            other = partners.get(place)
            if other is not None:
                found.append(Match(value, other, matched_by))
                sides[0][value] = sides[1][other] = None
    return sorted(found)


def _unique(keys: Iterable[Optional[Hashable]]) -> dict[Hashable, int]:
    """The places of the keys that occur once."""
    keys = list(keys)
    counts = Counter(keys)
    return {key: place for place, key in enumerate(keys) if key is not None and counts[key] == 1}


def side_of(label: Label) -> frozenset[str]:
    """The sides of the body that a structure belongs to, of "left" and "right"; none where nothing is said."""
    if label.type is not None:
        for code in label.type.value.split("+")[1:]:
            if code in _SIDE_CODES:
                return _SIDE_CODES[code]
        sides = _sides(_words(label.type.meaning), single_letters=False)
        if sides:
            return sides
    return _sides(_words(label.name))


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in an order of their own, in small letters, without accents and without sides."""
    words = _words(name)
    return tuple(sorted(word for place, word in enumerate(words) if not _is_side(words, place)))


def _code_key(label: Label) -> Optional[Hashable]:
    """The code of a structure's type with its modifiers, the side apart; None where it tells nothing."""
    if label.type is None:
        return None
    scheme = label.type.scheme.upper()
    scheme = _SAME_SCHEMES.get(scheme, scheme)
    code, *modifiers = label.type.value.split("+")
    modifiers = [modifier for modifier in modifiers if modifier not in _SIDE_CODES]
    if not code or scheme.startswith(_PRIVATE) or ((scheme, code) in _SAYS_NOTHING and not modifiers):
        return None
    return scheme, code, tuple(modifiers), side_of(label)


def _words(name: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)  # LeftKidney, LKidney
    return re.findall(r"[^\W_]+", parted.casefold())


def _is_side(words: Sequence[str], place: int, single_letters: bool = True) -> bool:
    """Whether a word tells a side; a letter before a number does not: L 1 is a vertebra."""
    word = words[place]
    if word not in _SIDE_WORDS:
        return False
    before_number = place + 1 < len(words) and words[place + 1].isdecimal()
    return len(word) > 1 or (single_letters and not before_number)


def _sides(words: Sequence[str], single_letters: bool = True) -> frozenset[str]:
    return frozenset(_SIDE_WORDS[word] for place, word in enumerate(words) if _is_side(words, place, single_letters))
