"""The hedges of one chain that have keys: opened, looked at behind each tick, stopped by what breaks in them alone.

Nothing here is on the way of a rescue: a hedge has its own key, nonces, camera and sender, asks the chain at the
lowest priority once the tick has been handed over and the lane is empty, and whatever fails in it is an alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from keeper.chain.endpoints import Endpoints
from keeper.config import ChainSettings, Settings
from keeper.config.pairing import HedgeKey
from keeper.confirmation import Following
from keeper.daemon.camera import Camera
from keeper.daemon.carried import subjects
from keeper.daemon.facts import Guarded
from keeper.daemon.hedger import NOT_SENT, Hedge, HedgeFacts, Hedger, danger
from keeper.daemon.isolation import apart, aside
from keeper.daemon.loop import ChainLoop
from keeper.daemon.order_notices import UNTOLD
from keeper.daemon.orders import with_orders
from keeper.daemon.senders import FEE_WEI_MAX_UNPRICED, PRICE_FALL, Renewable, credentials_dir
from keeper.daemon.unpooled import Unpooled
from keeper.daemon.wiring import Site
from keeper.errors import Broken, ConfigError, Transient, Unwritable
from keeper.executor.errors import NAMES
from keeper.journal.apart import of_hedges
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import HEDGE, Means, Plan, PositionId, Refusal, Snapshot
from keeper.notify.alarm import Alarms
from keeper.seams import Clock, Priority, Severity, Signer
from keeper.transaction.send import Live
from keeper.transaction.simulate import why_reverted
from keeper.units import WAD, mul_div_up
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.gmx_v2.hedged import HedgedSlot
from strategies.hedge import USD, WHO

if TYPE_CHECKING:
    from keeper.signer.policy import SigningPolicy

ARMED = "armed_hedge"
"""Control key: the digest of the configuration for which hedges were armed."""
STOPPED = "hedge_stopped"
UNREAD = "hedge_unread"
REST_S = 2.0
LOOK_S = 1.0
"""On a faster chain a hedge is looked at no oftener."""
RENEW_S = 600
AGAIN_S = 300.0
"""A hedge that could not be opened is tried again so much later."""
SPARE_PCT = 5
"""So far the price of the margin may move before the signer's limits are renewed."""


class Behind:
    """The endpoints, asked after everybody else."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    @property
    def chain(self) -> ChainSettings:
        """Whose endpoints these are."""
        return self._endpoints.chain

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.PAGE,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """As the endpoints answer, at the lowest priority whatever is asked for."""
        return await self._endpoints.request(
            method, params, priority=Priority.PAGE, timeout_s=timeout_s, weight=weight
        )

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """As each endpoint answers."""
        return await self._endpoints.request_each(method, params, count, timeout_s=timeout_s, wait_s=wait_s)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """As the endpoints do."""
        return await self._endpoints.broadcast(raw, timeout_s=timeout_s)


class Kept:
    """One hedge's room, and when its signer's limits were told last."""

    def __init__(self, hedge: Hedge, hedger: Hedger, signer: Signer | None) -> None:
        self.hedge, self.hedger, self.signer = hedge, hedger, signer
        self.renewed_s = 0

    def renew(self, snapshot: Snapshot, *, fee_usd: int) -> None:
        """The signer's limits at the prices of a photograph."""
        now_s = snapshot.block.timestamp_s
        if isinstance(self.signer, Renewable) and now_s - self.renewed_s >= RENEW_S:
            policy = hedge_policy(self.hedge, snapshot, fee_usd)
            if policy is not None:
                self.signer.renew(policy)
                self.renewed_s = now_s


