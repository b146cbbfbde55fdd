"""What ``check`` asks GMX of an owner besides: keys that may still order beside his Executor, whose bounds they are
not held to, and stops of his own."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.config import Settings
from keeper.daemon import owner_stops
from keeper.daemon.wiring import Finding, Site
from keeper.seams import Severity
from keeper.venues.gmx_v2 import GmxV2, book
from keeper.venues.gmx_v2.book import Slot

STILL_LISTED = "wallet_listed"


async def listed(slot: Slot, account: str, who: Sequence[str], read: book.Read) -> tuple[str, ...]:
    """Which of these addresses are subaccounts of the account on GMX, on every market of his. Raises Transient."""
    asked = [
        book.ask(slot.store, book.CONTAINS_ADDRESS, book.key("SUBACCOUNT_LIST", account), book.word(w))
        for w in who
    ]
    words = await read(asked)
    return tuple(w for i, w in enumerate(who) if words.uint(i))


def serving(settings: Settings, account: str, key: str) -> tuple[str, ...]:
    """Labels of the account's positions on GMX for which the configuration orders in that very key's name."""
    return tuple(
        p.label
        for p in settings.positions
        if p.account.lower() == account.lower()
        and settings.venue(p.venue).kind == book.KIND
        and (settings.venue(p.venue).subaccount or "").lower() == key.lower()
    )


async def findings(site: Site, settings: Settings) -> list[Finding]:
    """Positions with an Executor whose owner has not taken the keeper's key off the list, and stops of owners' own
    beside which the keeper places none. Raises Transient."""
    found = await owner_stops.findings(site, settings)
    wallet = settings.wallet.address
    if wallet is None:
        return found
    for guarded in site.guarded:
        venue, account = site.venues[guarded.venue_id], guarded.id.account
        if not isinstance(venue, GmxV2) or not venue.slot.executor:
            continue
        if await listed(venue.slot, account, (wallet,), site.camera.reader(site.block)):
            why = standing(settings, account, wallet)
            found.append(
                Finding(severity=Severity.CRITICAL, code=STILL_LISTED, subject=guarded.label, why=why)
            )
    return found


def standing(settings: Settings, account: str, wallet: str) -> str:
    """What it means that the wallet is on the list, and what ends it."""
    why = f"{wallet}, the keeper's own, is still a subaccount of {account} on GMX: none of its orders is bounded"
    others = serving(settings, account, wallet)
    if others:
        then = (
            f"{', '.join(others)} still needs it: grant that through an Executor, too, and take it off then"
        )
    else:
        then = f"sign removeSubaccount({wallet}), which `keeper grant --subaccount LABEL --deploy` prints"
    return f"{why}; {then}"
