"""What one batch asks of a collateral type and its vaults, and the words back to positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.model import Amount, Block, BookRow, Call, Holding, Position, PositionId, Reserve, Unreadable
from keeper.seams import Reading, Seen, Shadow
from keeper.units import BPS, RAY, WAD, YEAR_S
from keeper.venues.aave_v3.book import checksum, word
from keeper.venues.maker import book, math
from keeper.venues.maker.book import Market, Vault, ask
from keeper.venues.maker.math import RAD
from keeper.words import Words

VAT, JUG, BASE, SPOT, PAR, DOG, LIVE, CASH = range(8)
"""Calls about the collateral type; urns follow, then the owners of the vaults that have a number."""
HEAD = 8
_LEAST = (5, 2, 1, 2, 1, 2, 1)
_HEAD_NAMES = ["Vat.ilks", "Jug.ilks", "Jug.base", "Spotter.ilks", "Spotter.par", "Dog.ilks", "Vat.live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The collateral type at one block."""

    market: Market
    block: Block
    rate: int
    """Accrued to the block's timestamp, ray; ``stored_rate`` is what the Vat holds."""
    stored_rate: int
    spot: int
    par: int
    price: int
    """Of one whole token, wad dollars."""
    chop: int
    fee: int
    """Duty and base together, ray per second."""
    rho: int
    live: bool
    cash: int
    """Collateral tokens that the adapter holds for all vaults; 0 where it was not told."""
    foreseen: bool = False
    """The price is the one that will count, lower than the Vat's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every vault of one batch shares."""

    market: Market
    block: Block
    foreseen_wad: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Urn:
    """One vault's stored integers."""

    ink: int
    art: int
    owner: str = ""
    number: int = 0


def position_id(market: Market, account: str) -> PositionId:
    """A vault is its address in the Vat; the key is the collateral type."""
    return PositionId(venue=book.KIND, chain_id=market.chain_id, account=account, key=market.ilk_name)


def calls(market: Market, accounts: Sequence[str]) -> tuple[Call, ...]:
    """The batch; its order is what ``decode`` expects."""
    key = bytes.fromhex(market.ilk[2:])
    numbered = (_vault(market, a) for a in accounts)
    return (
        ask(market.vat, book.ILKS, key),
        ask(market.jug, book.ILKS, key),
        ask(market.jug, book.BASE),
        ask(market.spotter, book.ILKS, key),
        ask(market.spotter, book.PAR),
        ask(market.dog, book.ILKS, key),
        ask(market.vat, book.LIVE),
        ask(market.gem.address, book.BALANCE_OF, word(market.gem_join)),
        *(ask(market.vat, book.URNS, key, word(a)) for a in accounts),
        *(ask(market.manager, book.OWNS, word(v.number)) for v in numbered if v is not None),
    )


def decode(
    frame: Frame, accounts: Sequence[str], words: Words, shadows: Mapping[PositionId, Shadow]
) -> Reading:
    """Positions, reserves and prices; a failed part becomes Unreadable."""
    market, block = frame.market, frame.block
    ids = tuple(position_id(market, a) for a in accounts)
    why = stale(market, words)
    now = why or now_of(frame, words)
    if isinstance(now, str):
        lost = tuple(Unreadable(id=id, why=now, since_block=block.number) for id in ids)
        return Reading(
            positions=(), unreadable=lost, reserves=(), prices={}, seen=Seen(stale=why), again=False
        )
    found = [
        _one(now, id, urn, shadows.get(id))
        for id, urn in zip(ids, _urns(market, accounts, words), strict=True)
    ]
    return Reading(
        positions=tuple(f for f in found if isinstance(f, Position)),
        unreadable=tuple(
            Unreadable(id=id, why=f, since_block=block.number)
            for id, f in zip(ids, found, strict=True)
            if isinstance(f, str)
        ),
        reserves=reserves(now),
        prices={market.feed: now.price / WAD, market.dai_feed: now.par / RAY},
        seen=Seen(),
        again=False,
    )


def stale(market: Market, words: Words) -> str:
    """Why the static facts must be loaded anew: governance may change feed, ratio, dust and penalty."""
    failed = [n for i, n in enumerate(_HEAD_NAMES) if not words.ok[i] or words.count[i] < _LEAST[i]]
    if failed:
        return f"{', '.join(failed)} could not be read"
    said = {
        "price feed": (checksum(words.uint(SPOT, 0)), market.pip),
        "liquidation ratio": (words.uint(SPOT, 1), market.mat),
        "dust limit": (words.uint(VAT, 4), market.dust),
        "penalty": (words.uint(DOG, 1), market.chop),
    }
    changed = [f"{name} {before} became {after}" for name, (after, before) in said.items() if after != before]
    return f"{market.ilk_name}: {'; '.join(changed)}" if changed else ""


