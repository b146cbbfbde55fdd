"""Where a position's Executor and its owner stand: the chain opened, the seat, the routers, the owner as a Safe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import ChainSettings, PositionSettings, Settings
    from keeper.daemon.facts import Guarded
    from keeper.daemon.wiring import Site
    from keeper.executor.safe import Safe
    from keeper.executor.seat import Seat
    from keeper.model import Token
    from keeper.seams import Venue


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One position with an Executor, its chain opened."""

    site: Site
    guarded: Guarded
    venue: Venue
    seat: Seat
    executor: str
    owner: str
    bot: str
    kind: str
    """The name of its Executor's contract."""
    deployed: bool = True

    @property
    def sells(self) -> bool:
        """Whether the policy would sell at all; who only pays in needs no router."""
        from keeper.daemon.executors import SELLS

        return not SELLS.isdisjoint(self.guarded.policy.strategies)


def named_routers(chain: ChainSettings) -> dict[str, str]:
    """Every router that the configuration uses on that chain -> what it is for."""
    offers = chain.aggregator
    uses = {
        chain.uniswap_router: "the router of Uniswap v3 (two pools in a row, a sale split over pools)",
        offers.router if offers else None: f"the aggregator {offers.name}" if offers else "",
    }
    return {router: use for router, use in uses.items() if router}


async def unlisted_routers(at: Placed) -> dict[str, str]:
    """Those of them that the owner has not allowed yet. Raises Transient."""
    from keeper.executor.read import ROUTER_ALLOWED
    from keeper.model import Call

    named = named_routers(at.site.chain)
    if not at.deployed:
        return named
    asked = [
        Call(target=at.executor, data=ROUTER_ALLOWED + bytes.fromhex(router[2:]).rjust(32, b"\0"))
        for router in named
    ]
    if not asked:
        return {}
    words = await at.site.camera.reader(at.site.block)(tuple(asked))
    return {router: use for i, (router, use) in enumerate(named.items()) if not words.uint(i)}


async def owed(at: Placed) -> tuple[Token, ...]:
    """The tokens that the position owes now. Raises Transient."""
    position = (await at.site.view()).snapshot.position(at.guarded.id)
    return tuple(h.amount.token for h in position.debt) if position is not None else ()


async def line(at: Placed) -> tuple[int, int]:
    """(The Executor's line, the strictest one that the owner lets count), or equal ones. Raises Transient."""
    if not at.seat.lines:
        return 1, 1
    words = await at.site.camera.reader(at.site.block)(tuple(x.asks for x in at.seat.lines))
    strict = min((x.share for i, x in enumerate(at.seat.lines) if words.uint(i)), default=(1, 1))
    return strict[1], strict[0]


async def typed(at: Placed) -> Mapping[str, object] | None:
    """A whole grant as a message to sign (EIP-712); None where the protocol takes none or tells no domain."""
    from keeper.errors import Transient
    from keeper.executor import grants_signed

    permit = at.seat.permit
    calls = grants_signed.asked(permit, at.owner) if permit is not None else ()
    if permit is None or not calls:
        return None
    who = (at.site.chain.chain_id, at.owner, at.executor)
    try:
        words = await at.site.camera.reader(at.site.block)(calls)
        found = grants_signed.message(permit, who, at.site.block.timestamp_s, words)
    except Transient:
        return None
    return grants_signed.typed_data(found) if found is not None else None


async def code_at(site: Site, address: str) -> bool:
    """Whether a contract lies there. Raises Transient."""
    return await site.endpoints.request("eth_getCode", [address, hex(site.block.number)]) not in ("0x", None)


@asynccontextmanager
async def placed(settings: Settings, label: str, *, deploy: bool = False) -> AsyncIterator[Placed]:
    """Where the position of that label stands; with ``deploy``, though its Executor may not be there yet.

    Raises ConfigError, Transient.
    """
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.executor.seat import Seated
    from keeper.executor.verify import executor_address
    from keeper.venues import registry

    named = _named(settings, label, deploy=deploy)
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; the owner allows it to act",))
    venue_settings = settings.venue(named.venue)
    kind = registry.executor_of(venue_settings.kind)
    bare = replace(settings, positions=tuple(replace(p, executor=None) for p in settings.positions))
    async with opened(bare if deploy else settings, settings.chain(venue_settings.chain)) as site:
        guarded = next(g for g in site.guarded if g.label == label)
        venue = site.venues[guarded.venue_id]
        if not kind or not isinstance(venue, Seated):
            raise ConfigError((f"positions.{label}: no Executor ships for {venue_settings.kind}",))
        seat = venue.seat(named.account)
        if seat.owner == "" and seat.lacks and seat.permit is None:
            raise ConfigError((f"positions.{label}: {seat.lacks}",))
        owner = seat.owner or named.account
        place = executor_address(owner, kind)
        executor = named.executor or place
        if deploy and executor.lower() != place.lower():
            why = (
                f"the Executor of {owner} will lie at {place}: name that, or leave executor out until it does"
            )
            raise ConfigError((f"positions.{label}.executor {executor}: {why}",))
        yield Placed(
            site=site,
            guarded=guarded,
            venue=venue,
            seat=seat,
            executor=executor,
            owner=owner,
            bot=settings.wallet.address,
            kind=kind,
            deployed=not deploy or await code_at(site, executor),
        )


def _named(settings: Settings, label: str, *, deploy: bool) -> PositionSettings:
    from keeper.errors import ConfigError

    found = next((p for p in settings.positions if p.label == label), None)
    if found is not None and (found.executor is not None or deploy):
        return found
    known = ", ".join(p.label for p in settings.positions if p.executor or deploy) or "none"
    what = "no position has that label" if deploy else "no position of that label names an executor"
    raise ConfigError((f"--executor {label}: {what}; those that do: {known}",))


def receipts(venue: Venue, seat: Seat) -> dict[Token, str]:
    """Token -> the protocol's own for it, whose allowance is the grant; nothing where the grant is a whole one."""
    from keeper.venues.aave_v3 import AaveV3

    if isinstance(venue, AaveV3):
        return {x.token: x.a_token for x in venue.market.listings}
    return {t: seat.receipts[t.address] for t in venue.tokens if t.address in seat.receipts}


async def safe_of(site: Site, owner: str, option: str = "--safe") -> Safe:
    """The owner as a Safe at the site's block. Raises ConfigError naming ``option`` when it is none, or of a version
    not known."""
    from keeper.errors import ConfigError, Transient
    from keeper.executor.safe import MULTI_SEND_CALL_ONLY, NONCE, VERSION, Safe
    from keeper.model import Call

    words = await site.camera.reader(site.block)(
        (Call(target=owner, data=VERSION), Call(target=owner, data=NONCE))
    )
    try:
        length, nonce = words.uint(0, 1), words.uint(1)
        version = words.uint(0, 2).to_bytes(32)[:length].decode()
    except (Transient, UnicodeDecodeError) as e:
        raise ConfigError((f"{option}: {owner} does not answer VERSION() and nonce(): it is no Safe",)) from e
    plain = version.partition("+")[0]  # a layer 2 variant says 1.4.1+L2
    if plain not in MULTI_SEND_CALL_ONLY:
        known = ", ".join(MULTI_SEND_CALL_ONLY)
        raise ConfigError((f"{option}: {owner} is of version {version}; its hashes are known for {known}",))
    return Safe(
        chain_id=site.chain.chain_id,
        address=owner,
        version=version,
        nonce=nonce,
        multi_send=MULTI_SEND_CALL_ONLY[plain],
    )
