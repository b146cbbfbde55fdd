"""Settings -> living parts, and the one-shot readings of the commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from keeper.chain.endpoint import EndpointEvent
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings, Settings, VenueSettings
from keeper.daemon import desks, head_time, known, lines
from keeper.daemon.absent import Absent
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded, Lens
from keeper.daemon.known import Wish
from keeper.daemon.perp_desks import alone, proven
from keeper.daemon.shadow import ShadowBook
from keeper.errors import ConfigError, KeeperError, Transient
from keeper.model import Block, Outlook, Policy, PositionId, Snapshot
from keeper.risk import shocks as library
from keeper.risk.outlook import assess
from keeper.seams import Severity, Venue

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Multicall3 at its address of every chain it was deployed to (mds1/multicall, deployments)."""
SCAN_RATE_PER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One chain as it stands."""

    chain: ChainSettings
    snapshot: Snapshot
    outlooks: tuple[Outlook, ...]
    labels: Mapping[PositionId, str] = field(default_factory=dict)
    markets: Mapping[tuple[str, str], VenueSettings] = field(default_factory=dict)
    """Of a scan: (kind, key of a position) -> how a configuration names the market."""
    missed: tuple[str, ...] = ()
    """Of a scan: where it could not look."""
    old: str = ""
    """Why what is seen is long past; empty while it is of now, and of a scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A chain that did not answer: of what is guarded there nothing is known."""

    chain: str
    labels: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that ``check`` found."""

    severity: Severity
    code: str
    subject: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One chain, opened: endpoints, venues at a block, the camera and the guarded positions."""

    chain: ChainSettings
    endpoints: Endpoints
    block: Block
    venues: Mapping[str, Venue]
    settings: Mapping[str, VenueSettings]
    """Venue id -> what the configuration says of it."""
    camera: Camera
    guarded: tuple[Guarded, ...]
    unproven: tuple[str, ...] = ()
    """Of a configuration that has served: each Executor that is not used, and why."""

    async def view(self, block: Block | None = None) -> View:
        """The guarded positions as they are, without shadows."""
        lens = Lens(self.camera, self.guarded)
        snapshot = await lens.look(block or self.block, self.venues, ShadowBook())
        return View(
            chain=self.chain,
            snapshot=snapshot,
            outlooks=outlooks(snapshot, {g.id: g.policy for g in self.guarded}),
            labels={g.id: g.label for g in self.guarded},
        )


def outlooks(snapshot: Snapshot, policies: Mapping[PositionId, Policy]) -> tuple[Outlook, ...]:
    """The risk room over a snapshot, under the library's shocks."""
    symbols = {r.feed: r.token.symbol for r in snapshot.means.reserves}
    shocks = tuple(library.for_feeds(s, symbols) for s in library.LIBRARY)
    return assess(snapshot.positions, snapshot.unreadable, snapshot.prices, shocks, policies)


@asynccontextmanager
async def opened(
    settings: Settings, chain: ChainSettings, on_event: Callable[[EndpointEvent], None] = lambda _: None
) -> AsyncIterator[Site]:
    """A chain's endpoints and venues, closed again at the end. Raises ConfigError, Transient."""
    endpoints = await Endpoints.open(chain, SystemClock(), on_event)
    try:
        yield await site(settings, chain, endpoints, await latest(endpoints))
    finally:
        await endpoints.close()


async def site(
    settings: Settings, chain: ChainSettings, endpoints: Endpoints, block: Block, *, served: bool = False
) -> Site:
    """Everything that ``settings`` name on ``chain``, static facts as of ``block``.

    Raises ConfigError with every problem of the chain's contracts, or Transient. ``served``: the configuration was
    right once; a venue that cannot be loaded then is ``Absent``, as long as another one can, and an Executor that is
    not proven is not used.
    """
    await _multicall(chain, endpoints)
    camera = Camera(chain, endpoints, settings.wallet.address)
    venues: dict[str, Venue] = {}
    by_name: dict[str, Venue] = {}
    named: dict[str, VenueSettings] = {}
    problems: list[str] = []
    absent: list[Absent] = []
    for venue_settings in (v for v in settings.venues if v.chain == chain.name):
        mine = [p.account for p in settings.positions if p.venue == venue_settings.name]
        load = partial(_loaded, venue_settings, mine, (endpoints, camera))
        try:
            venue = await load(block)
            if not served:
                alone(venue, venue_settings, named)
                # a start in a storm waits for no search of logs: the first look of discovery finds them
                at = (endpoints, camera, block)
                venue, venue_settings = await lines.loaded(venue, venue_settings, mine, at)
        except ConfigError as e:
            problems += e.problems
            absent.append(Absent(venue_settings, load, chain.chain_id, "; ".join(e.problems)))
            continue
        venues[venue.id] = by_name[venue_settings.name] = venue
        named[venue.id] = venue_settings
    if problems and not (served and venues):
        raise ConfigError(tuple(problems))
    camera.supplement, wrong = await desks.proven(settings, chain, (endpoints, camera, block), by_name)
    if wrong and not served:
        raise ConfigError(wrong)
    for gone in absent:
        venues[gone.id] = by_name[gone.settings.name] = gone
        named[gone.id] = gone.settings
    return Site(
        chain=chain,
        endpoints=endpoints,
        block=block,
        venues=venues,
        settings=named,
        camera=camera,
        guarded=tuple(
            Guarded(
                label=p.label,
                policy=settings.policy(p.policy),
                venue_id=by_name[p.venue].id,
                id=by_name[p.venue].position_id(p.account),
            )
            for p in settings.positions
            if p.venue in by_name
        ),
        unproven=wrong,
    )


