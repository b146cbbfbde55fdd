"""What the owner of a GMX position signs, so that the keeper's wallet may order for him: three calls, bounded."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.config import PositionSettings, Settings, VenueSettings
from keeper.errors import ConfigError
from keeper.executor.perp import ACTION

HEADERS = ("call", "to", "data")
ACTIONS = 50
"""How many orders, taken back or given, a grant lasts for."""
Row = dict[str, object]


def wanted(settings: Settings, label: str, actions: int, until_s: int | None) -> tuple[Row, ...]:
    """The calls in their order, for the account of that position. Raises ConfigError.

    They name the subaccount, how often and how long it may order; none of them moves a token, and no allowance of the
    owner's is asked for: what the keeper adds comes from its own wallet.
    """
    position, venue = found(settings, label)
    if venue.subaccount is None:
        raise ConfigError((f"venues.{venue.name}.subaccount: is not set; it is the keeper's own wallet",))
    if until_s is None:
        raise ConfigError((f"--until: is required: a grant to {venue.subaccount} without an end is none",))
    if actions <= 0:
        raise ConfigError((f"--actions: {actions} allows nothing",))
    return calls(position, venue, actions, until_s)


def calls(position: PositionSettings, venue: VenueSettings, actions: int, until_s: int) -> tuple[Row, ...]:
    """The grant to that venue's subaccount."""
    assert venue.subaccount is not None
    action = bytes.fromhex(ACTION[2:])
    kinds = ("address", "bytes32", "uint256")
    three = (
        ("addSubaccount(address)", ("address",), (venue.subaccount,)),
        (
            "setMaxAllowedSubaccountActionCount(address,bytes32,uint256)",
            kinds,
            (venue.subaccount, action, actions),
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


def show(rows: tuple[Row, ...], *, json: bool) -> None:
    """A table, or JSON."""
    from keeper.cli import table

    if json:
        print(table.document({"calls": [dict(r) for r in rows]}))
    else:
        table.show(HEADERS, [tuple(str(r[h]) for h in HEADERS) for r in rows])
