"""Pure rooms asked before their turn: the same question has the same answer, and is not worked out twice.

See docs/decisions/triage.md. An answer is taken only for arguments that are equal to those it was given for; whatever
moved in between (a balance, a price, a memory, an intent) is another question, and is asked as if nobody had before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ParamSpec, Protocol, TypeVar, cast

Asked = ParamSpec("Asked")
Told = TypeVar("Told")


class Asks(Protocol):
    """How a pure room is asked."""

    def __call__(
        self,
        what: Hashable,
        room: Callable[Asked, Told],
        /,
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Told: ...


def plainly(_: Hashable, room: Callable[Asked, Told], /, *args: Asked.args, **kwargs: Asked.kwargs) -> Told:
    """The room itself."""
    return room(*args, **kwargs)


class Foresight:
    """What pure rooms said ahead, of one block."""

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[object, object, object]] = {}
        """What was asked about -> (the room and its arguments, its answer)."""

    def forget(self) -> None:
        """Another block begins."""
        self._said.clear()

    def ahead(
        self, what: Hashable, room: Callable[Asked, Told], /, *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Told:
        """Ask, and keep the answer; one for each ``what``. ``room`` must be pure."""
        told = room(*args, **kwargs)
        self._said[what] = (room, (args, kwargs), told)
        return told

    def now(
        self, what: Hashable, room: Callable[Asked, Told], /, *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Told:
        """The answer; the one that was kept, where exactly this was asked ahead."""
        said = self._said.get(what)
        if said is not None and said[0] is room and said[1] == (args, kwargs):
            return cast(Told, said[2])
        return room(*args, **kwargs)