async def _loaded(
    named: VenueSettings, accounts: Sequence[str], around: tuple[Endpoints, Camera], block: Block
) -> Venue:
    """A venue in whose name the keeper may order as well. Raises ConfigError, Transient."""
    endpoints, camera = around
    venue = await camera.load(named, block)
    await proven(venue, named, accounts, (endpoints, block))
    return venue


async def _multicall(chain: ChainSettings, endpoints: Endpoints) -> None:
    """Every read of a tick goes through this contract. Raises ConfigError when it is none."""
    if await endpoints.request("eth_getCode", [chain.multicall, "latest"]) in ("0x", None):
        why = "no contract there; set it to a Multicall3 of this chain"
        raise ConfigError((f"chains.{chain.name}.multicall: {chain.multicall}: {why}",))


async def photograph(settings: Settings) -> tuple[View, ...]:
    """Every chain of the configuration as it stands now. Raises Transient where one of them does not answer."""
    return tuple(await asyncio.gather(*(_now(settings, c) for c in settings.chains)))


async def photographs(settings: Settings) -> tuple[tuple[View, ...], tuple[Silent, ...]]:
    """The chains of the configuration that answer, and those that do not. Raises Transient where none does."""

    async def one(chain: ChainSettings) -> View | Transient:
        try:
            return await _now(settings, chain)
        except Transient as error:
            return error

    found = await asyncio.gather(*(one(c) for c in settings.chains))
    views = tuple(f for f in found if isinstance(f, View))
    lost = [(c, f) for c, f in zip(settings.chains, found, strict=True) if isinstance(f, Transient)]
    if lost and not views:
        raise lost[0][1]
    return views, tuple(Silent(chain=c.name, labels=_on(settings, c), why=str(f)) for c, f in lost)


async def _now(settings: Settings, chain: ChainSettings) -> View:
    async with opened(settings, chain) as here:
        old, _ = await head_time.look(chain, here.endpoints, SystemClock())
        return replace(await here.view(), old=old)


def _on(settings: Settings, chain: ChainSettings) -> tuple[str, ...]:
    """Labels of the positions that are guarded on a chain."""
    venues = {v.name for v in settings.venues if v.chain == chain.name}
    return tuple(p.label for p in settings.positions if p.venue in venues)


async def scan(wish: Wish, rpc_url: str) -> View:
    """The account's positions on every market known for the endpoint's chain, or on the one that was named.

    Raises ConfigError (no market known, none there) or Transient.
    """
    chain = await chain_of(rpc_url)
    endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
    try:
        block = await latest(endpoints)
        camera = Camera(chain, endpoints, None)
        found, missed = await known.markets(camera, endpoints, (chain, block), wish)
        venues = {f.venue.id: f.venue for f in found}
        accounts = dict.fromkeys(venues, (wish.account,))
        snapshot = await camera.photograph(venues, accounts, block, ShadowBook(), {})
    finally:
        await endpoints.close()
    held = tuple(p for p in snapshot.positions if p.collateral or p.debt)
    seen = Snapshot(
        block=block,
        positions=held,
        unreadable=snapshot.unreadable,
        means=snapshot.means,
        prices=snapshot.prices,
        digest=snapshot.digest,
    )
    markets = {(id.venue, id.key): f.settings for f in found if (id := f.venue.position_id(wish.account))}
    return View(chain=chain, snapshot=seen, outlooks=outlooks(seen, {}), markets=markets, missed=missed)


async def chain_of(rpc_url: str) -> ChainSettings:
    """A chain by what its endpoint says of itself."""
    from keeper.chain.rpc import Rpc

    rpc = Rpc("--rpc", rpc_url)
    try:
        answer = await rpc.call("eth_chainId", [], timeout_s=5.0)
    finally:
        await rpc.close()
    try:
        chain_id = int(str(answer), 16)
    except ValueError as e:
        raise KeeperError(f"--rpc answered {answer!r} as its chain id") from e
    endpoint = EndpointSettings(
        name="--rpc", url=rpc_url, ws_url=None, rate_per_s=SCAN_RATE_PER_S, concurrency=8
    )
    return ChainSettings(
        name=f"chain-{chain_id}",
        chain_id=chain_id,
        block_time_s=12.0,
        multicall=MULTICALL3,
        native_token=None,
        endpoints=(endpoint,),
    )
