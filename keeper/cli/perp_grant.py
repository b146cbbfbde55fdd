"""What the owner of a GMX position signs for an Executor in the keeper's stead: its place, its terms, its grant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eth_abi.abi import encode
from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from keeper.cli.perp_announce import Change
    from keeper.cli.perp_terms import Terms
    from keeper.cli.subaccount import Row
    from keeper.config import PositionSettings, Settings, VenueSettings
    from keeper.daemon.wiring import Site
    from keeper.model import Block, Perp
    from keeper.seams import Transport
    from keeper.venues.gmx_v2.book import Read, Slot

TERMS = "(uint40,uint32,uint32,uint32,uint16,bool,uint32,uint32,uint128,uint128,uint128,uint128,uint128)"
HEADERS = ("call", "to", "taken", "data")
DEPLOY = "deploy(bytes,address)"
SET_POSITION = f"setPosition(address,address,bool,{TERMS})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user wants to be allowed for one position."""

    label: str
    actions: int
    """Orders that may follow, whatever was ordered before."""
    until_s: int
    amounts: Mapping[str, str] = field(default_factory=dict)
    """USD -> size that may be closed in a day; the margin's symbol -> what may be added in a day."""
    guardian: str = ""
    announce: bool = False
    """Only what is announced a day before the rest."""


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
    from keeper.cli import perp_announce, subaccount
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
        subaccount.needs_grant(slot)
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
        read = site.camera.reader(block)
        off, notes = await _off(settings, asked.label, (slot, place), read)
        stands = perp_announce.Stands(executor=place, now_s=block.timestamp_s)
        if not deployments:
            key = slot.position(position.account)
            stands = await perp_announce.stands(place, key, read, block.timestamp_s)
        wallet = settings.wallet.address
        data = _data("setBot(address,uint40)", wallet, asked.until_s)
        bot = await perp_announce.bot(stands, wallet, asked.until_s, data, read)

        def named(t: Terms) -> bytes:
            return _data(SET_POSITION, slot.market, slot.collateral.address, slot.long, t)

        placed = await perp_announce.position(stands, (policy, words), named, read)
        count = await subaccount.counted(slot, position.account, place, read)
    total = count.total(asked.actions)
    given = subaccount.calls(position, replace(venue, subaccount=place), total, asked.until_s)
    changes = {"setBot": bot, "setPosition": placed}
    found = _in_order(asked, (position.account, place), changes, (deployments, given, off, notes), block)
    return found if asked.announce else replace(found, notes=(*found.notes, count.note(asked.actions)))


def _in_order(
    asked: Asked,
    at: tuple[str, str],
    changes: Mapping[str, Change],
    others: tuple[Sequence[Row], Sequence[Row], Sequence[Row], tuple[str, ...]],
    block: Block,
) -> Wanted:
    """The Executor, its terms, GMX's grant to it, and last what takes the old key off; or the announcements alone."""
    from keeper.cli import perp_announce

    now_s, (deployments, given, off, notes) = block.timestamp_s, others
    waits = [c for c in changes.values() if c.refused(now_s)]
    times = perp_announce.notes(tuple(changes.values()), now_s, announce=asked.announce)
    if asked.announce:
        data = [perp_announce.announcement(c.data) for c in waits if not c.ready_s]
        return Wanted(rows=tuple({**_raw(at, "announce", d), "taken": "now"} for d in data), notes=times)
    guardian = [_row(at, "setGuardian(address)", asked.guardian)] if asked.guardian else []
    own = [{**_raw(at, call, c.data), "taken": c.taken(now_s)} for call, c in changes.items()]
    if waits and off:
        # until the Executor may order, the key is all that guards the position
        times += ("what takes the keeper's key off GMX's list is printed when these are taken",)
        off, notes = (), ()
    rows = [{**r, "taken": r.get("taken", "now")} for r in (*deployments, *guardian, *own, *given, *off)]
    return Wanted(rows=tuple(rows), notes=(*times, *notes))


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
    from keeper.cli import table

    if json:
        print(table.document({"calls": [dict(r) for r in found.rows], "notes": list(found.notes)}))
        return
    if found.rows:
        table.show(HEADERS, [tuple(str(r[h]) for h in HEADERS) for r in found.rows])
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
    return _raw(at, signature.partition("(")[0], _data(signature, *values))


def _data(signature: str, *values: object) -> bytes:
    return keccak(text=signature)[:4] + encode(_kinds(signature.partition("(")[2][:-1]), list(values))


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
