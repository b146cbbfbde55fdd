"""What an Executor says already of a grant that is wanted: what was set, and what was announced. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.executor.abi import selector
from keeper.executor.grants import Signing, Stands
from keeper.executor.read import BOT_OF, POSITION_OF, asset_call
from keeper.model import Call, Side, Terms, Token
from keeper.words import Words

SETUP_UNTIL = selector("setupUntil()")
READY_AT = selector("readyAt(bytes32)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One position of one Executor, and what a grant would set there."""

    executor: str
    key: str
    bots: tuple[str, ...]
    assets: tuple[tuple[Token, Side], ...]


def calls(asked: Asked) -> tuple[Call, ...]:
    """What must be asked; the order is what ``stands`` expects."""
    at = asked.executor
    return (
        Call(target=at, data=SETUP_UNTIL),
        Call(target=at, data=POSITION_OF + bytes.fromhex(asked.key[2:])),
        *(Call(target=at, data=BOT_OF + bytes.fromhex(bot[2:]).rjust(32, b"\0")) for bot in asked.bots),
        *(asset_call(at, asked.key, token.address, side) for token, side in asked.assets),
    )


def stands(asked: Asked, words: Words, now_s: int) -> Stands:
    """What the answers say. Raises Transient."""
    first = 2 + len(asked.bots)
    found = {
        (token.address, side): tuple(words.uint(first + i, k) for k in (0, 2, 3))
        for i, (token, side) in enumerate(asked.assets)
    }
    return Stands(
        late=now_s > words.uint(0),
        terms=Terms(**{name: words.uint(1, k) for k, name in enumerate(Terms.__slots__)}),
        caps={at: (sell, fund) for at, (receipt, sell, fund) in found.items() if receipt},
        bots={bot: (words.uint(2 + i, 0), words.uint(2 + i, 1)) for i, bot in enumerate(asked.bots)},
    )


def ready_calls(wanted: Sequence[Signing]) -> tuple[Call, ...]:
    """Since when each of them that loosens is announced; the order is what ``ready`` expects."""
    return tuple(
        Call(target=s.call.target, data=READY_AT + bytes.fromhex(s.announcement[2:]))
        for s in wanted
        if s.loosens
    )


def ready(wanted: Sequence[Signing], words: Words) -> Mapping[str, int]:
    """Announcement -> Unix seconds from which its call is taken, 0 where it was not announced. Raises Transient."""
    return {s.announcement: words.uint(i) for i, s in enumerate(s for s in wanted if s.loosens)}
