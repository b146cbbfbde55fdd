"""Alarms that stand when a loop is made anew by a reload: what it takes for its own it also clears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from keeper.model import Entry, PositionId
from keeper.notify.alarm import Standing

ENTRIES_MAX = 50
"""Newest diary entries of a position in which the code of a refusal is looked for."""


@runtime_checkable
class Stands(Protocol):
    """Alarms that can be asked which of them stand."""

    @property
    def standing(self) -> tuple[Standing, ...]: ...


class Diary(Protocol):
    """What the journal tells of earlier blocks."""

    def entries(
        self, kind: str | None = None, subject: str | None = None, *, limit: int = 1000, newest: bool = False
    ) -> tuple[Entry, ...]: ...


def subjects(alarms: object, code: str) -> frozenset[str]:
    """Of whom ``code`` was raised and is not cleared."""
    return frozenset(whys(alarms, code))


def whys(alarms: object, code: str) -> dict[str, str]:
    """By subject what was said last of each ``code`` that was raised and is not cleared."""
    standing = alarms.standing if isinstance(alarms, Stands) else ()
    return {s.subject: s.why for s in standing if s.code == code}


def refusals(alarms: object, diary: Diary, ids: Iterable[PositionId]) -> dict[PositionId, frozenset[str]]:
    """By position the codes that stand as alarms and that the diary knows as refusals or rejections of it."""
    by_subject: dict[str, set[str]] = {}
    for s in alarms.standing if isinstance(alarms, Stands) else ():
        by_subject.setdefault(s.subject, set()).add(s.code)
    if not by_subject:
        return {}
    found = {
        id: frozenset(by_subject.get(str(id), set()) & _refused(diary, id))
        for id in ids
        if str(id) in by_subject
    }
    return {id: codes for id, codes in found.items() if codes}


def _refused(diary: Diary, id: PositionId) -> set[str]:
    told = diary.entries("refusal", str(id), limit=ENTRIES_MAX, newest=True)
    made = diary.entries("decision", str(id), limit=ENTRIES_MAX, newest=True)
    return {str(e.data.get("code")) for e in told} | {code for e in made for code in _rejected(e.data)}


def _rejected(data: Mapping[str, object]) -> Iterable[str]:
    rejected = data.get("rejected")
    for row in rejected if isinstance(rejected, Sequence) else ():
        if isinstance(row, Mapping):
            yield str(row.get("code"))
