"""Which markets a scan looks at: those known of the chain, those that an account's logs lead to, or one by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.config import ChainSettings, VenueSettings
from keeper.daemon.camera import Camera
from keeper.errors import ConfigError, Transient
from keeper.model import Block
from keeper.seams import LogFilter, Priority, Transport, Venue
from keeper.sockets import InDollars
from keeper.venues import registry

LOGS_S = 10.0
MARKETS_MAX = 64
"""Of one account on one contract; whoever has more names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a scan was told to look at besides the account."""

    account: str
    provider: str | None = None
    market: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A market, and how a configuration names it."""

    venue: Venue
    settings: VenueSettings


async def markets(
    camera: Camera, transport: Transport, at: tuple[ChainSettings, Block], wish: Wish
) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """The markets, and what could not be looked at, in words. Raises ConfigError where nothing is left."""
    chain, block = at
    named = _named(chain, wish)
    found: list[Found] = []
    missed: list[str] = []
    for settings in named or registry.known(chain.chain_id):
        if settings.market is not None:
            continue
        try:
            found.append(Found(venue=await camera.load(settings, block), settings=settings))
        except ConfigError as error:
            if named:
                raise
            # one market that cannot be used hides none of the others
            missed += error.problems
    by_id = [s for s in named if s.market is not None]
    for contract, logs in () if named else registry.searches(chain.chain_id, wish.account):
        try:
            ids = registry.markets_in(contract.kind, await search(transport, logs, block.number))
        except Transient as error:
            missed.append(
                f"{contract.kind} at {contract.provider}: the endpoint does not search logs ({error}); name a market "
                "with --market ID"
            )
            continue
        by_id += [
            replace(contract, name=f"{contract.name}_{i}", market=id)
            for i, id in enumerate(ids[:MARKETS_MAX], 1)
        ]
    for settings in by_id:
        try:
            found.append(await _priced(camera, block, settings, _oracle(found)))
        except ConfigError as error:
            if named:
                raise
            missed += error.problems
    if not found and not missed:
        raise ConfigError(
            (f"no market is known on chain {chain.chain_id}: name one with --provider ADDRESS",)
        )
    return tuple(found), tuple(missed)


async def search(transport: Transport, what: LogFilter, last: int) -> list[dict[str, object]]:
    """Logs of the whole chain up to block ``last``. Raises Transient: many endpoints do not search so far."""
    asked = {"address": what.target, "topics": list(what.topics), "fromBlock": "0x0", "toBlock": hex(last)}
    logs = await transport.request("eth_getLogs", [asked], priority=Priority.PAGE, timeout_s=LOGS_S)
    if not isinstance(logs, list) or not all(isinstance(log, dict) for log in logs):
        raise Transient(f"eth_getLogs answered {type(logs).__name__}, not logs")
    return logs


def _named(chain: ChainSettings, wish: Wish) -> tuple[VenueSettings, ...]:
    """The one market that the user named, if he did."""
    if wish.market is not None:
        # a slot of GMX names its parts, a market of Morpho Blue is one number
        kind, protocol = ("gmx_v2", "GMX") if ":" in wish.market else ("morpho_blue", "Morpho Blue")
        searched = registry.searches(chain.chain_id, wish.account)
        provider = wish.provider or next((c.provider for c, _ in searched if c.kind == kind), None)
        if provider is None:
            why = (
                f"--market: no {protocol} is known on chain {chain.chain_id}; name it with --provider ADDRESS"
            )
            raise ConfigError((why,))
        one = VenueSettings(
            name="--market", kind=kind, chain=chain.name, provider=provider, market=wish.market
        )
        return (one,)
    if wish.provider is None:
        return ()
    return (VenueSettings(name="--provider", kind="aave_v3", chain=chain.name, provider=wish.provider),)


def _oracle(found: list[Found]) -> str | None:
    """An oracle in dollars, of whatever market there has one."""
    return next((f.venue.dollar_oracle for f in found if isinstance(f.venue, InDollars)), None)


async def _priced(camera: Camera, block: Block, settings: VenueSettings, oracle: str | None) -> Found:
    """The market with its loan token in dollars where that oracle lists it, else without."""
    if oracle is not None:
        priced = replace(settings, usd_feed=oracle)
        try:
            return Found(venue=await camera.load(priced, block), settings=priced)
        except ConfigError as error:
            if not any("usd_feed" in problem for problem in error.problems):
                raise
    return Found(venue=await camera.load(settings, block), settings=settings)
