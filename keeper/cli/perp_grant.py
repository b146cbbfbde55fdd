"""What the owner of a GMX position signs for an Executor in the keeper's stead: its place, its terms, its grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eth_abi.abi import encode
from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from keeper.cli.subaccount import Row
    from keeper.config import PositionSettings, Settings, VenueSettings
    from keeper.daemon.wiring import Site
    from keeper.model import Block, Perp
    from keeper.seams import Transport
    from keeper.venues.gmx_v2.book import Read, Slot

TERMS = "(uint40,uint32,uint32,uint32,uint16,bool,uint32,uint32,uint128,uint128,uint128,uint128,uint128)"
DEPLOY = "deploy(bytes,address)"
SET_POSITION = f"setPosition(address,address,bool,{TERMS})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user wants to be allowed for one position."""

    label: str
    actions: int
    until_s: int
    amounts: Mapping[str, str] = field(default_factory=dict)
    """USD -> size that may be closed in a day; the margin's symbol -> what may be added in a day."""
    guardian: str = ""


def needed(until_s: int | None) -> int:
    """The end of a grant, which must have one. Raises ConfigError."""
    from keeper.errors import ConfigError

    if until_s is None:
        raise ConfigError(("--until: is required: a grant without an end is none",))
    return until_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The owner's calls in their order, and what he must know of them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


async def wanted(settings: Settings, asked: Asked) -> Wanted:
    """What the owner signs. Raises ConfigError, Transient."""
    from keeper.cli import subaccount
    from keeper.cli.perp_terms import Wished, terms
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.venues.gmx_v2 import GmxV2

    position, venue = subaccount.found(settings, asked.label)
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; it is the bot that the Executor obeys",))
    # as it stands without anybody's leave: what is configured as its subaccount may not be there yet
    bare = replace(settings, venues=(replace(venue, subaccount=None),), positions=(position,), pairs=())
    async with opened(bare, settings.chain(venue.chain)) as site:
        (gmx,) = site.venues.values()
        assert isinstance(gmx, GmxV2)
        slot, block = gmx.slot, site.block
        policy = settings.policy(position.policy)
        words = terms(
            Wished(
                policy=policy,
                slot=slot,
                perp=await _standing(site),
                block=block,
                until_s=asked.until_s,
                amounts=asked.amounts,
            )
        )
        place, deployments = await _deployment(position, venue, (site.endpoints, block))
        off, notes = await _off(settings, asked.label, (gmx.slot, place), site.camera.reader(block))
    at = (position.account, place)
    rows = [
        *deployments,
        *([_row(at, "setGuardian(address)", asked.guardian)] if asked.guardian else []),
        _row(at, "setBot(address,uint40)", settings.wallet.address, asked.until_s),
        _row(at, SET_POSITION, slot.market, slot.collateral.address, slot.long, words),
    ]
    named = replace(venue, subaccount=place)
    given = subaccount.calls(position, named, asked.actions, asked.until_s)
    # last: until the Executor may order, the key is all that guards the position
    return Wanted(rows=(*rows, *given, *off), notes=notes)


async def _off(
    settings: Settings, label: str, at: tuple[Slot, str], read: Read
) -> tuple[list[Row], tuple[str, ...]]:
    """What takes the keeper's wallet, and whoever ordered for this position so far, off the owner's list on GMX; and
    why one of them stays. Raises Transient."""
    from keeper.cli import subaccount
    from keeper.daemon import perp_listed

    slot, place = at
    position, venue = subaccount.found(settings, label)
    mine = {a.lower(): a for a in (settings.wallet.address, venue.subaccount) if a is not None}
    mine.pop(place.lower(), None)
    rows: list[Row] = []
    notes: list[str] = []
    for key in await perp_listed.listed(slot, position.account, tuple(mine.values()), read):
        others = [x for x in perp_listed.serving(settings, position.account, key) if x != label]
        if others:
            why = f"{key} stays a subaccount of {position.account}, unbounded on every market: it still orders for"
            notes.append(
                f"{why} {', '.join(others)}; grant that through an Executor, too, and it is taken off then"
            )
            continue
        rows.append(_row((position.account, slot.subaccounts), "removeSubaccount(address)", key))
    if venue.subaccount is None or venue.subaccount.lower() != place.lower():
        notes.append(f'write venues.{venue.name}.subaccount = "{place}" before the last of these is signed')
    return rows, tuple(notes)


def show(found: Wanted, *, json: bool) -> None:
    """A table with its notes, or JSON."""
    from keeper.cli import subaccount, table

    if json:
        print(table.document({"calls": [dict(r) for r in found.rows], "notes": list(found.notes)}))
        return
    subaccount.show(found.rows, json=False)
    print("\n".join(found.notes), end="\n" if found.notes else "")


async def _standing(site: Site) -> Perp:
    """The one position as it is: its terms follow from its margin, its size and what it owes. Raises ConfigError,
    Transient."""
    from keeper.errors import ConfigError

    snapshot, (guarded,) = (await site.view()).snapshot, site.guarded
    position = snapshot.position(guarded.id)
    if position is not None and position.perp is not None:
        return position.perp
    unread = next((u.why for u in snapshot.unreadable if u.id == guarded.id), "it is not open")
    why = "the Executor's terms follow from its margin, its size and what it owes, so it must be there to be read"
    raise ConfigError((f"--subaccount {guarded.label}: {unread}; {why}",))


async def _deployment(
    position: PositionSettings, venue: VenueSettings, at: tuple[Transport, Block]
) -> tuple[str, list[Row]]:
    """The Executor's address, and what puts it there where it is not yet. Raises Transient."""
    from keeper.daemon.desks import code
    from keeper.executor import verify
    from keeper.executor.perp_bounded import NAME

    endpoints, block = at
    owner = position.account
    place, factory = (
        verify.executor_address(owner, NAME, venue.provider),
        verify.factory_address(NAME),
    )
    rows: list[Row] = []
    if not await code(factory, endpoints, block):
        creation = verify.artifact(verify.factory_of(NAME)).creation
        rows.append(_raw((owner, verify.CREATE2_DEPLOYER), "deploy the factory", verify.SALT + creation))
    if not await code(place, endpoints, block):
        rows.append(_row((owner, factory), DEPLOY, verify.artifact(NAME).creation, venue.provider))
    return place, rows


def _row(at: tuple[str, str], signature: str, *values: object) -> Row:
    name, _, kinds = signature.partition("(")
    data = keccak(text=signature)[:4] + encode(_kinds(kinds[:-1]), list(values))
    return _raw(at, name, data)


def _raw(at: tuple[str, str], call: str, data: bytes) -> Row:
    return {"call": call, "from": at[0], "to": at[1], "data": "0x" + data.hex(), "value_wei": "0"}


def _kinds(text: str) -> list[str]:
    """Types at the top, a tuple whole."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found
