"""What a venue itself says of an account, asked past our reader and its arithmetic, beside what the reader says.

Each view is its own ``eth_call`` pinned to one block's hash; where a contract leaves interest out of its view, its
own accrual runs first, in the same call. Nothing is ever sent. Which views, a kind's folder says (``views.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from keeper.errors import Rejected, Unread
from keeper.model import Block, Call, Holding, Position
from keeper.seams import Priority, Transport, Venue
from keeper.units import UINT256_MAX, WAD
from keeper.venues import registry

TIMEOUT_S = 10.0
AGGREGATE = keccak(text="aggregate3((address,bool,bytes)[])")[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that both sides say: an integer, or a verdict."""

    what: str
    ours: int | bool
    venue: int | bool

    @property
    def equal(self) -> bool:
        """To the last unit."""
        return self.ours == self.venue


class Asking:
    """Questions to one chain, all at the same block."""

    def __init__(self, transport: Transport, multicall: str, block: Block) -> None:
        self._transport = transport
        self._multicall = multicall
        self.block = block

    async def view(self, name: str, call: Call, words: int) -> tuple[int, ...]:
        """The first ``words`` words of one view's answer. Raises Unread, Transient."""
        ok, answer = await self.attempt(call)
        if not ok:
            raise Unread(f"the venue's {name} failed: {reason(answer)}")
        return words_of(name, answer, words)

    async def attempt(self, call: Call) -> tuple[bool, bytes]:
        """Whether the call would succeed, and its answer or why not. Raises Transient."""
        try:
            told = await self._call(call.target, call.data)
        except Rejected as error:
            data = bytes.fromhex((error.data or "0x")[2:])
            return False, data or error.message.encode()
        return True, told

    async def together(self, calls: Sequence[Call]) -> list[tuple[bool, bytes]]:
        """Calls one after another in one ``eth_call``: each sees what those before it did. Raises Transient."""
        rows = [(c.target, True, c.data) for c in calls]
        told = await self._call(self._multicall, AGGREGATE + encode(["(address,bool,bytes)[]"], [rows]))
        try:
            (answers,) = decode(["(bool,bytes)[]"], told)
        except DecodingError as error:
            raise Unread(f"the multicall's answer cannot be read: {error}") from error
        if len(answers) != len(calls):
            raise Unread(f"the multicall answered {len(answers)} of {len(calls)} calls")
        return [(bool(ok), bytes(data)) for ok, data in answers]

    async def _call(self, to: str, data: bytes) -> bytes:
        at = {"blockHash": self.block.hash, "requireCanonical": True}
        asked = {"to": to, "data": f"0x{data.hex()}"}
        told = await self._transport.request(
            "eth_call", [asked, at], priority=Priority.PAGE, timeout_s=TIMEOUT_S
        )
        if not isinstance(told, str) or not told.startswith("0x"):
            raise Unread("eth_call answered something that is not hex")
        return bytes.fromhex(told[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What the reader found."""

    given: tuple[Holding, ...]
    owed: tuple[Holding, ...]
    health_wad: int

    @property
    def debt_units(self) -> int:
        """Everything owed, whatever the token."""
        return sum(h.amount.units for h in self.owed)

    @property
    def low(self) -> bool:
        """Liquidatable, as health says."""
        return bool(self.owed) and self.health_wad < WAD

    def units(self, token: str) -> int:
        """Collateral of one token that is not lent."""
        return sum(h.amount.units for h in self.given if h.amount.token.address == token)

    @staticmethod
    def of(found: Position | None) -> Ours:
        """Without a position of ours its numbers are nothing."""
        health_wad = found.health_wad if found is not None else UINT256_MAX
        return Ours(
            given=found.collateral if found is not None else (),
            owed=found.debt if found is not None else (),
            health_wad=health_wad if health_wad is not None else -1,
        )


async def facts(venue: Venue, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """Both sides, fact by fact. Raises Unread, Transient."""
    views = registry.part(venue.kind, "views")
    if views is None:
        raise Unread(f"nothing is known of what {venue.kind} says of itself")
    told: tuple[Fact, ...] = await views.facts(venue, account, found, asking)
    return told


def need(name: str, answer: tuple[bool, bytes]) -> bytes:
    """The answer of a view that must not fail. Raises Unread."""
    ok, data = answer
    if not ok:
        raise Unread(f"the venue's {name} failed: {reason(data)}")
    return data


def words_of(name: str, answer: bytes, n: int) -> tuple[int, ...]:
    """The first ``n`` words; decoded here by itself, because our own decoding is what is on trial."""
    if len(answer) < 32 * n:
        raise Unread(f"the venue's {name} answered {len(answer)} bytes, {32 * n} are needed")
    return tuple(int.from_bytes(answer[32 * i : 32 * i + 32]) for i in range(n))


def reason(answer: bytes) -> str:
    """A revert's reason as a person reads it."""
    text = "".join(chr(b) if 32 <= b < 127 else " " for b in answer)
    return " ".join(text.split()) or "no reason given"
