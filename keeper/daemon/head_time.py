"""A chain's time against this machine's: what heads of an hour ago show is judged, and never told as what is.

A node that is still syncing, or fell behind with all others, brings heads that follow each other as they should; only
their own time tells that they are old. The same is seen where this machine's clock runs ahead: nobody here can tell
which of the two is wrong, so both are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.config import ChainSettings
from keeper.errors import Rejected, Transient
from keeper.model import Block
from keeper.seams import Clock, Severity
from keeper.watchdog import fresh_limit_s

AHEAD_S_MAX = 30.0
"""No honest block is of the future by more: this machine's clock is behind."""
AGAIN_S = 3_600.0
ASK_S = 1.0
ASKS_MAX = 3
"""So often are nodes that do not answer asked what they are, while a head may wait for it."""
OWN_TIME = ("anvil/", "hardhatnetwork/", "ganache")
"""Development nodes, as they name themselves: they make their chain's time, and no clock can be held against it."""


class Asked(Protocol):
    """Endpoints, each of which answers for itself."""

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]: ...


class Says(Protocol):
    """The alarms of a chain, as far as a warning is repeated."""

    def raise_alarm(
        self, severity: Severity, code: str, subject: str, why: str, again_s: float | None = None
    ) -> None: ...
    def clear(self, code: str, subject: str) -> None: ...


class _Nobody:
    """Hears nothing: what is found is read."""

    def raise_alarm(self, *_: object) -> None:
        return None

    def clear(self, *_: object) -> None:
        return None


async def look(chain: ChainSettings, endpoints: Endpoints, clock: Clock) -> tuple[str, str]:
    """(why the newest head of now is old, why it lies ahead of this machine's clock); "" where it does not.

    For commands that look once. Raises Transient.
    """
    block = await latest(endpoints)
    found = HeadTime(chain, _Nobody())
    await found.see(block, clock.now_s() - block.timestamp_s, endpoints)
    return found.old, found.ahead


class HeadTime:
    """How far the newest head of one chain lies from this machine's clock, and what is to be said of it."""

    def __init__(self, chain: ChainSettings, alarms: Says) -> None:
        self.old = ""
        """Why what the newest head shows may be long past; empty while it is of now."""
        self.ahead = ""
        """Why this machine's clock must be behind; empty while no head says so."""
        self._chain = chain
        self._alarms = alarms
        self._limit_s = fresh_limit_s(chain.block_time_s)
        self._own: bool | None = None
        """Whether the nodes make time themselves; None while nobody has asked, or none has answered."""
        self._asks = 0

    def told(self) -> str:
        """``old``."""
        return self.old

    async def see(self, block: Block, behind_s: float, endpoints: Asked | None) -> None:
        """A head came whose own time lay ``behind_s`` behind this machine's (below 0: ahead).

        ``endpoints``: asked what kind of nodes they are, once, when a head lies off; never otherwise.
        """
        if not -AHEAD_S_MAX <= behind_s <= self._limit_s and endpoints is not None:
            await self._ask(endpoints)
        own = bool(self._own)
        self.old = "" if own or behind_s <= self._limit_s else self._told_old(block, behind_s)
        self.ahead = "" if own or behind_s >= -AHEAD_S_MAX else self._told_ahead(block, -behind_s)
        if self.ahead:
            self._alarms.raise_alarm(Severity.WARNING, "clock_skew", self._chain.name, self.ahead, AGAIN_S)
        else:
            self._alarms.clear("clock_skew", self._chain.name)

    def _told_old(self, block: Block, behind_s: float) -> str:
        return (
            f"the newest head ({block.number}) is {behind_s:.0f} s old by this machine's clock, {self._limit_s:.0f} "
            "s are allowed: all endpoints are behind or still syncing (compare the block with an explorer, add "
            "another endpoint), or this machine's clock is wrong (compare it with NTP: `timedatectl`)"
        )

    def _told_ahead(self, block: Block, ahead_s: float) -> str:
        return (
            f"the newest head ({block.number}) is {ahead_s:.0f} s ahead of this machine's clock: the clock is "
            "behind, compare it with NTP (`timedatectl`); decisions follow the chain's time and go on"
        )

    async def _ask(self, endpoints: Asked) -> None:
        """Development nodes only where every one that answers says so: a provider is believed about nothing more than
        the age that it could make up as well."""
        if self._own is not None or self._asks >= ASKS_MAX:
            return
        self._asks += 1
        try:
            told = await endpoints.request_each(
                "web3_clientVersion", [], len(self._chain.endpoints), timeout_s=ASK_S, wait_s=ASK_S
            )
        except Transient:
            return
        # a refusal is an answer: no development node refuses this
        said = [t for t in told if isinstance(t, Rejected) or not isinstance(t, Exception)]
        if said:
            self._own = all(isinstance(t, str) and t.lower().startswith(OWN_TIME) for t in said)
