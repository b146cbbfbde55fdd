"""Records <-> plain JSON: one reflective codec for every frozen dataclass of the vocabulary.

Integers beyond 2**53 travel as decimal strings (JSON readers lose them otherwise), bytes as ``0x`` hex, enums
as their value, identities (``PositionId``, ``PlanKey``) as their text, a union of records as an object tagged
by class name, and floats that JSON has no word for as ``"inf"``, ``"-inf"``, ``"nan"``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar

from keeper.errors import Undecodable
from keeper.model import Plan, PlanKey, PositionId, Snapshot

T = TypeVar("T")

TAG = "@"
"""Key that names the class of a record inside a union."""
_SAFE_INT = 2**53
_TEXTUAL: tuple[type[PositionId] | type[PlanKey], ...] = (PositionId, PlanKey)


def to_plain(value: object) -> object:
    """``value`` as plain JSON data. Raises TypeError for what has no place in the journal."""
    kind: Any = type(value)
    it: Any = value
    # the commonest types by identity: a snapshot of a thousand positions is a hundred thousand values
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return it if -_SAFE_INT <= it <= _SAFE_INT else str(it)
    if kind is tuple:
        return [to_plain(v) for v in it]
    if kind in _TEXTUAL:
        return str(value)
    if (members := _members(kind)) is not None:
        return {
            name: mark(getattr(it, name)) if mark is not None else to_plain(getattr(it, name))
            for name, mark in members
        }
    if isinstance(value, str | bool):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, int):
        return int(value) if abs(value) <= _SAFE_INT else str(int(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {_key_text(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((to_plain(v) for v in value), key=lambda v: (str(type(v)), v))
    if isinstance(value, Sequence):
        return [to_plain(v) for v in value]
    raise TypeError(f"{type(value).__name__} cannot be journaled")


def from_plain(kind: type[T], plain: object) -> T:
    """Inverse of ``to_plain`` for the annotated type ``kind``. Raises Undecodable when the data does not fit."""
    try:
        return typing.cast(T, _decoder(typing.cast(Any, kind))(plain))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Undecodable(f"stored data is no {getattr(kind, '__name__', kind)}: {error!r}") from error


def dumps(value: object) -> str:
    """Compact JSON text of a record."""
    return json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def loads(kind: type[T], text: str) -> T:
    """Inverse of ``dumps``. Raises Undecodable when the text is no such record."""
    return from_plain(kind, parse(text))


def parse(text: str) -> object:
    """JSON text as plain data. Raises Undecodable when it is not JSON."""
    try:
        return typing.cast(object, json.loads(text))
    except json.JSONDecodeError as error:
        raise Undecodable(f"stored text is not JSON: {error}") from error


def plan_to_json(plan: Plan) -> str:
    """The whole plan as JSON text."""
    return dumps(plan)


def plan_from_json(text: str) -> Plan:
    """Inverse of ``plan_to_json``. Raises Undecodable."""
    return loads(Plan, text)


def snapshot_to_json(snapshot: Snapshot) -> str:
    """The whole snapshot as JSON text, from which a replay starts."""
    return dumps(snapshot)


def snapshot_from_json(text: str) -> Snapshot:
    """Inverse of ``snapshot_to_json``. Raises Undecodable."""
    return loads(Snapshot, text)


@cache
def _members(kind: type) -> tuple[tuple[str, Callable[[Any], object] | None], ...] | None:
    """(field, how to tag it where it holds a union of records) of a record; None for another type."""
    if not dataclasses.is_dataclass(kind):
        return None
    hints = _hints(kind)
    return tuple((f.name, _tagger(hints[f.name])) for f in dataclasses.fields(kind))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@cache
def _tagger(hint: Any) -> Callable[[Any], object] | None:
    """How to encode a field that holds a union of records, or None where no tag is needed."""
    if _is_union(hint):
        if len(_records(hint)) < 2:
            return None
        return lambda v: None if v is None else {TAG: type(v).__name__, **typing.cast(Any, to_plain(v))}
    if typing.get_origin(hint) is tuple:
        marks = [_tagger(a) for a in typing.get_args(hint) if a is not Ellipsis]
        if len(marks) == 1 and (mark := marks[0]) is not None:
            return lambda v: [mark(item) for item in v]
    return None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _records(hint: Any) -> tuple[Any, ...]:
    """The dataclasses among a union's members, identities (which are text) excluded."""
    return tuple(a for a in typing.get_args(hint) if dataclasses.is_dataclass(a) and a not in _TEXTUAL)


