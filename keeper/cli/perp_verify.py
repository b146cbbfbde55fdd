"""A row of ``keeper executor verify`` for each GMX position whose subaccount is a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import ChainSettings, Settings
    from keeper.daemon.camera import Camera
    from keeper.model import Block
    from keeper.seams import Transport


async def rows(
    settings: Settings, chain: ChainSettings, at: tuple[Transport, Block, Camera]
) -> list[tuple[str, ...]]:
    """Code and maker first, and only then what it says of itself. Raises ConfigError, Transient."""
    from keeper.daemon import perp_listed
    from keeper.daemon.perp_desks import problem
    from keeper.executor import perp_bounded
    from keeper.model import Call
    from keeper.venues.gmx_v2 import GmxV2

    endpoints, block, camera = at
    found = list[tuple[str, ...]]()
    for p in settings.positions:
        named = settings.venue(p.venue)
        if named.chain != chain.name or named.kind != "gmx_v2" or named.subaccount is None:
            continue
        venue = await camera.load(named, block)
        if not isinstance(venue, GmxV2) or not venue.slot.executor:
            continue
        executor, key = venue.slot.executor, venue.slot.position(p.account)
        wrong = await problem(executor, p.account, venue.slot.subaccounts, (endpoints, block))
        if wrong:
            found.append((p.label, executor, wrong, "", "", "-", "-", wrong))
            continue
        asked = [Call(target=executor, data=f + key) for f in (perp_bounded.STATE_OF, perp_bounded.PRICE_OF)]
        words = await camera.reader(block)(asked)
        bounds = perp_bounded.bounds_from(executor, words, 0, block.timestamp_s)
        wallet = (settings.wallet.address or "").lower()
        until_s = next((s for a, s in bounds.bots if a.lower() == wallet), 0) if bounds else 0
        lacks = "" if until_s >= block.timestamp_s else "the keeper's wallet is no bot of it"
        if not lacks and bounds is not None and not bounds.expiry_s:
            lacks = "it does not know the position"
        read = camera.reader(block)
        if not lacks and wallet and await perp_listed.listed(venue.slot, p.account, (wallet,), read):
            lacks = "the keeper's wallet is still a subaccount beside it: removeSubaccount"
        bot, code = f"until {until_s}", "the committed Executor's"
        place = f"subaccounts {venue.slot.subaccounts}"
        found.append((p.label, executor, code, p.account, bot, "-", place, lacks or "as committed"))
    return found
