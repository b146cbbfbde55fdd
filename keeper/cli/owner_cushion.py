"""The few units that an Executor keeps where its pool rounds half up: what gives them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.executor.grants import Signing
    from keeper.executor.load import Read
    from keeper.model import Token
    from keeper.seams import Venue


async def signings(
    venue: Venue, owner: str, executor: str, sold: Collection[Token], read: Read
) -> tuple[tuple[Signing, ...], str]:
    """(What the owner signs once so that sales of those tokens never lack a unit, what he cannot give yet).

    Raises Transient.
    """
    from keeper.executor.grants import Signing
    from keeper.executor.read import BALANCE_OF
    from keeper.model import Call
    from keeper.venues.cushion import Cushioned

    every = venue.cushions(executor) if isinstance(venue, Cushioned) else ()
    found = [c for c in every if c.token in sold]
    if not found:
        return (), ""
    held = [
        Call(target=c.receipt, data=BALANCE_OF + bytes.fromhex(owner[2:]).rjust(32, b"\0")) for c in found
    ]
    words = await read((*(c.asks for c in found), *held))
    missing = [(c, words.uint(len(found) + i)) for i, c in enumerate(found) if not words.uint(i)]
    later = [f"a{c.token.symbol}" for c, has in missing if has < c.units]
    signs = tuple(
        Signing(
            call=c.gives,
            signs=f"transfer({executor}, {c.units}) on {c.receipt}",
            meaning=f"the Executor keeps {c.units} of the smallest units of a{c.token.symbol} for good: this pool "
            "rounds half up, and without them some sales would lack the last one",
        )
        for c, has in missing
        if has >= c.units
    )
    note = (
        f"the Executor keeps nothing of {', '.join(later)}, and the owner has none to give: some sales would lack "
        "the last unit; ask again once collateral is supplied"
        if later
        else ""
    )
    return signs, note