def _key_text(key: object) -> str:
    if isinstance(key, str) and not isinstance(key, Enum):
        return key
    plain = to_plain(key)
    if isinstance(plain, list | dict):
        raise TypeError(f"{type(key).__name__} cannot be a key")
    return plain if isinstance(plain, str) else json.dumps(plain)


@cache
def _decoder(hint: Any) -> Callable[[Any], object]:
    """The function that turns plain data into a value of ``hint``."""
    if isinstance(hint, NewType):
        return _decoder(hint.__supertype__)
    if hint in (object, Any):
        return lambda v: v
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin = typing.get_origin(hint)
    if _is_union(hint):
        return _union_decoder(hint)
    if origin is tuple:
        return _tuple_decoder(typing.get_args(hint))
    if origin is frozenset:
        item = _decoder(typing.get_args(hint)[0])
        return lambda v: frozenset(item(x) for x in _array(v))
    if origin is not None and issubclass(origin, Mapping):
        of_key, of_value = (_decoder(a) for a in typing.get_args(hint))
        return lambda v: {of_key(k): of_value(x) for k, x in v.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record_decoder(hint)
    raise TypeError(f"{hint} has no decoder")


def _union_decoder(hint: Any) -> Callable[[Any], object]:
    members = [a for a in typing.get_args(hint) if a is not types.NoneType]
    optional = len(members) < len(typing.get_args(hint))
    tagged = {r.__name__: _decoder(r) for r in _records(hint)} if len(_records(hint)) > 1 else {}
    if not tagged and len(members) != 1:
        raise TypeError(f"{hint} is a union without a tag")
    only = None if tagged else _decoder(members[0])

    def decode(plain: Any) -> object:
        if plain is None:
            if optional:
                return None
            raise ValueError("null where a value is needed")
        if only is not None:
            return only(plain)
        body = {k: v for k, v in plain.items() if k != TAG}
        return tagged[plain[TAG]](body)

    return decode


def _tuple_decoder(args: tuple[Any, ...]) -> Callable[[Any], object]:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _decoder(args[0])
        return lambda v: tuple(item(x) for x in _array(v))
    items = [_decoder(a) for a in args]
    return lambda v: tuple(d(x) for d, x in zip(items, _array(v), strict=True))


def _record_decoder(kind: type) -> Callable[[Any], object]:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = _hints(kind)

    def decode(plain: Any) -> object:
        unknown = set(plain) - set(fields)
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        return kind(**{name: _decoder(hints[name])(value) for name, value in plain.items()})

    return decode


def _array(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        raise ValueError(f"{type(plain).__name__} where a list is needed")
    return plain


def _int(plain: Any) -> int:
    if isinstance(plain, bool) or not isinstance(plain, int | str):
        raise ValueError(f"{plain!r} where an integer is needed")
    return int(plain)


def _float(plain: Any) -> float:
    if isinstance(plain, bool) or not isinstance(plain, int | float | str):
        raise ValueError(f"{plain!r} where a number is needed")
    return float(plain)


def _exact(kind: type) -> Callable[[Any], object]:
    def decode(plain: Any) -> object:
        if not isinstance(plain, kind):
            raise ValueError(f"{plain!r} where {kind.__name__} is needed")
        return plain

    return decode


def _bytes(plain: Any) -> bytes:
    if not isinstance(plain, str) or not plain.startswith("0x"):
        raise ValueError(f"{plain!r} where 0x-hex is needed")
    return bytes.fromhex(plain[2:])


_SCALARS: dict[Any, Callable[[Any], object]] = {
    int: _int,
    float: _float,
    str: _exact(str),
    bool: _exact(bool),
    bytes: _bytes,
    PositionId: PositionId.parse,
    PlanKey: PlanKey.parse,
}
