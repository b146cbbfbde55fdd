"""Live or dry: the parts that can spend are built here, and dry never imports the ones that hold a key."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import structlog

from keeper.chain.relay import Relays
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.confirmation import Following
from keeper.daemon import lent
from keeper.daemon.facts import DryFacts, Facts, Lens, LiveFacts
from keeper.daemon.isolation import alone
from keeper.daemon.outgoing import Outgoing
from keeper.daemon.pace import Pace, paced
from keeper.daemon.rehearsal import Rehearsals, Stage
from keeper.daemon.unpooled import Unpooled
from keeper.daemon.wiring import Site
from keeper.errors import ConfigError
from keeper.executor.errors import NAMES
from keeper.journal.write import Journal
from keeper.model import Means, Plan, PositionId, Reserve, Side
from keeper.seams import Alarm, OneOfMany, Sender, Signer, Venue
from keeper.transaction.dry import Dry
from keeper.transaction.nobody import silent
from keeper.transaction.send import Live
from keeper.transaction.simulate import why_reverted
from keeper.units import UINT256_MAX, WAD, mul_div_up
from keeper.venues import registry

if TYPE_CHECKING:
    from keeper.signer.orders import AllowedOrder
    from keeper.signer.policy import SigningPolicy
    from keeper.signer.store import DayCaps

_log = structlog.get_logger("keeper")
PRICE_FALL = 4
"""The signer's own limits are set at start and must survive a fall to a quarter without a restart."""
FEE_WEI_MAX_UNPRICED = WAD
"""Where no feed prices the native token, one token is the most that a transaction may burn."""
ACTIONS_PER_DAY = 24
"""So many transactions at its highest fee may a signer with a memory sign for each position within 24 hours."""


@runtime_checkable
class Renewable(Protocol):
    """A signer in process, whose limits follow the market."""

    def renew(self, policy: SigningPolicy) -> None:
        """The same key under new limits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What a loop acts with, and what it then sees."""

    facts: Facts
    sender: Sender
    live: Live | None
    """The sender when it is live: the loop that is built later has the last word before a signature."""
    renew: Callable[[Means], None]
    """Follow the market: the signer's own limits at today's prices and listings."""
    follow: Callable[[Means], None]
    """The same at each block, at once where an Executor is shown whose sales those limits do not know."""
    signer_address: str | None
    pace: Pace
    """How often mined transactions are looked at; to be reset when the heads tell of a change behind us."""
    outgoing: Outgoing
    """What the sender talks through; to be told of the loop that is built later, and closed."""


async def sending(
    settings: Settings, site: Site, journal: Journal, alarms: Alarm, probe: Callable[[str], None] = silent
) -> Sending:
    """The rooms that act on one chain. Raises ConfigError when live and the key cannot be used."""
    lens = Lens(site.camera, site.guarded)
    if settings.mode != "live":
        facts = DryFacts(lens, journal, alarms, site.chain.chain_id)
        outgoing = _outgoing(site, journal, replace(site.chain, private=()))
        dry = Dry(journal, outgoing, errors=NAMES, apart=facts.apart)
        return Sending(
            facts=facts,
            sender=outgoing.sender(dry),
            live=None,
            renew=_nothing,
            follow=_nothing,
            signer_address=None,
            pace=Pace(),
            outgoing=outgoing,
        )
    view = await site.view()
    signer = await live_signer(settings, site, view.snapshot.means)
    outgoing = _outgoing(site, journal, site.chain)
    live = Live(journal, outgoing, signer, errors=NAMES, probe=probe)
    live.pooled = site.chain.mempool
    pace = Pace()
    lane = live if site.chain.mempool else Unpooled(live, journal)
    why = partial(_why_reverted, site, signer.address)
    confirmation = Following(paced(journal, pace), site.endpoints, lane, signer.address, why)

    limits = Limits(site, signer, view.snapshot.means)
    return Sending(
        facts=LiveFacts(lens, confirmation, alarms, pace),
        sender=outgoing.sender(live),
        live=live,
        renew=limits.renew,
        follow=limits.follow,
        signer_address=signer.address,
        pace=pace,
        outgoing=outgoing,
    )


