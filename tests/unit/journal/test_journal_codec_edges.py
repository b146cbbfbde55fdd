"""The edges of the journal's JSON: what is written how, and every shape that is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

import pytest

from keeper.errors import Broken
from keeper.journal import codec
from keeper.model import Entry, IntentState
from tests.plans import plan, position_id, snapshot

pytestmark = pytest.mark.unit


class Colour(StrEnum):
    RED = "red"


class Rank(IntEnum):
    LOW = 1


Wei = NewType("Wei", int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cat:
    """One of two."""

    lives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dog:
    """The other."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Every kind of field."""

    one: Cat | Dog | None
    many: tuple[Cat | Dog, ...]
    pair: tuple[int, str]
    wei: Wei
    colour: Colour
    set_of: frozenset[str]
    by: Mapping[int, float]
    maybe: int | None
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """Fields that no reader could tell apart, or that none knows."""

    either: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strange:
    """A kind that none knows."""

    of: complex


def house(**changes: object) -> House:
    """A house that holds everything."""
    fields = {
        "one": Dog(name="rex"),
        "many": (Cat(lives=9), Dog(name="ada")),
        "pair": (2**53 + 1, "x"),
        "wei": Wei(-(2**53) - 1),
        "colour": Colour.RED,
        "set_of": frozenset({"b", "a"}),
        "by": {7: math.inf},
        "maybe": None,
        "raw": b"\x00\xff",
    }
    return House(**{**fields, **changes})  # type: ignore[arg-type]


PLAIN = {
    "one": {"@": "Dog", "name": "rex"},
    "many": [{"@": "Cat", "lives": 9}, {"@": "Dog", "name": "ada"}],
    "pair": [str(2**53 + 1), "x"],
    "wei": str(-(2**53) - 1),
    "colour": "red",
    "set_of": ["a", "b"],
    "by": {"7": "inf"},
    "maybe": None,
    "raw": "0x00ff",
}


def test_record__when_written__then_exactly_this_json_and_back() -> None:
    assert codec.to_plain(house()) == PLAIN
    assert codec.from_plain(House, PLAIN) == house()
    assert codec.from_plain(House, {**PLAIN, "one": None}) == house(one=None)


@pytest.mark.parametrize("value", [2**53, -(2**53)])
def test_integer__when_a_double_holds_it__then_it_stays_a_number(value: int) -> None:
    assert codec.to_plain(value) == value
    assert codec.to_plain(value + (1 if value > 0 else -1)) == str(value + (1 if value > 0 else -1))


@pytest.mark.parametrize(
    "value, plain",
    [
        (Rank.LOW, 1),
        (IntentState.SENT, "SENT"),
        (1.5, 1.5),
        (-math.inf, "-inf"),
        ([1, (2,)], [1, [2]]),
        ({Colour.RED: 1, position_id(): 2, 3: True}, {"red": 1, str(position_id()): 2, "3": True}),
        ({3, 1, 2}, [1, 2, 3]),
        (True, True),
        (None, None),
    ],
)
def test_value__when_written__then_as_json_has_it(value: object, plain: object) -> None:
    assert codec.to_plain(value) == plain


def test_large_rank__when_an_enum_of_integers__then_text_beyond_a_double() -> None:
    class Huge(IntEnum):
        TOP = 2**60

    assert codec.to_plain(Huge.TOP) == str(2**60)
    assert codec.to_plain(Rank.LOW) == 1


@pytest.mark.parametrize("value", [object(), 1j, {(1, 2): 3}])
def test_value__when_it_has_no_place_in_json__then_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be"):
        codec.to_plain(value)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("one", {"@": "Fish", "name": "x"}),
        ("one", {"name": "rex"}),
        ("many", {"@": "Cat"}),
        ("many", [None]),
        ("pair", [1]),
        ("pair", [1, "x", 2]),
        ("wei", True),
        ("wei", 1.0),
        ("wei", "one"),
        ("colour", "blue"),
        ("set_of", "ab"),
        ("by", {"7": True}),
        ("by", {"7": None}),
        ("by", []),
        ("maybe", "x"),
        ("raw", "00ff"),
        ("raw", "0xzz"),
        ("raw", 5),
    ],
)
def test_record__when_a_field_is_of_another_shape__then_broken_names_the_record(
    name: str, wrong: object
) -> None:
    with pytest.raises(Broken, match="stored data is no House"):
        codec.from_plain(House, {**PLAIN, name: wrong})


def test_record__when_a_field_is_missing_or_unknown__then_broken() -> None:
    for plain in ({}, {**PLAIN, "more": 1}, [], None, 5):
        with pytest.raises(Broken):
            codec.from_plain(House, plain)


@pytest.mark.parametrize(
    "kind, name, words", [(Odd, "either", "union without a tag"), (Strange, "of", "has no decoder")]
)
def test_kind__when_no_reader_could_tell__then_refused(kind: type, name: str, words: str) -> None:
    with pytest.raises(Broken, match=words):
        codec.from_plain(kind, {name: 1})


def test_null__when_a_value_is_needed__then_broken() -> None:
    with pytest.raises(Broken, match="null where a value is needed"):
        codec.from_plain(House, {**PLAIN, "many": [None]})


def test_texts__when_of_whole_records__then_themselves_again() -> None:
    assert codec.plan_from_json(codec.plan_to_json(plan())) == plan()
    assert codec.snapshot_from_json(codec.snapshot_to_json(snapshot())) == snapshot()
    entry = Entry(kind="tick", chain_id=1, block_number=2, subject="", why="ä", data={"a": "ü"})
    assert "ü" in codec.dumps(entry)
    assert " " not in codec.dumps(entry)
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.json.dumps(math.nan, allow_nan=False)
    with pytest.raises(Broken, match="not JSON"):
        codec.parse("{")
