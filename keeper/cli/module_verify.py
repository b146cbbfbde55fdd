"""Of ``keeper executor verify``: the modules of the Safes that own the configured Executors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.executor.load import Read
    from keeper.executor.renewal import Enabled, Listed, Renewal
    from keeper.seams import Transport

HEADERS = ("label", "module", "code", "executor", "until", "hours", "renews", "verdict")
ANOTHER = "another's: it may send whatever its code says"
"""Of a module that does not say that it renews: no finding, for Safes have modules for other ends."""


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
                rows += await _of((p.label, owner, own), (endpoints, block.number), read)
        finally:
            await endpoints.close()
    return rows


def findings(rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether one of them says that it renews and is not what it says, adds up, or could not be read."""
    return any(row[-1] not in ("as committed", ANOTHER) for row in rows)


async def _of(
    who: tuple[str, str, frozenset[str]], at: tuple[Transport, int], read: Read
) -> list[tuple[str, ...]]:
    """Rows of one owner; ``who``: label, owner, his Executors in lower case. Raises Transient."""
    from keeper.cli.owner_module import enabled
    from keeper.executor import verify
    from keeper.executor.renewal import NAME

    (label, owner, executors), (transport, number) = who, at

    async def code(address: str) -> bytes:
        return bytes.fromhex(str(await transport.request("eth_getCode", [address, hex(number)]) or "0x")[2:])

    found = await enabled(owner, read, code)
    unread = [(label, *("-",) * 6, found.unread)] if found.unread and found.safe else []
    if not any(row.ours for row in found.rows):
        return [*(_row(label, row, "") for row in found.rows), *unread]
    factory = verify.differs(
        await code(verify.factory_address(NAME)), verify.artifact(verify.FACTORY), "the factory"
    )
    unproven = f"UNPROVEN: the factory is not known on this chain ({factory})" if factory else ""
    return [
        *(
            _row(label, row, unproven or _elsewhere(row.terms, owner, executors) or adds_up(row, found))
            for row in found.rows
        ),
        *unread,
    ]


def _elsewhere(terms: Renewal | None, owner: str, executors: frozenset[str]) -> str:
    """Whose allowances it renews, where those are not this owner's to an Executor of his."""
    if terms is None or (terms.safe.lower() == owner.lower() and terms.executor.lower() in executors):
        return ""
    return f"it renews what {terms.safe} allows {terms.executor}"


def adds_up(row: Enabled, found: Listed) -> str:
    """With which modules it renews the same, so that more can be taken than each says; empty without any."""
    for executor, token, modules in found.adding_up():
        if row.module in modules:
            others = " and ".join(m for m in modules if m != row.module)
            return f"ADDS UP: {others} renews {token} for {executor} too; disable all but one of them"
    return ""


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
