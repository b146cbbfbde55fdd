"""``keeper verify``: every reader against its venue's own views, at one block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments
from keeper.cli.endings import usage

if TYPE_CHECKING:
    from keeper.chain.endpoints import Endpoints
    from keeper.config import Settings
    from keeper.daemon.camera import Camera
    from keeper.daemon.known import Wish
    from keeper.model import Block, PositionId
    from keeper.seams import Venue
    from keeper.venues.asking import Fact

HEADERS = ("position", "what", "ours", "the venue's", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One account on one market: both sides, and why one of them could not be known."""

    id: PositionId
    facts: tuple[Fact, ...]
    why: str = ""

    @property
    def equal(self) -> bool:
        """Every fact, and nothing was left unknown."""
        return not self.why and bool(self.facts) and all(f.equal for f in self.facts)

    @property
    def empty(self) -> bool:
        """Both sides say that there is nothing."""
        from keeper.units import UINT256_MAX

        nothing = {0, UINT256_MAX}
        return self.equal and all(isinstance(f.ours, bool) or f.ours in nothing for f in self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """One chain at the block that everything was asked at."""

    block: Block
    proofs: tuple[Proof, ...]
    missed: tuple[str, ...] = ()


def command(
    rpc: Annotated[
        str | None, typer.Option("--rpc", help="An http(s) JSON-RPC endpoint; it decides the chain.")
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", help="An account to look at; may be given again.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="PoolAddressesProvider of a market that is not known.")
    ] = None,
    market: Annotated[
        str | None,
        typer.Option("--market", help="Id of a Morpho Blue market; --provider is then its contract."),
    ] = None,
    block: Annotated[
        int | None, typer.Option("--block", min=0, help="Of this block, not the newest.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Its positions, on its endpoints.")
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Prove the readers against the venues' own views.

    Reads the accounts as the daemon does, asks each venue itself (Aave's getUserAccountData, Morpho's accrual and
    verdict, Compound's borrowBalanceOf, isLiquidatable and isBorrowCollateralized, Maker's Vat, Jug and Dog) at the
    same block hash, and shows both. Sends nothing, needs no key. Exits with 0 when all is equal, 1 when anything
    differs or could not be read, 69 when nothing answers.

    Example: keeper verify --rpc https://your-endpoint --account 0xYourAddress
    """
    accounts = tuple(dict.fromkeys(arguments.address("--account", a) for a in account or ()))
    if rpc is None:
        _config_alone(accounts, provider, market)
    elif not accounts:
        raise usage("--account", "is missing: name at least one account to look at")
    elif config is not None:
        raise usage("--config", "goes without --rpc: its own endpoints are asked")
    url = None if rpc is None else arguments.http_url("--rpc", rpc)
    place = None if provider is None else arguments.address("--provider", provider)
    id = None if market is None else arguments.market_id("--market", market)
    from keeper.cli import kernels
    from keeper.cli.endings import drive
    from keeper.config import load

    if url is None:
        settings = load(config or arguments.CONFIG)
        kernels.prepare()
        raise typer.Exit(show(drive(of_settings(settings, block)), json=json))
    kernels.prepare()
    from keeper.daemon.known import Wish

    wishes = tuple(Wish(account=a, provider=place, market=id) for a in accounts)
    raise typer.Exit(show((drive(of_endpoint(url, wishes, block)),), json=json))


def _config_alone(accounts: Sequence[str], provider: str | None, market: str | None) -> None:
    given = {"--account": accounts, "--provider": provider, "--market": market}
    for name, value in given.items():
        if value:
            raise usage(name, "goes with --rpc; without it the configuration's positions are looked at")


async def of_endpoint(url: str, wishes: Sequence[Wish], number: int | None) -> Proved:
    """Accounts on every market known for the endpoint's chain, or on the one named. Raises ConfigError, Transient."""
    from keeper.chain.endpoints import Endpoints
    from keeper.clock import SystemClock
    from keeper.daemon import known
    from keeper.daemon.camera import Camera
    from keeper.daemon.wiring import chain_of

    chain = await chain_of(url)
    endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
    try:
        block = await _pinned(endpoints, number)
        camera = Camera(chain, endpoints, None)
        venues: dict[str, Venue] = {}
        accounts: dict[str, tuple[str, ...]] = {}
        missed: dict[str, None] = {}
        for wish in wishes:
            found, unseen = await known.markets(camera, endpoints, (chain, block), wish)
            missed |= dict.fromkeys(unseen)
            for f in found:
                venues.setdefault(f.venue.id, f.venue)
                accounts[f.venue.id] = (*accounts.get(f.venue.id, ()), wish.account)
        proofs = await _prove(camera, venues, accounts, block, chain.multicall)
        return Proved(block=block, proofs=proofs, missed=tuple(missed))
    finally:
        await endpoints.close()


async def of_settings(settings: Settings, number: int | None) -> tuple[Proved, ...]:
    """The guarded positions of every chain. Raises ConfigError, Transient."""
    from keeper.chain.endpoints import Endpoints
    from keeper.clock import SystemClock
    from keeper.daemon.wiring import site

    if number is not None and len(settings.chains) > 1:
        raise usage("--block", "is of one chain; the configuration has several")
    told: list[Proved] = []
    for chain in settings.chains:
        endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
        try:
            here = await site(settings, chain, endpoints, await _pinned(endpoints, number))
            here.camera.supplement = None
            accounts: dict[str, tuple[str, ...]] = {}
            for g in here.guarded:
                accounts[g.venue_id] = (*accounts.get(g.venue_id, ()), g.id.account)
            proofs = await _prove(here.camera, here.venues, accounts, here.block, chain.multicall)
            told.append(Proved(block=here.block, proofs=proofs))
        finally:
            await endpoints.close()
    return tuple(told)


async def _pinned(endpoints: Endpoints, number: int | None) -> Block:
    """The block that everything is asked at. Raises Transient."""
    from keeper.chain.block import parse_block
    from keeper.chain.head import latest
    from keeper.errors import Transient

    if number is None:
        return await latest(endpoints)
    told = await endpoints.request("eth_getBlockByNumber", [hex(number), False])
    if told is None:
        raise Transient(f"the endpoint knows no block {number}")
    return parse_block(endpoints.chain.chain_id, told)


async def _prove(
    camera: Camera,
    venues: Mapping[str, Venue],
    accounts: Mapping[str, tuple[str, ...]],
    block: Block,
    multicall: str,
) -> tuple[Proof, ...]:
    """Both sides of each account on each market. Raises Transient."""
    import asyncio

    from keeper.daemon.shadow import ShadowBook
    from keeper.errors import Rejected, Unread
    from keeper.venues.asking import Asking, facts

    snapshot = await camera.photograph(venues, accounts, block, ShadowBook(), {})
    unread = {u.id: u.why for u in snapshot.unreadable}
    asking = Asking(camera.transport, multicall, block)

    async def one(venue: Venue, account: str) -> Proof:
        id = venue.position_id(account)
        found = snapshot.position(id)
        why = "" if found is not None else unread.get(id, "our reader says nothing of it")
        try:
            told = await facts(venue, account, found, asking)
        except (Unread, Rejected) as error:
            return Proof(id=id, facts=(), why="; ".join(w for w in (why, str(error)) if w))
        return Proof(id=id, facts=told, why=why)

    return tuple(await asyncio.gather(*(one(venues[v], a) for v, some in accounts.items() for a in some)))


def show(told: Sequence[Proved], *, json: bool) -> int:
    """Print what was found on stdout; returns the exit code."""
    from keeper.cli import table
    from keeper.cli.endings import say
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    proofs = [p for chain in told for p in chain.proofs]
    equal = bool(proofs) and all(p.equal for p in proofs)
    for chain in told:
        for missed in chain.missed:
            say(f"not looked at: {missed}")
    if json:
        print(table.document(_document(told, equal=equal)))
        return EXIT_OK if equal else EXIT_FINDINGS
    for chain in told:
        b = chain.block
        print(f"chain {b.chain_id}, block {b.number}, hash {b.hash}")
    if rows := [row for p in proofs if not p.empty for row in _rows(p)]:
        table.show(HEADERS, rows)
    if nothing := sum(p.empty for p in proofs):
        print(f"{nothing} more: nothing there, as the venue says too")
    wrong = sum(not p.equal for p in proofs)
    print("all equal" if equal else f"{wrong} of {len(proofs)} differ or could not be read")
    return EXIT_OK if equal else EXIT_FINDINGS


def _rows(proof: Proof) -> list[tuple[str, str, str, str, str]]:
    name = str(proof.id)
    rows = [(name, f.what, _text(f.ours), _text(f.venue), _verdict(f)) for f in proof.facts]
    return [*rows, (name, "UNREADABLE", "", "", proof.why)] if proof.why else rows


def _verdict(fact: Fact) -> str:
    if fact.equal:
        return "equal"
    return "DIFFERS" if isinstance(fact.venue, bool) else f"DIFFERS by {fact.ours - fact.venue:+d}"


def _text(value: int | bool) -> str:
    from keeper.units import UINT256_MAX

    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no debt" if value == UINT256_MAX else str(value)


def _document(told: Sequence[Proved], *, equal: bool) -> dict[str, object]:
    """The body of ``keeper verify --json``; integers are strings, verdicts are booleans."""
    blocks = [{"chain_id": c.block.chain_id, "number": c.block.number, "hash": c.block.hash} for c in told]
    positions = [
        {
            "id": str(p.id),
            "account": p.id.account,
            "equal": p.equal,
            "why": p.why or None,
            "facts": [
                {"what": f.what, "ours": _plain(f.ours), "venue": _plain(f.venue), "equal": f.equal}
                for f in p.facts
            ],
        }
        for c in told
        for p in c.proofs
    ]
    missed = [m for c in told for m in c.missed]
    return {"equal": equal, "blocks": blocks, "positions": positions, "missed": missed}


def _plain(value: int | bool) -> str | bool:
    return value if isinstance(value, bool) else str(value)
