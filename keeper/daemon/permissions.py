"""Whom owners let act on guarded positions: named before somebody else's key, or code, is what liquidates them."""

from __future__ import annotations

from keeper.config import Settings
from keeper.daemon.facts import Guarded
from keeper.daemon.known import search
from keeper.daemon.wiring import Finding, Site
from keeper.errors import Transient
from keeper.seams import Delegates, Severity


async def findings(site: Site, settings: Settings) -> list[Finding]:
    """Everybody but the position's own Executor who may act for its owner, and where that could not be asked."""
    executors = {p.label: p.executor for p in settings.positions}
    found: list[Finding] = []
    for guarded in site.guarded:
        venue = site.venues[guarded.venue_id]
        if not isinstance(venue, Delegates):
            continue
        try:
            logs = await search(site.endpoints, venue.permission_logs(guarded.id.account), site.block.number)
        except Transient as error:
            why = (
                f"whom the owner authorised on {venue.kind} is not known, the endpoint does not tell: {error}"
            )
            found.append(_said(guarded, "permissions_unread", why))
            continue
        found += _lines(site, settings, guarded)
        own = (executors.get(guarded.label) or "").lower()
        for who in venue.permitted(logs):
            if who.lower() != own:
                why = (
                    f"the owner lets {who} withdraw and borrow for it on {venue.kind}, in every market: known only "
                    "to the owner whether that is wanted; if not, revoke it there"
                )
                found.append(_said(guarded, "foreign_authorization", why))
    return found


def _lines(site: Site, settings: Settings, guarded: Guarded) -> list[Finding]:
    """Stricter lines that count though the configuration names none of them."""
    now = site.settings[guarded.venue_id]
    named = {a.lower() for a in settings.venue(now.name).pre_liquidations}
    return [
        Finding(
            severity=Severity.INFO,
            code="line_found",
            subject=guarded.label,
            why=f"{a}, which the owner authorised, may take a part above its own line (PreLiquidation): that line "
            f"counts; name it under venues.{now.name}.pre_liquidations, for endpoints that do not search logs",
        )
        for a in now.pre_liquidations
        if a.lower() not in named
    ]


def _said(guarded: Guarded, code: str, why: str) -> Finding:
    return Finding(severity=Severity.WARNING, code=code, subject=guarded.label, why=why)
