"""What the owner of a position signs for its Executor, printed with its meaning; nothing is sent from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.executor.grants import Signing
    from keeper.model import Token

HEADERS = ("to", "signs", "meaning", "announce", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The calls of one owner on one chain."""

    chain_id: int
    owner: str
    signings: tuple[Signing, ...]


async def wanted(settings: Settings, label: str, amounts: Mapping[str, str]) -> Wanted:
    """What the owner of ``label`` signs. Raises ConfigError (no such position, token or executor), Transient."""
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.executor.grants import Wish, signings
    from keeper.executor.load import Wanted as Place
    from keeper.venues.aave_v3 import AaveV3

    named = next((p for p in settings.positions if p.label == label), None)
    if named is None or named.executor is None:
        known = ", ".join(p.label for p in settings.positions if p.executor) or "none"
        raise ConfigError(
            (f"--executor {label}: no position of that label names an executor; those that do: {known}",)
        )
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; the owner allows it to act",))
    chain = settings.chain(settings.venue(named.venue).chain)
    async with opened(settings, chain) as site:
        guarded = next(g for g in site.guarded if g.label == label)
        venue = site.venues[guarded.venue_id]
        assert isinstance(venue, AaveV3)  # the only kind whose Executor ships
        position = (await site.view()).snapshot.position(guarded.id)
        place = Place(
            label=label, id=guarded.id, executor=named.executor, market=venue.spender, tokens=venue.tokens
        )
        collateral = _collateral(venue, amounts)
        return Wanted(
            chain_id=chain.chain_id,
            owner=named.account,
            signings=signings(
                Wish(
                    executor=named.executor,
                    key=place.key,
                    bot=settings.wallet.address,
                    policy=guarded.policy,
                    now_s=site.block.timestamp_s,
                    collateral=collateral,
                    receipts={x.token: x.a_token for x in venue.market.listings},
                    debt=tuple(h.amount.token for h in position.debt) if position is not None else (),
                )
            ),
        )


def show(found: Wanted, *, safe: bool, json: bool) -> None:
    """Print the calls, as a table or as JSON, or the file that a Safe's owners import."""
    import json as text

    from keeper.cli import table
    from keeper.executor.grants import transaction_builder

    if safe:
        print(text.dumps(transaction_builder(found.chain_id, found.owner, found.signings), indent=2))
        return
    rows = [
        (s.call.target, s.signs, s.meaning, s.announcement, "0x" + s.call.data.hex()) for s in found.signings
    ]
    if json:
        signs = [dict(zip(HEADERS, row, strict=True)) for row in rows]
        print(table.document({"owner": found.owner, "signs": signs}))
        return
    print(f"{found.owner} signs, in this order (nothing is sent from here):")
    table.show(HEADERS[:3], [row[:3] for row in rows])
    print(
        "More than an hour after the Executor was deployed, what loosens it is announced a day before: "
        "announce(hash) with the hash that --json shows."
    )


def _collateral(venue: object, amounts: Mapping[str, str]) -> dict[Token, int]:
    from keeper.errors import ConfigError
    from keeper.venues.aave_v3 import AaveV3

    assert isinstance(venue, AaveV3)
    by_symbol = {t.symbol: t for t in venue.tokens}
    unknown = tuple(
        f"--amount {s}: the venue lists no token of this symbol" for s in amounts if s not in by_symbol
    )
    if unknown:
        raise ConfigError(unknown)
    found = {}
    for symbol, number in amounts.items():
        token = by_symbol[symbol]
        units = Decimal(number) * 10**token.decimals
        if units != units.to_integral_value():
            raise ConfigError((f"--amount {symbol}={number}: {symbol} has {token.decimals} decimals",))
        found[token] = int(units)
    return found
