"""A stop that the owner of a GMX position leaves on the venue himself, where his Executor places none: the call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.cli.subaccount import Row
    from keeper.config import PositionSettings, Settings, VenueSettings
    from keeper.daemon.wiring import Site
    from keeper.model import Position, Snapshot
    from keeper.venues.gmx_v2.book import Slot
    from strategies.perp import Case

HEADERS = ("call", "to", "value_wei", "data")
FEE_TIMES = 3
"""So many times what the keeper would pay for the execution: the owner signs later, at a price of gas that nobody
knows. What is not used comes back to him."""


async def wanted(settings: Settings, label: str) -> tuple[tuple[Row, ...], str]:
    """The owner's call and what he must know of it; before it, what takes back a stop of his that stands already.

    Raises ConfigError where no stop has a place, Transient.
    """
    from keeper.cli import subaccount
    from keeper.daemon.wiring import opened
    from keeper.venues.gmx_v2 import GmxV2

    position, venue = subaccount.found(settings, label)
    # nobody's leave is needed: the owner orders for himself
    bare = replace(settings, venues=(replace(venue, subaccount=None),), positions=(position,), pairs=())
    async with opened(bare, settings.chain(venue.chain)) as site:
        (gmx,) = site.venues.values()
        assert isinstance(gmx, GmxV2)
        exchange = _exchange(gmx.slot, venue)
        at = await _case(site, label)
    return _calls(at, gmx.slot, (position, exchange))


def _exchange(slot: Slot, venue: VenueSettings) -> str:
    """The ExchangeRouter, by which an account orders for itself. Raises ConfigError."""
    from keeper.errors import ConfigError
    from keeper.venues.gmx_v2 import deployments

    found = slot.target if slot.own else deployments.exchange(slot.chain_id)
    known = {c.provider.lower() for c in deployments.contracts(slot.chain_id)}
    # of another release of GMX than the configured one, its order would go to another vault
    if found is None or (not slot.own and slot.subaccounts.lower() not in known):
        why = f"no ExchangeRouter is known beside venues.{venue.name}.provider {venue.provider}"
        raise ConfigError((f"--stop: {why}: place the stop on GMX's own page",))
    return found


async def _case(site: Site, label: str) -> Case:
    """The position as the strategy would see it. Raises ConfigError."""
    from keeper.errors import ConfigError
    from keeper.model import Refusal
    from strategies.drawn import Need
    from strategies.perp import case

    (guarded,) = site.guarded
    snapshot: Snapshot = (await site.view()).snapshot
    position: Position | None = snapshot.position(guarded.id)
    if position is None:
        why = next((u.why for u in snapshot.unreadable if u.id == guarded.id), "it cannot be read")
        raise ConfigError((f"--stop {label}: {why}",))
    need = Need(
        position=position,
        policy=guarded.policy,
        means=snapshot.means,
        venue=site.venues[guarded.venue_id],
        block=snapshot.block,
    )
    at = case(need, "stop")
    if isinstance(at, Refusal):
        raise ConfigError((f"--stop {label}: {at.code}: {at.why}",))
    return at


def _calls(at: Case, slot: Slot, whom: tuple[PositionSettings, str]) -> tuple[tuple[Row, ...], str]:
    from keeper.errors import ConfigError
    from keeper.executor import perp
    from keeper.phrases import health_text
    from strategies.stop_on_venue import SLIP_BPS, fits, stop_price

    position, exchange = whom
    if not at.perp.stable:
        why = "a stop has no fixed place where the margin is no dollar token"
        raise ConfigError((f"--stop {position.label}: {why}",))
    price, calm = stop_price(at), at.need.before_wad >= at.need.policy.trigger_wad
    if price is None or not calm:
        due = f"health {health_text(at.need.before_wad)}: a rescue is due, and a stop is placed in calm times"
        why = due if price else "no price of the index brings this position to emergency"
        raise ConfigError((f"--stop {position.label}: {why}",))
    stands = at.perp.stop
    if stands is not None and not stands.frozen and fits(at, stands, price):
        return (), f"order {stands.key} rests on the venue already, where it belongs: nothing is to be signed"
    order = perp.PerpOrderCall(
        account=position.account,
        market=slot.market,
        collateral=slot.collateral.address,
        long=slot.long,
        vault=slot.vault,
        kind=perp.STOP_LOSS,
        size_usd=at.perp.size_usd,
        units=0,
        trigger_price=price,
        worst_price=at.worst_price(price, SLIP_BPS),
        fee_wei=FEE_TIMES * at.fee_wei(increases=False),
        own=True,
    )
    rows = [] if stands is None else [_row(position, exchange, "cancelOrder", perp.cancel(stands.key), 0)]
    rows.append(_row(position, exchange, "createOrder", perp.calldata(order), order.fee_wei))
    shown = price * 10**at.perp.index.decimals / 10**30
    note = (
        f"a reduce-only stop of all of it at {at.perp.index.symbol} {shown:.2f}, where health is the policy's "
        f"emergency {health_text(at.need.policy.emergency_wad)}, filled at most {SLIP_BPS // 100} % worse. Whoever "
        "signs is the account: sign it with its own key. Its value pays for the execution, what is not used comes "
        "back. Nobody moves it: after margin or size changed, run this again, and sign both calls"
    )
    return tuple(rows), note


def _row(position: PositionSettings, exchange: str, call: str, data: bytes, value_wei: int) -> Row:
    return {
        "call": call,
        "from": position.account,
        "to": exchange,
        "data": "0x" + data.hex(),
        "value_wei": str(value_wei),
    }
