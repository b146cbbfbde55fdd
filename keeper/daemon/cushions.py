"""What Executors must keep because their pool rounds half up: said before a sale lacks it."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.config import Settings
from keeper.daemon.wiring import Finding, Site
from keeper.executor.load import Read
from keeper.executor.read import asset_call
from keeper.executor.seat import padded
from keeper.model import Side
from keeper.seams import Severity, Venue
from keeper.venues.cushion import Cushion, Cushioned


async def findings(site: Site, settings: Settings) -> list[Finding]:
    """Every position whose Executor sells out of a token that it keeps nothing of. Raises Transient."""
    read = site.camera.reader(site.block)
    executors = {p.label: p.executor for p in settings.positions}
    found: list[Finding] = []
    for guarded in site.guarded:
        executor = executors.get(guarded.label)
        if executor is None:
            continue
        why = without(await lacking(site.venues[guarded.venue_id], executor, read))
        if why:
            found.append(
                Finding(
                    severity=Severity.WARNING,
                    code="no_cushion",
                    subject=guarded.label,
                    why=f"the executor: {why}",
                )
            )
    return found


async def lacking(venue: Venue, executor: str, read: Read) -> tuple[Cushion, ...]:
    """Of the venue's tokens those that the Executor sells and keeps nothing of. Raises Transient."""
    found = venue.cushions(executor) if isinstance(venue, Cushioned) else ()
    if not found:
        return ()
    key = padded(venue.spender)
    asked = tuple(c.asks for c in found)
    listed = tuple(asset_call(executor, key, c.token.address, Side.COLLATERAL) for c in found)
    words = await read((*asked, *listed))
    n = len(found)
    # the third word of what is listed is what may be sold
    return tuple(c for i, c in enumerate(found) if not words.uint(i) and words.uint(n + i, 2))


def without(missing: Sequence[Cushion]) -> str:
    """What lacks, in words; empty where nothing does."""
    if not missing:
        return ""
    named = " and ".join(f"a{c.token.symbol} ({c.receipt})" for c in missing)
    return (
        f"it keeps nothing of {named}: this pool rounds half up, and some sales would lack the last unit; "
        "`keeper grant --executor` prints what gives it, anybody who holds some may send it"
    )