class Limits:
    """What a signer in process lets through; one of its own has them from a file."""

    def __init__(self, site: Site, signer: Signer, means: Means) -> None:
        """``means``: by which the signer was made."""
        self._site, self._signer, self._means, self._sales = site, signer, means, _sales(means)

    def renew(self, means: Means) -> None:
        """As of a later block."""
        if isinstance(self._signer, Renewable):
            self._signer.renew(signing_policy(self._site, means, self._signer.address)[0])
            self._means, self._sales = means, _sales(means)

    def follow(self, means: Means) -> None:
        """Renew them where an Executor lists what was not known when they were told last: it came back, or could not
        be read then. ``means``: of everybody or of a few. Breaks nothing of the block that it is called in."""
        if isinstance(self._signer, Renewable) and not _sales(means) <= self._sales:
            _, why = alone(lambda: self.renew(_beside(means, self._means)))
            if why:
                _log.error("the signer's limits are as they were", chain=self._site.chain.name, why=why)


def _beside(few: Means, known: Means) -> Means:
    """What a few show, and of all others what was known before."""
    priced = few if few.native_price_base is not None else known
    return replace(
        few,
        mandates=tuple({m.id: m for m in (*known.mandates, *few.mandates)}.values()),
        reserves=tuple({(r.venue, r.token): r for r in (*known.reserves, *few.reserves)}.values()),
        native_price_base=priced.native_price_base,
        native_price_decimals=priced.native_price_decimals,
    )


def _sales(means: Means) -> frozenset[tuple[str, str, str, Side]]:
    return frozenset((m.executor, m.key, a.token.address, a.side) for m in means.mandates for a in m.assets)


def _outgoing(site: Site, journal: Journal, chain: ChainSettings) -> Outgoing:
    """What a sender of either kind talks through; the private endpoints of ``chain`` are asked when used."""
    stage = Stage(venue_of=partial(_venue_of, site), seen=site.camera.seen)
    relays = Relays.open(chain, SystemClock())
    outgoing = Outgoing(site.endpoints, journal, Rehearsals(site.endpoints, stage), relays)
    outgoing.windows = lambda: lent.windows(site.camera.supplement)
    return outgoing


async def _why_reverted(site: Site, sender: str, plan: Plan, block_number: int) -> str:
    """Why the chain reverted the plan in that block, an emptied lender named."""
    why = await why_reverted(site.endpoints, sender, NAMES, plan, block_number)
    return await lent.why_lost(site.endpoints, site.camera.supplement, why, (plan, block_number))


def _venue_of(site: Site, id: PositionId) -> Venue:
    """The venue of a guarded position as it was opened."""
    return next(site.venues[g.venue_id] for g in site.guarded if g.id == id)


def _nothing(_: Means) -> None:
    """A dry-run has no signer."""


async def live_signer(settings: Settings, site: Site, means: Means) -> Signer:
    """The key of ``[wallet]`` under its policy, or the signer that holds it. Raises ConfigError."""
    from keeper.signer.key import load_key
    from keeper.signer.local import LocalSigner

    wallet = settings.wallet
    if wallet.address is not None and (socket := wallet.signer_socket) is not None:
        from keeper.signer.remote import RemoteSigner

        return await RemoteSigner.open(socket, wallet.address)
    if wallet.address is None or wallet.keystore is None or wallet.password_file is None:
        raise ConfigError(
            ("wallet: mode is live, which needs address, keystore and password_file in [wallet]",)
        )
    key = await load_key(
        wallet.keystore, wallet.password_file, wallet.address, credentials_dir=credentials_dir()
    )
    return LocalSigner(key, signing_policy(site, means, wallet.address)[0])