class Hedges:
    """What one chain's daemon keeps of its hedges with keys."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        alarms: Alarms,
        clock: Clock,
        probe: Callable[[str], None],
    ) -> None:
        self._settings, self._journal, self._alarms, self._clock = settings, journal, alarms, clock
        self._probe = probe
        self._news = asyncio.Event()
        self._loop: ChainLoop | None = None
        self._kept: dict[str, Kept] = {}
        self._rests: dict[str, tuple[float, str]] = {}
        """By label: not before, and what was said then; infinity of one that stopped for good."""
        self._log = structlog.get_logger("keeper")
        # the chain's daemon is being made: no rescue waits for, or ends by, what is only said
        aside(self._end_dropped)

    def _end_dropped(self) -> None:
        """What still stands here of hedges that a reload took away: nobody else would ever end it."""
        chain_id = self._alarms.chain_id
        kept = {label: id for label, id in hedge_ids(self._settings).items() if id.chain_id == chain_id}
        told = {str(id) for id in kept.values()}
        for code in (UNTOLD, NOT_SENT):
            for subject in subjects(self._alarms, code) - told:
                if subject.startswith(f"{HEDGE}:"):
                    self._alarms.clear(code, subject)
        for code in (STOPPED, UNREAD):
            for subject in subjects(self._alarms, code) - kept.keys():
                self._alarms.clear(code, subject)

    def see(self, loop: ChainLoop) -> None:
        """A block was judged and handed over."""
        self._loop = loop
        self._news.set()

    async def run(self, here: Site) -> None:
        """For ever; nothing that goes wrong with a hedge leaves here."""
        labels = {g.label for g in here.guarded}
        keys = [k for k in self._settings.hedge_keys if k.short in labels]
        if not keys or self._settings.safe_mode:
            return
        pause_s = 0.0 if here.chain.block_time_s >= LOOK_S else LOOK_S
        while True:
            await self._news.wait()
            self._news.clear()
            loop = self._loop
            if loop is not None:
                await loop.rest(REST_S)
                for key in keys if loop.idle else ():
                    await self._tended(key, here, loop)
            await asyncio.sleep(pause_s)

    async def _tended(self, key: HedgeKey, here: Site, loop: ChainLoop) -> None:
        """One hedge at the last block; what breaks stops it alone."""
        until_s, told = self._rests.get(key.short, (0.0, ""))
        if self._clock.monotonic_s() < until_s:
            # by its age: said once, it would look as if it were over
            self._alarms.raise_alarm(Severity.CRITICAL, STOPPED, key.short, told)
            return
        try:
            if why := await apart(self._one(key, here, loop)):
                self._stop(key, why, float("inf"))
                return
        except (Transient, Unwritable) as e:
            why = f"{key.short}: asked again in the next block: {e}"
            self._alarms.raise_alarm(Severity.WARNING, UNREAD, key.short, why)
        except ConfigError as e:
            # a file that is put right is found without a restart
            self._stop(key, "; ".join(e.problems), AGAIN_S)
        except Broken as e:
            self._stop(key, str(e), float("inf"))
        else:
            self._alarms.clear(UNREAD, key.short)

    def _stop(self, key: HedgeKey, why: str, for_s: float) -> None:
        self._kept.pop(key.short, None)
        told = f"{key.short}: its key signs nothing more: {why}"
        self._rests[key.short] = self._clock.monotonic_s() + for_s, told
        self._alarms.raise_alarm(Severity.CRITICAL, STOPPED, key.short, told)

    async def _one(self, key: HedgeKey, here: Site, loop: ChainLoop) -> None:
        tick, kept = loop.last, self._kept.get(key.short)
        if tick is None:
            return
        if kept is None or kept.hedge.camera.stale:
            kept = self._kept[key.short] = await self._opened(key, here, loop)
            self._alarms.clear(STOPPED, key.short)
        snapshot = await kept.hedger.look(tick, loop, armed=self.armed(loop))
        kept.renew(snapshot, fee_usd=kept.hedge.policy.caps.gas_usd_emergency)

    def armed(self, loop: ChainLoop) -> bool:
        """Rescues are armed, and hedges besides, for exactly this configuration."""
        control = self._journal.control(ARMED)
        return (
            not loop.parts.dry
            and loop.armed
            and control is not None
            and control.value == loop.parts.armed_digest
        )

    async def _opened(self, key: HedgeKey, here: Site, loop: ChainLoop) -> Kept:
        """The slot as the key sees it, the key under its policy, and recovery. Raises as ``_one``."""
        link = next(x for x in loop.pairs.links if x.settings.short == key.short)
        guarded = next(g for g in here.guarded if g.label == key.short)
        tick = loop.last
        if link.settings.hedge is None or tick is None:
            raise ConfigError((f"{key.short}: no [pairs.hedge]",))
        behind = Behind(here.endpoints)
        camera = Camera(here.chain, behind, key.address)
        slot = await camera.load(replace(here.settings[guarded.venue_id], subaccount=key.address), tick.block)
        if not isinstance(slot, GmxV2):
            raise ConfigError((f"{key.short}: {slot.kind} cannot be hedged on",))
        venue = HedgedSlot(slot.slot, slot.source)
        hedge = Hedge(
            link=link,
            settings=link.settings.hedge,
            policy=guarded.policy,
            venue=venue,
            camera=camera,
            journal=of_hedges(self._journal, venue.position_id(link.short.account)),
            alarms=self._alarms,
        )
        if loop.parts.dry:
            return Kept(hedge, Hedger(hedge, HedgeFacts(hedge, None), None), None)
        return await self._signing(key, hedge, loop, behind)

    async def _signing(self, key: HedgeKey, hedge: Hedge, loop: ChainLoop, behind: Behind) -> Kept:
        chain, tick = loop.parts.chain, loop.last
        assert tick is not None
        venues = {hedge.venue.id: hedge.venue}
        seen, _ = await HedgeFacts(hedge, None).take(tick.block, venues)
        fees = tick.snapshot.means
        priced = replace(
            seen,
            means=replace(
                seen.means,
                native_price_base=fees.native_price_base,
                native_price_decimals=fees.native_price_decimals,
            ),
        )
        policy = hedge_policy(hedge, priced, hedge.policy.caps.gas_usd_emergency)
        if policy is None:
            raise Transient("the slot cannot be read, so its key has no limits")
        signer = await _signer(key, policy)
        live = Live(hedge.journal, behind, signer, errors=NAMES, probe=self._probe)
        live.may_send = partial(self._may_send, loop)
        live.pooled = chain.mempool
        await live.settle(chain.chain_id, tick.block.number)
        for finding in await recover(hedge.journal, behind, self._clock, chain.chain_id, signer.address):
            self._log.warning("recovered", chain=chain.name, hedge=key.short, finding=str(finding))
        lane = live if chain.mempool else Unpooled(live, hedge.journal)
        why = partial(why_reverted, behind, signer.address, NAMES)
        confirmation = Following(hedge.journal, behind, lane, signer.address, why)
        mine = Guarded(label=key.short, policy=hedge.policy, venue_id=hedge.venue.id, id=hedge.id)
        facts = with_orders(HedgeFacts(hedge, confirmation), behind, hedge.journal, (mine,), self._alarms)
        return Kept(hedge, Hedger(hedge, facts, live), signer)

    def _may_send(self, loop: ChainLoop, plan: Plan) -> Refusal | None:
        """Asked before an intent and before its signature: a disarm, a stop or a danger may have come."""
        now = self._loop or loop
        if not self.armed(now):
            return Refusal(who=WHO, code="waits", why="disarmed, paused or stopped meanwhile")
        why = danger(now)
        return Refusal(who=WHO, code="waits", why=why) if why else None


def hedge_ids(settings: Settings) -> dict[str, PositionId]:
    """By the label of its short, under which position each hedge with a key is journaled; the chain is not asked."""
    keyed = {k.short for k in settings.hedge_keys}
    chains = {c.name: c.chain_id for c in settings.chains}
    # a slot is written MARKET:COLLATERAL:short with checksums, and known as market/collateral/short
    slots = {v.name: (chains[v.chain], v.market.replace(":", "/")) for v in settings.venues if v.market}
    return {
        p.label: PositionId(venue=HEDGE, chain_id=slots[p.venue][0], account=p.account, key=slots[p.venue][1])
        for p in settings.positions
        if p.label in keyed and p.venue in slots
    }


async def _signer(key: HedgeKey, policy: SigningPolicy) -> Signer:
    from keeper.signer.key import load_key
    from keeper.signer.local import LocalSigner

    held = await load_key(
        key.keystore,
        key.password_file,
        key.address,
        credentials_dir=credentials_dir(),
        configured=f"the hedge's key of {key.short}",
    )
    return LocalSigner(held, policy)


def hedge_policy(hedge: Hedge, snapshot: Snapshot, gas_usd: int) -> SigningPolicy | None:
    """All that a hedge's key signs: shorts of one slot of one account, within its caps, and that an order is taken
    back, whose money returns to its owner; None of an unread slot."""
    from keeper.signer.hedges import AllowedHedge
    from keeper.signer.perps import AllowedCancel
    from keeper.signer.policy import SigningPolicy

    position, slot, asked = snapshot.position(hedge.id), hedge.venue.slot, hedge.settings
    perp = None if position is None else position.perp
    if perp is None or perp.collateral_price <= 0:
        return None
    size_most = asked.action_usd_max * USD
    price = mul_div_up(perp.collateral_price, 100 + SPARE_PCT, 100)
    least = max(perp.collateral_price * (100 - SPARE_PCT) // 100, 1)
    fee_wei = _fee_wei(gas_usd, snapshot.means)
    call = AllowedHedge(
        target=slot.subaccounts,
        vault=slot.vault,
        market=slot.market,
        collateral=slot.collateral.address,
        account=hedge.link.short.account,
        size_usd_max=size_most,
        units_max=mul_div_up(size_most, 1, asked.leverage * least),
        leverage_max=asked.leverage,
        collateral_price=price,
        fee_wei_max=fee_wei,
        price_least=perp.index_price // PRICE_FALL,
        price_most=perp.index_price * PRICE_FALL,
    )
    return SigningPolicy(
        chain_id=slot.chain_id,
        address=snapshot.means.wallet,
        calls=(call, AllowedCancel(target=slot.subaccounts)),
        fee_wei_max=fee_wei,
    )


def _fee_wei(gas_usd: int, means: Means) -> int:
    if not means.native_price_base:
        return FEE_WEI_MAX_UNPRICED
    return mul_div_up(gas_usd * PRICE_FALL, WAD * 10**means.native_price_decimals, means.native_price_base)
