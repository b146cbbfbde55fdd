"""Everybody who owes on one market: found by its own logs or told by name, read at one block. For commands only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.daemon.camera import Camera
from keeper.daemon.known import Wish, markets
from keeper.daemon.shadow import ShadowBook
from keeper.daemon.wiring import chain_of
from keeper.errors import ConfigError, Transient
from keeper.model import Block, Position, Snapshot, Unreadable
from keeper.seams import LogFilter, Priority, Transport, Venue
from keeper.sockets import Lends

LOGS_S = 20.0
SPAN_MAX = 1_000_000
"""Blocks asked for at once; halved as often as the endpoint asks for less."""
AT_ONCE = 200
"""Accounts read in one batch."""
ACCOUNTS_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which market, and whose accounts: those of the file, or all that its logs since ``first`` name."""

    provider: str | None = None
    market: str | None = None
    first: int = 0
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Everybody with debt, at one block."""

    venue: str
    block: Block
    looked_at: int
    """Accounts, with debt or without."""
    positions: tuple[Position, ...]
    unreadable: tuple[Unreadable, ...]
    snapshot: Snapshot
    """Of the last batch: prices and reserves of the market."""


async def census(asked: Asked, url: str, told: Callable[[str], None]) -> Census:
    """The book of one market; ``told`` hears of progress. Raises ConfigError, Transient."""
    chain = await chain_of(url)
    endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
    try:
        block = await latest(endpoints)
        camera = Camera(chain, endpoints, None)
        wish = Wish(account="0x" + "0" * 40, provider=asked.provider, market=asked.market)
        found, missed = await markets(camera, endpoints, (chain, block), wish)
        if len(found) != 1:
            names = ", ".join(f"{f.settings.kind} {f.settings.provider}" for f in found)
            why = f"{len(found)} markets are known on chain {chain.chain_id} ({names}): name one with --provider"
            raise ConfigError((why, *missed))
        venue = found[0].venue
        accounts = asked.accounts or await borrowers(endpoints, venue, (asked.first, block.number), told)
        return await _read(camera, venue, accounts, block, told)
    finally:
        await endpoints.close()


async def borrowers(
    transport: Transport, venue: Venue, span: tuple[int, int], told: Callable[[str], None]
) -> tuple[str, ...]:
    """Every account that ever borrowed in blocks ``span``, in order of first sight. Raises ConfigError, Transient."""
    where, topic = _events(venue)
    first, last = span
    found: dict[str, None] = {}
    at, width = first, min(SPAN_MAX, last - first + 1)
    while at <= last:
        end = min(last, at + width - 1)
        try:
            logs = await _logs(transport, where, at, end)
        except Transient:
            if width == 1:
                raise
            width = max(1, width // 2)
            continue
        for log in logs:
            topics = log["topics"]
            assert isinstance(topics, Sequence)
            found[str(to_checksum_address("0x" + str(topics[topic])[-40:]))] = None
        told(f"logs up to block {end} of {last}: {len(found)} borrowers")
        if len(found) > ACCOUNTS_MAX:
            raise ConfigError((f"more than {ACCOUNTS_MAX:,} borrowers: begin later with --from-block",))
        at, width = end + 1, min(SPAN_MAX, width * 2)
    return tuple(found)


def _events(venue: Venue) -> tuple[LogFilter, int]:
    """The logs of borrowing, and which topic names the borrower. Raises ConfigError."""
    if isinstance(venue, Lends):
        return venue.borrow_logs()
    raise ConfigError(
        (f"the borrowers of a {venue.kind} market are not told by logs: name them with --accounts",)
    )


async def _logs(transport: Transport, where: LogFilter, first: int, last: int) -> list[dict[str, object]]:
    span = {"fromBlock": hex(first), "toBlock": hex(last)}
    asked = {"address": where.target, "topics": list(where.topics), **span}
    logs = await transport.request("eth_getLogs", [asked], priority=Priority.PAGE, timeout_s=LOGS_S)
    if not isinstance(logs, list) or not all(isinstance(log, dict) and "topics" in log for log in logs):
        raise Transient(f"eth_getLogs answered {type(logs).__name__}, not logs")
    return logs


async def _read(
    camera: Camera, venue: Venue, accounts: Sequence[str], block: Block, told: Callable[[str], None]
) -> Census:
    positions, unreadable, snapshot = list[Position](), list[Unreadable](), None
    for start in range(0, max(1, len(accounts)), AT_ONCE):
        some = tuple(accounts[start : start + AT_ONCE])
        snapshot = await camera.photograph({venue.id: venue}, {venue.id: some}, block, ShadowBook(), {})
        positions += [p for p in snapshot.positions if p.debt]
        unreadable += snapshot.unreadable
        told(f"read {min(start + AT_ONCE, len(accounts))} of {len(accounts)}: {len(positions)} owe something")
    assert snapshot is not None  # one batch at least, for the prices
    return Census(
        venue=venue.id,
        block=block,
        looked_at=len(accounts),
        positions=tuple(positions),
        unreadable=tuple(unreadable),
        snapshot=snapshot,
    )