def signing_policy(site: Site, means: Means, address: str) -> tuple[SigningPolicy, DayCaps]:
    """What the key may sign for on one chain: the guarded accounts, within the caps of their policies."""
    from keeper.allowed import Venued
    from keeper.signer.calls import calls_of
    from keeper.signer.policy import SigningPolicy
    from keeper.signer.store import DayCaps
    from keeper.signer.vaults import AllowedVault

    caps = [g.policy.caps for g in site.guarded]
    per_action_usd = max((c.per_action_usd for c in caps), default=0)
    per_day_usd = sum(c.per_day_usd for c in caps)
    fee_wei_max = _fee_wei_max(max((c.gas_usd_emergency for c in caps), default=0), means)
    bounds = {
        venue.id: Venued(
            spender=venue.spender,
            units_max={
                t.address: _token_max(per_action_usd, means.reserve(venue.id, t)) for t in venue.tokens
            },
            accounts=tuple(g.id.account for g in site.guarded if g.venue_id == venue.id),
            terms=venue.terms if isinstance(venue, OneOfMany) else (),
            prices={
                r.token.address: r.price_base // 10**r.token.decimals
                for r in means.reserves
                if r.venue == venue.id
            },
            fee_wei_max=fee_wei_max,
        )
        for venue in site.venues.values()
    }
    calls = tuple(
        call
        for venue in site.venues.values()
        for rules in (registry.signed, calls_of)
        for call in rules(venue.kind, bounds[venue.id])
    )
    policy = SigningPolicy(
        chain_id=site.chain.chain_id,
        address=address,
        calls=calls,
        fee_wei_max=fee_wei_max,
        orders=_orders(site, means, per_action_usd),
    )
    # a vault's token that is not priced now is bounded by its finite allowance, as in one call
    units = {c.token.lower(): UINT256_MAX for c in calls if isinstance(c, AllowedVault)}
    units |= {r.token.address.lower(): _units_max(per_day_usd, r) or UINT256_MAX for r in means.reserves}
    fees_wei = _fee_wei_max(sum(c.gas_usd_emergency for c in caps), means)
    return policy, DayCaps(fee_wei=fees_wei * ACTIONS_PER_DAY, units=units)


def _orders(site: Site, means: Means, per_action_usd: int) -> tuple[AllowedOrder, ...]:
    """A sale of each guarded position that names an Executor, of what that Executor lists."""
    from keeper.signer.orders import AllowedOrder

    homes = {g.id: g.venue_id for g in site.guarded}
    # of two positions on one Executor, either may borrow from a pool that was found for the other
    listed = (a.token.address for m in means.mandates for a in m.assets)
    via = frozenset(t.lower() for t in (*site.chain.swap_via, *listed))
    return tuple(
        AllowedOrder(
            target=m.executor,
            position=m.key,
            collateral={
                a.token.address.lower(): _token_max(per_action_usd, means.reserve(homes[m.id], a.token))
                for a in m.assets
                if a.side is Side.COLLATERAL
            },
            debt=frozenset(a.token.address.lower() for a in m.assets if a.side is Side.DEBT),
            routers=frozenset(r.lower() for r in (*m.routers, *m.routers_refused)),
            via=via,
        )
        for m in means.mandates
        if m.id in homes
    )


def credentials_dir() -> Path | None:
    """Where systemd puts this unit's credentials; the environment names the folder, never a secret."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def _token_max(per_action_usd: int, reserve: Reserve | None) -> int | None:
    """A token that cannot be priced now is bounded by its finite allowance until the policy is renewed."""
    return None if reserve is None else _units_max(per_action_usd, reserve)


def _units_max(per_action_usd: int, reserve: Reserve) -> int | None:
    """Most units of a token in one call: the cap in money at a quarter of today's price."""
    if reserve.price_base <= 0:
        return None
    scale = 10 ** (reserve.token.decimals + reserve.base_decimals)
    return mul_div_up(per_action_usd * PRICE_FALL, scale, reserve.price_base)


def _fee_wei_max(gas_usd: int, means: Means) -> int:
    if not means.native_price_base:
        return FEE_WEI_MAX_UNPRICED
    return mul_div_up(gas_usd * PRICE_FALL, WAD * 10**means.native_price_decimals, means.native_price_base)
