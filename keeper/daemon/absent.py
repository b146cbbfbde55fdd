"""A venue that cannot be loaded at a restart: its positions are UNKNOWN, the chain's other venues are guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from eth_utils.address import is_address, to_checksum_address

from keeper.config import ChainSettings, VenueSettings
from keeper.daemon.loop import ChainLoop
from keeper.errors import ConfigError, Transient, Unread
from keeper.model import (
    Block,
    Call,
    Intent,
    Means,
    Position,
    PositionId,
    Refusal,
    Snapshot,
    Step,
    Token,
)
from keeper.notify.alarm import Alarms
from keeper.seams import Clock, Effect, LiquidationRule, LogFilter, Reading, Seen, Severity, Shadow
from keeper.words import Words

CODE = "market_changed"
AGAIN_S = 15.0
Load = Callable[[Block], Awaitable[object]]
"""All that a venue must pass to be there at a block. Raises ConfigError, Transient."""


class Absent:
    """Stands where the venue would: says of each position why it cannot be read, and does nothing."""

    def __init__(self, settings: VenueSettings, load: Load, chain_id: int, why: str) -> None:
        """``load``: by which it was found not to be there."""
        self.settings = settings
        self.why = why
        self._load = load
        named = settings.provider if settings.market is None else settings.market
        # as the venue itself names its positions where an address does; what was known of them is found again
        self._key = to_checksum_address(named) if is_address(named) else named
        self._chain_id = chain_id

    @property
    def id(self) -> str:
        """``kind:chain_id:key``."""
        return f"{self.settings.kind}:{self._chain_id}:{self._key}"

    @property
    def kind(self) -> str:
        """None that any room has a rule for: nothing may be signed for it."""
        return "absent"

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Nothing is known to be listed."""
        return ()

    @property
    def spender(self) -> str:
        """Nobody may pull anything."""
        return ""

    @property
    def rules(self) -> LiquidationRule:
        """Unknown."""
        self._refuse()

    def position_id(self, account: str) -> PositionId:
        """The identity of ``account``'s position here."""
        return PositionId(venue=self.settings.kind, chain_id=self._chain_id, account=account, key=self._key)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        """Nothing is asked: raises Unread, which makes each of them UNKNOWN."""
        self._refuse()

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """Raises Unread."""
        self._refuse()

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Nothing can be done."""
        return Refusal(who="venue", code=CODE, why=self.why)

    def encode(self, step: Step, position: Position) -> Call:
        """Raises Unread."""
        self._refuse()

    def gas(self, step: Step) -> int:
        """Raises Unread."""
        self._refuse()

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        """Raises Unread."""
        self._refuse()

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        """Raises Unread."""
        self._refuse()

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """Raises Unread."""
        self._refuse()

    def liquidation_logs(self, account: str) -> LogFilter:
        """Raises Unread."""
        self._refuse()

    async def there(self, block: Block) -> bool:
        """Whether it could be loaded now; else ``why`` is today's. Raises Transient."""
        try:
            await self._load(block)
        except ConfigError as e:
            self.why = "; ".join(e.problems)
            return False
        return True

    def _refuse(self) -> NoReturn:
        raise Unread(self.why)


class Having(Protocol):
    """A chain's daemon, as far as its venues go."""

    chain: ChainSettings
    alarms: Alarms
    loop: ChainLoop | None


async def look_for(
    chains: Callable[[], Sequence[Having]], renew: Callable[[int], None], clock: Clock
) -> None:
    """Try to load what is absent, and have its chain made anew when that succeeds; say so meanwhile.

    ``renew``: the chain at that place, once its lane is empty.
    """
    told: dict[tuple[int, str], Having] = {}
    while True:
        seen = set[tuple[int, str]]()
        for i, chain in enumerate(chains()):
            for absent in _absent(chain):
                seen.add((i, absent.id))
                told[i, absent.id] = chain
                if await _tried(chain, absent):
                    renew(i)
        for i, id in told.keys() - seen:
            if chains()[i].loop is not None:
                chains()[i].alarms.clear(CODE, id)
                del told[i, id]
        await clock.sleep(AGAIN_S if seen else 1.0)


def _absent(chain: Having) -> tuple[Absent, ...]:
    venues = () if chain.loop is None else tuple(chain.loop.venues.values())
    return tuple(v for v in venues if isinstance(v, Absent))


async def _tried(chain: Having, absent: Absent) -> bool:
    """Whether it is there again; alarmed when not."""
    there = False
    if chain.loop is not None and chain.loop.last is not None:
        try:
            async with asyncio.timeout(AGAIN_S):
                there = await absent.there(chain.loop.last.block)
        except (Transient, TimeoutError):
            there = False
    if not there:
        why = f"{absent.why}; its positions are UNKNOWN, it is tried again every {AGAIN_S:.0f} s"
        chain.alarms.raise_alarm(Severity.CRITICAL, CODE, absent.id, why)
    return there
