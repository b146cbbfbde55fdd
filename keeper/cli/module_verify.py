"""Of ``keeper executor verify``: the modules of the Safes that own the configured Executors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.executor.load import Read
    from keeper.executor.renewal import Enabled, Listed, Renewal
    from keeper.model import Block
    from keeper.seams import Transport

HEADERS = ("label", "module", "code", "executor", "until", "hours", "renews", "verdict")
ANOTHER = "another's: it may send whatever its code says"
"""Of a module that does not say that it renews: no finding, for Safes have modules for other ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """One position that an Executor guards; addresses of Executors in lower case."""

    label: str
    owner: str
    executor: str
    own: frozenset[str]
    """Every Executor of that owner that is configured on the chain."""


async def modules(settings: Settings) -> list[tuple[str, ...]]:
    """One row a module of an owner's. Raises ConfigError, Transient."""
    from keeper.chain.endpoints import Endpoints
    from keeper.chain.head import latest
    from keeper.clock import SystemClock
    from keeper.daemon.camera import Camera
    from keeper.daemon.desks import seat_of

    rows: list[tuple[str, ...]] = []
    for chain in settings.chains:
        named = [p for p in settings.positions if p.executor and settings.venue(p.venue).chain == chain.name]
        if not named:
            continue
        endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
        try:
            block = await latest(endpoints)
            read = Camera(chain, endpoints, None).reader(block)
            owners = list[str]()
            for p in named:
                seat = await seat_of(p, settings.venue(p.venue), chain.chain_id, read)
                owners.append((seat.owner if seat is not None else "") or p.account)
            for p, owner in zip(named, owners, strict=True):
                # a Safe may own an Executor of each kind: a module for any of them is its own
                own = frozenset(
                    (q.executor or "").lower()
                    for q, its in zip(named, owners, strict=True)
                    if its.lower() == owner.lower()
                )
                who = Who(label=p.label, owner=owner, executor=(p.executor or "").lower(), own=own)
                rows += await _of(who, (endpoints, block), read)
        finally:
            await endpoints.close()
    return rows


def findings(rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether one of them says that it renews and is not what it says, adds up, or could not be read."""
    return any(row[-1] not in ("as committed", ANOTHER) for row in rows)


async def _of(who: Who, at: tuple[Transport, Block], read: Read) -> list[tuple[str, ...]]:
    """Rows of one position; a module for another Executor of the same owner is that one's. Raises Transient."""
    from keeper.cli.owner_module import enabled
    from keeper.executor import verify
    from keeper.executor.renewal import NAME

    transport, block = at

    async def code(address: str) -> bytes:
        return bytes.fromhex(
            str(await transport.request("eth_getCode", [address, hex(block.number)]) or "0x")[2:]
        )

    found = await enabled(who.owner, read, code)
    unread = [(who.label, *("-",) * 6, found.unread)] if found.unread and found.safe else []
    here = [r for r in found.rows if r.feeds(who.executor) or not any(r.feeds(e) for e in who.own)]
    if not any(row.ours for row in here):
        return [*(_row(who.label, row, "") for row in here), *unread]
    factory = verify.differs(
        await code(verify.factory_address(NAME)), verify.artifact(verify.FACTORY), "the factory"
    )
    unproven = f"UNPROVEN: the factory is not known on this chain ({factory})" if factory else ""
    return [
        *(
            _row(
                who.label,
                row,
                unproven
                or _elsewhere(row.terms, who.owner, who.own)
                or adds_up(row, found, block.timestamp_s),
            )
            for row in here
        ),
        *unread,
    ]


def _elsewhere(terms: Renewal | None, owner: str, executors: frozenset[str]) -> str:
    """Whose allowances it renews, where those are not this owner's to an Executor of his."""
    if terms is None or (terms.safe.lower() == owner.lower() and terms.executor.lower() in executors):
        return ""
    unnamed = ", which no position here names" if terms.safe.lower() == owner.lower() else ""
    return f"it renews what {terms.safe} allows {terms.executor}{unnamed}"


def adds_up(row: Enabled, found: Listed, now_s: int) -> str:
    """With which modules it renews the same, so that more can be taken than each says; empty without any."""
    said = [
        f"{' and '.join(m for m in modules if m != row.module)} renews {token} for {executor} too"
        for executor, token, modules in found.adding_up(now_s)
        if row.module in modules
    ]
    return f"ADDS UP: {', '.join(said)}; disable all but one of them" if said else ""


def _row(label: str, found: Enabled, wrong: str) -> tuple[str, ...]:
    from keeper.executor.grants import day
    from keeper.executor.renewal import HOUR_S

    terms = found.terms
    if not found.ours:
        return (label, found.module, "-", "-", "-", "-", "-", ANOTHER)
    facts = ("-",) * 4
    if terms is not None:
        renews = ", ".join(f"{units} of {token}" for token, units in terms.lines)
        facts = (terms.executor, day(terms.until_s), f"{terms.period_s / HOUR_S:g}", renews)
    verdict = found.wrong or wrong or "as committed"
    return (
        label,
        found.module,
        "the committed module's" if not found.wrong else found.wrong,
        *facts,
        verdict,
    )
