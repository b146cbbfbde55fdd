"""``keeper executor verify``: whether the configured Executors are the committed code, made by our factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import ChainSettings, Settings, VenueSettings
    from keeper.executor.load import Read

HEADERS = ("label", "executor", "code", "owner", "bot", "routers", "venues", "verdict")
VENUES = ("aave", "morpho", "uniswap", "pool code", "balancer")
UNISWAP_V3_POOL_HASH = "0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54"
"""keccak256 of the pools' creation code, the same for every official factory."""


def command(
    act: Annotated[str, typer.Argument(metavar="verify", help="What to do: verify.")],
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Compare each Executor on chain with the code in this repository.

    Byte for byte, immutables apart; whether our factory put it there for the guarded account (CREATE2), or that
    stays UNPROVEN; whether the keeper's wallet is one of its bots, which configured routers its owner has not
    allowed, whether the venues that he named at deployment are those of this chain, and whether it keeps the unit
    of an aToken that a pool of the 3.0 line asks for. Where the owner is a Safe, its modules too: one that renews
    allowances is held against the committed one, and its terms against its address. Exits with 1 when anything but
    the routers differs.

    Example: keeper executor verify --config keeper.toml
    """
    from keeper.cli import module_verify, table
    from keeper.cli.endings import drive, usage
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    if act != "verify":
        raise usage(
            "verify", f'"{act}" is not something to do with an Executor; write: keeper executor verify'
        )
    settings = load(config)
    rows, modules = drive(verify(settings)), drive(module_verify.modules(settings))
    if json:
        told = [dict(zip(module_verify.HEADERS, row, strict=True)) for row in modules]
        body = {"executors": [dict(zip(HEADERS, row, strict=True)) for row in rows]}
        print(table.document({**body, **({"modules": told} if told else {})}))
    elif rows:
        table.show(HEADERS, rows)
        if modules:
            table.show(module_verify.HEADERS, modules)
    else:
        print("no position names an executor")
    wrong = any(row[-1] != "as committed" for row in rows) or module_verify.findings(modules)
    raise typer.Exit(EXIT_FINDINGS if wrong else EXIT_OK)


async def verify(settings: Settings) -> list[tuple[str, ...]]:
    """One row an Executor. Raises Transient."""
    from keeper.chain.endpoints import Endpoints
    from keeper.chain.head import latest
    from keeper.cli import perp_verify
    from keeper.clock import SystemClock
    from keeper.daemon.camera import Camera
    from keeper.daemon.desks import identity, seat_of

    rows: list[tuple[str, ...]] = []
    for chain in settings.chains:
        named = [p for p in settings.positions if p.executor and settings.venue(p.venue).chain == chain.name]
        seats = [v for v in settings.venues if v.chain == chain.name and v.subaccount is not None]
        if not named and not seats:
            continue
        endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
        try:
            block = await latest(endpoints)
            camera = Camera(chain, endpoints, None)
            read = camera.reader(block)
            rows += await perp_verify.rows(settings, chain, (endpoints, block, camera)) if seats else []
            pools = await _pools(settings, chain, read)
            for p in named:
                kind = settings.venue(p.venue).kind
                seat = await seat_of(p, settings.venue(p.venue), chain.chain_id, read)
                around = (endpoints, read, block)
                found = await identity(p, around, settings.wallet.address, kind, seat)
                owner = (seat.owner if seat is not None else "") or p.account
                wrong = found.code or ("" if found.owner == owner else f"its owner is not {owner}")
                wrong = wrong or ("" if found.bot_share_bps else "the keeper's wallet is no bot of it")
                wrong = wrong or await _foreign(found.venues, chain, pools, read)
                wrong = wrong or elsewhere(found.venues, settings.venue(p.venue))
                wrong = wrong or await _cushion(p.executor or "", settings.venue(p.venue), chain, read)
                share = f"{found.bot_share_bps / 100:g} % of each cap"
                code = found.code or "the committed Executor's"
                routers = "-" if found.code else await _routers(p.executor or "", chain, read)
                row = (p.label, p.executor or "", code, found.owner, share, routers, _venues(found.venues))
                rows.append((*row, wrong or "as committed"))
        finally:
            await endpoints.close()
    return rows


async def _routers(executor: str, chain: ChainSettings, read: Read) -> str:
    """Which of the configured routers the owner has not allowed. Raises Transient."""
    from keeper.cli.owner_place import named_routers
    from keeper.executor.read import ROUTER_ALLOWED
    from keeper.model import Call

    named = tuple(named_routers(chain))
    if not named:
        return "none configured"
    asked = tuple(
        Call(target=executor, data=ROUTER_ALLOWED + bytes.fromhex(r[2:]).rjust(32, b"\0")) for r in named
    )
    words = await read(asked)
    refused = [r for i, r in enumerate(named) if not words.uint(i)]
    return f"not allowed: {', '.join(refused)}" if refused else "allowed"


def _venues(named: tuple[str, ...]) -> str:
    """The immutables that the owner named, those that are zero left out."""
    there = [f"{what} {v}" for what, v in zip(VENUES, named, strict=False) if int(v, 16)]
    return ", ".join(there) or "-"


async def _pools(settings: Settings, chain: ChainSettings, read: Read) -> frozenset[int]:
    """Pools of every Aave v3 market that is configured or known on the chain. Raises Transient."""
    from keeper.model import Call
    from keeper.venues import registry
    from keeper.venues.aave_v3.book import GET_POOL

    named = (*(v for v in settings.venues if v.chain == chain.name), *registry.known(chain.chain_id))
    markets = sorted({v.provider for v in named if v.kind == "aave_v3"})
    if not markets:
        return frozenset()
    words = await read(tuple(Call(target=m, data=GET_POOL) for m in markets))
    return frozenset(words.uint(i) for i in range(len(markets)) if words.ok[i] and words.count[i])


async def _cushion(executor: str, venue: VenueSettings, chain: ChainSettings, read: Read) -> str:
    """What it does not keep though its pool's rounding asks for it. Raises ConfigError, Transient."""
    from keeper.daemon.cushions import lacking, without
    from keeper.venues import registry

    if venue.kind != "aave_v3":
        return ""
    return without(await lacking(await registry.load(venue, chain.chain_id, read), executor, read))


def elsewhere(named: tuple[str, ...], venue: VenueSettings) -> str:
    """Why an Executor acts on another Morpho than the one where the position is; empty when it does not."""
    if venue.kind != "morpho_blue" or named[1].lower() == venue.provider.lower():
        return ""
    return f"its Morpho {named[1]} is not {venue.provider}, where the position is"


async def _foreign(named: tuple[str, ...], chain: ChainSettings, pools: frozenset[int], read: Read) -> str:
    """Which venue of an Executor's is not this chain's, as far as the configuration tells. Raises Transient."""
    from keeper.executor.abi import selector
    from keeper.model import Call

    aave, _, uniswap, pool_hash, _ = named
    if int(aave, 16) and int(aave, 16) not in pools:
        return f"its Aave pool {aave} is of no market that is configured or known here"
    if not int(uniswap, 16):
        return ""
    if pool_hash != UNISWAP_V3_POOL_HASH:
        return f"its hash of the pools' code {pool_hash} is not that of Uniswap v3"
    for what, target in (("quoter", chain.uniswap_quoter), ("router", chain.uniswap_router)):
        if target is None:
            continue
        words = await read((Call(target=target, data=selector("factory()")),))
        if not words.ok[0] or not words.count[0] or words.uint(0) != int(uniswap, 16):
            return f"its Uniswap factory {uniswap} is not that of the configured {what} {target}"
    return ""
