"""What the owner of a GMX position signs, so that the keeper's wallet may order for him: three calls, bounded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.config import PositionSettings, Settings, VenueSettings
from keeper.errors import ConfigError
from keeper.executor.perp import ACTION

if TYPE_CHECKING:
    from keeper.venues.gmx_v2.book import Read, Slot

HEADERS = ("call", "to", "data")
Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """GMX's count of what a subaccount ordered for an owner, and the total up to which it may.

    The count only grows: neither a new grant nor taking the subaccount off the list begins it anew, so a grant of N
    to somebody who ordered N times already allows nothing. Source: SubaccountUtils.handleSubaccountAction.
    """

    who: str
    used: int
    most: int

    def total(self, further: int) -> int:
        """What is written so that ``further`` orders may follow. Raises ConfigError where that is none."""
        if further <= 0:
            why = f"--actions {further}: allows no order beyond the {self.used} that {self.who} gave already"
            raise ConfigError((why,))
        return self.used + further

    def note(self, further: int) -> str:
        """Why another number is written than was asked for."""
        left = max(0, self.most - self.used)
        return (
            f"GMX counts the orders of {self.who} for ever ({self.used} so far) and is told a total: "
            f"{self.used} + {further} = {self.total(further)} is written, so {further} may follow "
            f"({left} are left of the grant before)"
        )


async def counted(slot: Slot, account: str, who: str, read: Read) -> Counted:
    """As the chain counts now. Raises Transient, also where it does not tell: a total is not guessed."""
    from keeper.errors import Transient
    from keeper.venues.gmx_v2 import book

    action = bytes.fromhex(ACTION[2:])
    fields = ("SUBACCOUNT_ACTION_COUNT", "MAX_ALLOWED_SUBACCOUNT_ACTION_COUNT")
    keys = [book.key(field, account, who, action) for field in fields]
    words = await read([book.ask(slot.store, book.GET_UINT, k) for k in keys])
    if not all(words.ok[i] and words.count[i] for i in range(len(keys))):
        raise Transient(f"how often {who} ordered for {account} already could not be read")
    return Counted(who=who, used=words.uint(0), most=words.uint(1))


async def wanted(
    settings: Settings, label: str, actions: int, until_s: int | None
) -> tuple[tuple[Row, ...], str]:
    """The calls in their order, for the account of that position, and how their number came about. Raises
    ConfigError, Transient.

    They name the subaccount, how often and how long it may order; none of them moves a token, and no allowance of the
    owner's is asked for: what the keeper adds comes from its own wallet.
    """
    from keeper.daemon.wiring import opened
    from keeper.venues.gmx_v2 import GmxV2

    position, venue = found(settings, label)
    if venue.subaccount is None:
        raise ConfigError((f"venues.{venue.name}.subaccount: is not set; it is the keeper's own wallet",))
    if until_s is None:
        raise ConfigError((f"--until: is required: a grant to {venue.subaccount} without an end is none",))
    if actions <= 0:
        raise ConfigError((f"--actions: {actions} allows nothing",))
    # as it stands without anybody's leave: what is configured as its subaccount may not be there yet
    bare = replace(settings, venues=(replace(venue, subaccount=None),), positions=(position,), pairs=())
    async with opened(bare, settings.chain(venue.chain)) as site:
        (gmx,) = site.venues.values()
        assert isinstance(gmx, GmxV2)
        needs_grant(gmx.slot)
        count = await counted(gmx.slot, position.account, venue.subaccount, site.camera.reader(site.block))
    return calls(position, venue, count.total(actions), until_s), count.note(actions)


def needs_grant(slot: Slot) -> None:
    """Raises ConfigError where nobody orders as a subaccount."""
    if slot.own:
        where = f"venues.{slot.name}.provider {slot.target}"
        why = "is the ExchangeRouter, through which the account itself orders: there is nothing that it grants. Its "
        why += "margin needs `keeper grant --amount SYMBOL=AMOUNT` alone; for another key name the SubaccountRouter"
        raise ConfigError((f"{where}: {why}",))


def calls(position: PositionSettings, venue: VenueSettings, total: int, until_s: int) -> tuple[Row, ...]:
    """The grant to that venue's subaccount: up to ``total`` orders since it gave its first."""
    assert venue.subaccount is not None
    action = bytes.fromhex(ACTION[2:])
    kinds = ("address", "bytes32", "uint256")
    three = (
        ("addSubaccount(address)", ("address",), (venue.subaccount,)),
        (
            "setMaxAllowedSubaccountActionCount(address,bytes32,uint256)",
            kinds,
            (venue.subaccount, action, total),
        ),
        ("setSubaccountExpiresAt(address,bytes32,uint256)", kinds, (venue.subaccount, action, until_s)),
    )
    return tuple(
        {
            "call": signature.split("(")[0],
            "from": position.account,
            "to": venue.provider,
            "data": "0x" + (keccak(text=signature)[:4] + encode(types, values)).hex(),
            "value_wei": "0",
        }
        for signature, types, values in three
    )


def found(settings: Settings, label: str) -> tuple[PositionSettings, VenueSettings]:
    """Position and venue of that label, which must be GMX's. Raises ConfigError."""
    position = next((p for p in settings.positions if p.label == label), None)
    if position is None:
        raise ConfigError((f"--subaccount {label}: no position of that label is configured",))
    venue = settings.venue(position.venue)
    if venue.kind != "gmx_v2":
        raise ConfigError((f"--subaccount {label}: {venue.kind} knows no subaccounts; they are GMX's",))
    return position, venue


def show(found: tuple[tuple[Row, ...], str], *, json: bool, headers: tuple[str, ...] = HEADERS) -> None:
    """A table with its note, or JSON."""
    from keeper.cli import table

    rows, note = found
    if json:
        print(table.document({"calls": [dict(r) for r in rows], "notes": [note]}))
        return
    if rows:
        table.show(headers, [tuple(str(r[h]) for h in headers) for r in rows])
    print(note)
