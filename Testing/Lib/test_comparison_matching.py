"""Which structures are the same: by code, by name, and never left with right."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LowResSegLib import Label
from LowResSegLib.comparison.matching import match, side_of, words_of

ANATOMY = ("123037004", "SCT", "Anatomical Structure")
LEFT, RIGHT, BOTH = ("+7771000", ", Left"), ("+24028007", ", Right"), ("+51440002", ", Right and left")
NAMES_OF_ONE = [
    ["Left kidney", "kidney_left", "Kidney, left", "KIDNEY-L", "LeftKidney", "L kidney", "lt. kidney", "kidney (L)"],
    ["Left-Lateral-Ventricle", "lateral ventricle left", "ventricle_lateral_l", "lh lateral ventricle"],
    ["Nucleus accumbens", "nucleus_accumbens", "NucleusAccumbens", "accumbens nucleus"],
    ["Vertebra L1", "vertebra_L1", "VERTEBRA l1"],
    ["Vertebra L 1", "vertebra_l_1"],
    ["Foie préparé", "foie prepare", "FOIE_PRÉPARÉ"],
]


def label(value: int, name: str, code: str = "", meaning: str = "", side: tuple[str, str] = ("", "")) -> Label:
    kind: Optional[tuple[str, str, str]] = (code + side[0], "SCT", (meaning or name) + side[1]) if code else None
    return Label(value, name, category=ANATOMY if code else None, type=kind)  # type: ignore[arg-type]


def pairs(first: list[Label], second: list[Label]) -> list[tuple[str, str, str]]:
    return [(first[one].name, second[other].name, by) for one, other, by in match(first, second)]


def mirrored(name: str) -> str:
    """A name of the left as one of the right."""
    swaps = (("left", "right"), ("Left", "Right"), ("lt.", "rt."), ("lh ", "rh "), ("(L)", "(R)"), ("L ", "R "))
    for left, right in (*swaps, ("-L", "-R"), ("_l", "_r")):
        if left in name:
            return name.replace(left, right)
    raise AssertionError(name)


@pytest.mark.parametrize("names", NAMES_OF_ONE, ids=lambda names: names[0])
def test_names_are_compared_without_case_separators_and_order(names: list[str]) -> None:
    for one in names:
        for other in names:
            assert pairs([label(1, one)], [label(2, other)]) == [(one, other, "name")]


@pytest.mark.parametrize("names", NAMES_OF_ONE[:2], ids=lambda names: names[0])
def test_left_never_matches_right(names: list[str]) -> None:
    for one in names:
        for other in map(mirrored, names):
            assert side_of(label(1, one)) == {"left"} and side_of(label(1, other)) == {"right"}
            assert pairs([label(1, one)], [label(1, other)]) == []
            assert pairs([label(1, one, "64033007", "Kidney")], [label(1, other, "64033007", "Kidney")]) == []


def test_a_letter_before_a_number_is_no_side() -> None:
    assert side_of(label(1, "Vertebra L 1")) == side_of(label(1, "vertebra_L1")) == frozenset()
    assert pairs(
        [label(1, "Vertebra L 1"), label(2, "Vertebra 1")], [label(1, "vertebra_1"), label(2, "L vertebra 1")]
    ) == [("Vertebra 1", "vertebra_1", "name")]


def test_a_side_in_the_code_goes_before_one_in_the_name() -> None:
    left, right = label(1, "Kidney", "64033007", side=LEFT), label(1, "Kidney", "64033007", side=RIGHT)
    assert pairs([left], [right]) == []
    assert pairs([left], [label(7, "kidney_left", "64033007", "Kidney")]) == [("Kidney", "kidney_left", "code")]
    assert pairs([left], [label(7, "kidney_right", "64033007", "Kidney")]) == []
    assert pairs([left, right], [label(3, "Right kidney"), label(4, "Kidney L")]) == [
        ("Kidney", "Kidney L", "name"),
        ("Kidney", "Right kidney", "name"),
    ]
    assert pairs([left], [label(1, "Kidney", "64033007", side=BOTH)]) == []
    assert pairs([left], [label(1, "Kidney")]) == []  # of both, or of one: it is not known


def test_codes_go_before_names() -> None:
    first = [label(1, "Liver", "10200004"), label(2, "Spleen", "78961009")]
    second = [label(1, "Milz", "78961009", "Milz"), label(2, "Spleen", "10200004", "Leber")]
    assert pairs(first, second) == [("Liver", "Spleen", "code"), ("Spleen", "Milz", "code")]


def test_a_code_of_several_structures_or_of_none_in_particular_tells_nothing() -> None:
    first = [label(1, "Lesion 1", "52988006", "Lesion"), label(2, "Lesion 2", "52988006", "Lesion")]
    second = [label(1, "lesion_2", "52988006", "Lesion"), label(2, "lesion_1", "52988006", "Lesion")]
    assert pairs(first, second) == [("Lesion 1", "lesion_1", "name"), ("Lesion 2", "lesion_2", "name")]
    tissue = [label(1, "Tumour", "85756007", "Tissue")], [label(1, "Oedema", "85756007", "Tissue")]
    assert pairs(*tissue) == []
    private = Label(1, "a", type=("7", "99ME", "x")), Label(1, "b", type=("7", "99ME", "y"))  # type: ignore[arg-type]
    assert pairs([private[0]], [private[1]]) == []


def test_names_that_stand_for_several_match_only_letter_for_letter() -> None:
    assert pairs([label(1, "lesion a")], [label(1, "Lesion A"), label(2, "lesion_a")]) == []
    assert pairs([label(1, "lesion a")], [label(1, "Lesion A"), label(2, "lesion a")]) == [
        ("lesion a", "lesion a", "name")
    ]
    assert pairs([label(1, "x")], [label(1, "x"), label(2, "x")]) == []


def test_other_modifiers_keep_structures_apart() -> None:
    anterior, posterior = ("+255549009", ", Anterior"), ("+255551008", ", Posterior")
    first = [label(1, "a", "5366008", "Hippocampus", anterior), label(2, "b", "5366008", "Hippocampus", posterior)]
    second = [label(1, "c", "5366008", "Hippocampus", posterior), label(2, "d", "5366008", "Hippocampus", anterior)]
    assert pairs(first, second) == [("a", "d", "code"), ("b", "c", "code")]


def test_old_scheme_names_of_the_sides_are_known() -> None:
    old = Label(1, "Niere", type=("T-71000+G-A101", "SRT", "Kidney, Left"))  # type: ignore[arg-type]
    assert side_of(old) == {"left"}
    new = Label(1, "Nephros", type=("T-71000+7771000", "SNM3", "Kidney, Left"))  # type: ignore[arg-type]
    assert pairs([old], [new]) == [("Niere", "Nephros", "code")]


@given(st.lists(st.text(max_size=12), max_size=8), st.lists(st.text(max_size=12), max_size=8))
def test_any_names_match_one_to_one_and_alike_from_both_sides(one: list[str], other: list[str]) -> None:
    first, second = ([label(n, name) for n, name in enumerate(names, 1)] for names in (one, other))
    found = match(first, second)
    assert len({a for a, _, _ in found}) == len({b for _, b, _ in found}) == len(found)
    assert sorted((b, a, by) for a, b, by in found) == [tuple(each) for each in match(second, first)]
    for a, b, _ in found:
        assert words_of(one[a]) == words_of(other[b]) and side_of(first[a]) == side_of(second[b])