def now_of(frame: Frame, words: Words) -> Now | str:
    """The collateral type accrued to the block, or why no vault of it can be judged."""
    market, block = frame.market, frame.block
    stored, spot = words.uint(VAT, 1), words.uint(VAT, 2)
    duty, rho, base, par = words.uint(JUG, 0), words.uint(JUG, 1), words.uint(BASE), words.uint(PAR)
    if not spot:
        return "the Vat's spot is 0: the price feed was void when it was poked last"
    if rho > block.timestamp_s:
        return f"fees were taken {rho - block.timestamp_s} s after the block's timestamp"
    ahead = spot
    if frame.foreseen_wad is not None:
        # whoever pokes makes it count in the transaction that liquidates: it counts for us as soon as it is known
        ahead = min(spot, math.spot_of(frame.foreseen_wad, par, market.mat))
    lower, spot = ahead < spot, ahead
    price = math.price_down(spot, par, market.mat)
    if not price:
        return "the price rounds to 0"
    return Now(
        market=market,
        block=block,
        rate=math.dripped(stored, duty, base, block.timestamp_s - rho),
        stored_rate=stored,
        spot=spot,
        par=par,
        price=price,
        chop=words.uint(DOG, 1),
        fee=duty + base,
        rho=rho,
        live=bool(words.uint(LIVE)),
        cash=words.uint(CASH) if words.ok[CASH] and words.count[CASH] else 0,
        foreseen=lower,
    )


def _vault(market: Market, account: str) -> Vault | None:
    return next((v for v in market.vaults if v.urn == account), None)


def _urns(market: Market, accounts: Sequence[str], words: Words) -> list[Urn | str]:
    """Every vault's stored integers, or why they could not be read."""
    out: list[Urn | str] = []
    owner_at = HEAD + len(accounts)
    for i, account in enumerate(accounts):
        at, vault, owner = HEAD + i, _vault(market, account), ""
        if vault is not None:
            said = words.ok[owner_at] and words.count[owner_at]
            owner = checksum(words.uint(owner_at)) if said else ""
            owner_at += 1
        if not words.ok[at] or words.count[at] < 2:
            out.append("Vat.urns failed")
        elif vault is not None and not owner:
            out.append(f"the manager did not say who owns vault {vault.number}")
        else:
            number = vault.number if vault is not None else 0
            out.append(Urn(ink=words.uint(at, 0), art=words.uint(at, 1), owner=owner, number=number))
    return out


def _one(now: Now, id: PositionId, urn: Urn | str, shadow: Shadow | None) -> Position | str:
    if isinstance(urn, str):
        return urn
    if shadow is not None:
        gem, dai = now.market.gem.address, now.market.dai.address
        urn = replace(urn, ink=shadow.collateral.get(gem, 0), art=shadow.debt.get(dai, 0))
    return position(now, id, urn)


def position(now: Now, id: PositionId, urn: Urn) -> Position:
    """One vault's position with fees accrued to the block."""
    m = now.market
    collateral = (_pledged(now, urn.ink),) if urn.ink else ()
    debt = (_owed(now, urn.art),) if urn.art else ()
    return Position(
        id=id,
        owner=urn.owner or id.account,
        block_number=now.block.number,
        health_wad=math.health_down(urn.ink, urn.art, now.spot, now.rate),
        collateral=collateral,
        debt=debt,
        base_decimals=math.PRICE_DECIMALS,
        row=_row(now, urn),
        mode=(f"vault {urn.number} of " if urn.number else "")
        + m.ilk_name
        + (" at the price of the next hour" if now.foreseen else ""),
    )


def _row(now: Now, urn: Urn) -> BookRow:
    """The vault as a.p over b0: Dai counts as par by rule, so no price of it moves the debt."""
    per_usd = now.par / RAY
    allowed = urn.ink * now.spot / RAD * per_usd
    return BookRow(
        feeds=(now.market.feed,),
        a=(allowed / (now.price / WAD),),
        b=(0.0,),
        b0=urn.art * now.rate / RAD * per_usd,
    )


def _pledged(now: Now, ink: int) -> Holding:
    units = ink // now.market.gem_scale
    return Holding(
        amount=Amount(token=now.market.gem, units=units),
        stored=ink,
        price_base=now.price,
        value_base=ink * now.price // WAD,
        threshold_wad=WAD * RAY // now.market.mat,
        feed=now.market.feed,
        bonus_bps=now.chop * BPS // WAD,
    )


def _owed(now: Now, art: int) -> Holding:
    units = math.owed_up(art, now.rate)
    return Holding(
        amount=Amount(token=now.market.dai, units=units),
        stored=art,
        price_base=now.par // 10**9,
        value_base=-(-units * now.par // RAY),
        threshold_wad=WAD,
        feed=now.market.dai_feed,
    )


def reserves(now: Now) -> tuple[Reserve, Reserve]:
    """(Dai, collateral) as planning may know them; ``borrow_index_ray`` is the Vat's stored rate.

    Interest a year is simple (fee per second x seconds); sizing adds its cushion of an hour by it.
    """
    m = now.market
    shared = {"venue": m.id, "base_decimals": math.PRICE_DECIMALS, "active": now.live, "frozen": False}
    dai = Reserve(
        **shared,  # type: ignore[arg-type]
        token=m.dai,
        feed=m.dai_feed,
        price_base=now.par // 10**9,
        paused=not now.live,
        supply_room_units=None,
        cash_units=0,
        supply_rate_ray=0,
        borrow_rate_ray=max(0, now.fee - RAY) * YEAR_S,
        borrow_index_ray=now.stored_rate,
        updated_s=now.rho,
    )
    gem = Reserve(
        **shared,  # type: ignore[arg-type]
        token=m.gem,
        feed=m.feed,
        price_base=now.price,
        paused=not now.live,
        supply_room_units=None,
        cash_units=now.cash,
        supply_rate_ray=0,
        borrow_rate_ray=0,
    )
    return dai, gem
