"""The Executors of one chain, looked at before anything is sold through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.chain.endpoints import Endpoints
from keeper.config import ChainSettings, PositionSettings, Settings, VenueSettings
from keeper.daemon.camera import Camera
from keeper.errors import Transient
from keeper.executor import load, vault, verify
from keeper.executor.abi import ZERO
from keeper.executor.desk import Desk
from keeper.executor.load import Place, Read, Wanted
from keeper.executor.read import BOT_OF
from keeper.executor.seat import Seat, Seated
from keeper.model import Block, Call
from keeper.seams import Transport, Venue
from keeper.venues import registry


async def proven(
    settings: Settings,
    chain: ChainSettings,
    around: tuple[Endpoints, Camera, Block],
    by_name: Mapping[str, Venue],
) -> tuple[Desk | None, tuple[str, ...]]:
    """The desk of the chain's Executors as of a block, None where no position names one; and why it lacks each whose
    code, maker or owner is not what it must be, or through which a sale could never be made.

    ``by_name``: the chain's venues by their names in the configuration. Raises Transient.
    """
    endpoints, camera, block = around
    named, lacking = wanted(settings, by_name)
    if not named:
        return None, lacking
    read = camera.reader(block)
    found = [
        (
            w,
            await problem(w.executor, w.owner, endpoints, block, _artifact(w))
            or await misnamed(w.executor, w.seat, read),
        )
        for w in named
    ]
    wrong = tuple(f"positions.{w.label}.executor {w.executor}: {why}" for w, why in found if why)
    asked = tuple(w for w, why in found if not why)
    place = Place(
        bot=settings.wallet.address or ZERO,
        multicall=chain.multicall,
        quoter=chain.uniswap_quoter,
        router=chain.uniswap_router,
        via=chain.swap_via,
        aggregator=chain.aggregator.router if chain.aggregator is not None else "",
    )
    desk, others = await load.load(asked, place, read)
    return desk, (*lacking, *wrong, *others)


def wanted(settings: Settings, by_name: Mapping[str, Venue]) -> tuple[tuple[Wanted, ...], tuple[str, ...]]:
    """Every position of those venues that names an Executor; and of each for whose venue none ships, or for which a
    sale could never be made, why.
    """
    found, problems = list[Wanted](), list[str]()
    for p in settings.positions:
        if p.executor is None or p.venue not in by_name:
            continue
        venue = by_name[p.venue]
        seat = venue.seat(p.account) if isinstance(venue, Seated) else None
        if seat is None or seat.lacks:
            why = seat.lacks if seat is not None else _unseated(venue.kind)
            problems.append(f"positions.{p.label}.executor {p.executor}: {why}")
            continue
        found.append(
            Wanted(
                label=p.label,
                id=venue.position_id(p.account),
                executor=p.executor,
                market=venue.spender,
                tokens=venue.tokens,
                seat=seat,
            )
        )
    return tuple(found), tuple(problems)


def _unseated(kind: str) -> str:
    ships = ", ".join(k.name for k in registry.KINDS if k.executor)
    return f"no Executor ships for {kind}, only for {ships}; leave executor out"


def _artifact(wanted: Wanted) -> str:
    return registry.executor_of(wanted.id.venue) or verify.NAME


def listed(found: object) -> frozenset[tuple[str, str, int]]:
    """(Executor, token, side) of everything that a desk's Executors list."""
    posts = found.posts if isinstance(found, Desk) else ()
    return frozenset((p.executor, x.token.address, int(x.side)) for p in posts for x in p.listed)


async def problem(
    executor: str, owner: str, transport: Transport, block: Block, name: str = verify.NAME
) -> str:
    """Why an address is not known to hold that owner's Executor, code first; empty when it is proven.

    ``name``: of the contract that it must be. Raises Transient.
    """
    wrong = verify.differs(await code(executor, transport, block), verify.artifact(name))
    if wrong:
        return wrong
    factory = await code(verify.factory_address(name), transport, block)
    return verify.unproven(executor, owner, factory, name)


async def misnamed(executor: str, seat: Seat | None, read: Read) -> str:
    """What its owner named at deployment that is not what the venue found on this chain; empty where all of it is,
    or nothing is named. Of a proven Executor only. Raises Transient.
    """
    if seat is None or not seat.names:
        return ""
    books = _checksum((await read((Call(target=executor, data=vault.BOOKS),))).uint(0).to_bytes(32))
    words = await read((Call(target=books, data=vault.NAMED),))
    told = [_checksum(words.uint(0, i).to_bytes(32)) for i in range(len(seat.names))]
    wrong = [f"{k} {at}, not {v}" for (k, v), at in zip(seat.names.items(), told, strict=True) if at != v]
    return f"it was deployed for {', '.join(wrong)}" if wrong else ""


async def code(address: str, transport: Transport, block: Block) -> bytes:
    """What stands at an address. Raises Transient."""
    found = await transport.request("eth_getCode", [address, {"blockHash": block.hash}])
    if not isinstance(found, str) or not found.startswith("0x"):
        raise Transient(f"eth_getCode answered {type(found).__name__}, not code")
    return bytes.fromhex(found[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What stands at an Executor's address."""

    code: str
    """How its code differs from the committed one, or why nobody can tell who made it; empty when it does not."""
    owner: str = ""
    """This and what follows are empty where the code is another's: nothing that it says can be believed."""
    bot_share_bps: int = 0
    venues: tuple[str, ...] = ()
    """Aave pool, Morpho Blue, Uniswap factory, hash of its pools' code, Balancer vault: its immutables."""


async def identity(
    position: PositionSettings,
    at: tuple[Transport, Read, Block],
    bot: str | None,
    kind: str = "aave_v3",
    seat: Seat | None = None,
) -> Identity:
    """Code and maker first, and only then what it says of itself. ``kind``: of the position's venue, ``seat``: where
    its account is not its owner. Raises Transient.
    """
    transport, read, block = at
    executor, name = position.executor or ZERO, registry.executor_of(kind)
    if not name:
        return Identity(code=_unseated(kind))
    owner = (seat.owner if seat is not None else "") or position.account
    wrong = await problem(executor, owner, transport, block, name) or await misnamed(executor, seat, read)
    if wrong:
        return Identity(code=wrong)
    who = bytes.fromhex((bot or ZERO)[2:]).rjust(32, b"\0")
    asked = (load.OWNER, BOT_OF + who, load.VENUES)
    words = await read(tuple(Call(target=executor, data=data) for data in asked))
    told = [words.uint(2, i).to_bytes(32) for i in range(5)]
    return Identity(
        code="",
        owner=_checksum(words.uint(0).to_bytes(32)),
        bot_share_bps=words.uint(1),
        venues=tuple("0x" + w.hex() if i == 3 else _checksum(w) for i, w in enumerate(told)),
    )


async def seat_of(position: PositionSettings, venue: VenueSettings, chain_id: int, read: Read) -> Seat | None:
    """The seat of a position whose account is a vault; None where the account is the owner. Raises ConfigError,
    Transient.
    """
    if not registry.holds_vaults(venue.kind):
        return None
    found = await registry.load(venue, chain_id, read)
    return found.seat(position.account) if isinstance(found, Seated) else None


def _checksum(word: bytes) -> str:
    return str(to_checksum_address(word[12:]))
