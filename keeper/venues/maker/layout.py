"""What one batch asks of a collateral type and its vaults, and where each answer stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.model import Call, PositionId
from keeper.venues.aave_v3.book import word
from keeper.venues.maker import book
from keeper.venues.maker.book import Market, Vault, ask

VAT, JUG, BASE, SPOT, PAR, DOG, LIVE, CASH, POKE, POKED = range(10)
"""Calls about the collateral type, the last two what a poke would make of the Vat's price; urns follow, then of the
vaults that have a number to whom each belongs, then whom those obey who held them when they were loaded."""
HEAD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One batch: the same accounts have the same one."""

    ids: tuple[PositionId, ...]
    vaults: tuple[Vault | None, ...]
    """Of each account, where it has a number."""
    owners_at: int
    obeyed_at: int
    calls: tuple[Call, ...]


def layout(market: Market, accounts: Sequence[str]) -> Layout:
    """The batch that reads the collateral type and the vaults."""
    key = bytes.fromhex(market.ilk[2:])
    by_urn = {v.urn: v for v in market.vaults}
    vaults = tuple(by_urn.get(a) for a in accounts)
    head = (
        ask(market.vat, book.ILKS, key),
        ask(market.jug, book.ILKS, key),
        ask(market.jug, book.BASE),
        ask(market.spotter, book.ILKS, key),
        ask(market.spotter, book.PAR),
        ask(market.dog, book.ILKS, key),
        ask(market.vat, book.LIVE),
        ask(market.gem.address, book.BALANCE_OF, word(market.gem_join)),
        ask(market.spotter, book.POKE, key),
        ask(market.vat, book.ILKS, key),
    )
    numbered = [v for v in vaults if v is not None]
    owners_at = HEAD + len(accounts)
    return Layout(
        ids=tuple(position_id(market, a) for a in accounts),
        vaults=vaults,
        owners_at=owners_at,
        obeyed_at=owners_at + len(numbered),
        calls=(
            *head,
            *(ask(market.vat, book.URNS, key, word(a)) for a in accounts),
            *(ask(market.manager, book.OWNS, word(v.number)) for v in numbered),
            *(ask(v.holder, book.OWNER) for v in numbered),
        ),
    )


def position_id(market: Market, account: str) -> PositionId:
    """A vault is its address in the Vat; the key is the collateral type."""
    return PositionId(venue=book.KIND, chain_id=market.chain_id, account=account, key=market.ilk_name)
