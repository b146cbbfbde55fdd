"""Words -> positions: fees accrued by ourselves, at the lower of this and the next hour's price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keeper.model import Amount, Block, BookRow, Holding, Position, PositionId, Reserve, Unreadable
from keeper.seams import Reading, Seen, Shadow
from keeper.units import BPS, RAY, WAD, YEAR_S
from keeper.venues.aave_v3.book import checksum
from keeper.venues.aave_v3.read import column
from keeper.venues.maker import math
from keeper.venues.maker.book import ZERO, Market, Vault, obeyed
from keeper.venues.maker.layout import BASE, CASH, DOG, HEAD, JUG, LIVE, PAR, POKED, SPOT, VAT, Layout
from keeper.venues.maker.math import RAD
from keeper.words import Words

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
    foreseen: bool
    """The price is the one that will count, lower than the Vat's."""
    scale: int
    """What every vault's position is made of, once for all: wads in a unit of the token, names, factors, floats."""
    feed: str
    dai_feed: str
    mode: str
    threshold_wad: int
    bonus_bps: int
    allowed_each: float
    """Tokens that count, of one wad of collateral; dollars owed, of one wad of normalised debt."""
    owed_each: float


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
    """Its holder, while that is whoever held it when it was loaded and obeys whom it obeyed then."""
    number: int = 0


def decode(frame: Frame, at: Layout, words: Words, shadows: Mapping[PositionId, Shadow]) -> Reading:
    """Positions, reserves and prices from the words of ``at.calls``; a failed part becomes Unreadable."""
    market, block = frame.market, frame.block
    why = stale(market, words)
    now = why or now_of(frame, words)
    if isinstance(now, str):
        lost = tuple(Unreadable(id=id, why=now, since_block=block.number) for id in at.ids)
        return Reading(
            positions=(), unreadable=lost, reserves=(), prices={}, seen=Seen(stale=why), again=False
        )
    found = [
        _one(now, id, urn, shadows.get(id) if shadows else None)
        for id, urn in zip(at.ids, _urns(at, words), strict=True)
    ]
    return Reading(
        positions=tuple([f for f in found if isinstance(f, Position)]),
        unreadable=tuple(
            Unreadable(id=id, why=f, since_block=block.number)
            for id, f in zip(at.ids, found, strict=True)
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
    # whoever pokes makes it count in the transaction that liquidates: it counts for us as soon as it is known
    ahead = min(spot, _poked(words) or spot)
    if frame.foreseen_wad is not None:
        ahead = min(ahead, math.spot_of(frame.foreseen_wad, par, market.mat))
    lower, spot = ahead < spot, ahead
    price = math.price_down(spot, par, market.mat)
    if not price:
        return "the price rounds to 0"
    rate, per_usd = math.dripped(stored, duty, base, block.timestamp_s - rho), par / RAY
    return Now(
        market=market,
        block=block,
        rate=rate,
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
        scale=market.gem_scale,
        feed=market.feed,
        dai_feed=market.dai_feed,
        mode=market.ilk_name + (" at the price of the next hour" if lower else ""),
        threshold_wad=WAD * RAY // market.mat,
        bonus_bps=words.uint(DOG, 1) * BPS // WAD,
        allowed_each=spot / RAD * per_usd / (price / WAD),
        owed_each=rate / RAD * per_usd,
    )


def _poked(words: Words) -> int:
    """The Vat's spot after a poke; 0 where it is not told or would be void, by which nobody is liquidated."""
    return words.uint(POKED, 2) if words.ok[POKED] and words.count[POKED] > 2 else 0


def _urns(at: Layout, words: Words) -> list[Urn | str]:
    """Every vault's stored integers, or why they could not be read."""
    out: list[Urn | str] = []
    owners = iter(enumerate(column(words, at.owners_at, at.obeyed_at)))
    pairs = _pairs(words, HEAD, at.owners_at)
    for vault, pair in zip(at.vaults, pairs, strict=True):
        nth, owner = next(owners) if vault is not None else (0, None)
        if pair is None:
            out.append("Vat.urns failed")
        elif vault is None:
            out.append(Urn(ink=pair[0], art=pair[1]))
        elif owner is None:
            out.append(f"the manager did not say who owns vault {vault.number}")
        else:
            whose = _whose(vault, checksum(owner), words, at.obeyed_at + nth)
            out.append(Urn(ink=pair[0], art=pair[1], owner=whose, number=vault.number))
    return out


def _whose(vault: Vault, holder: str, words: Words, i: int) -> str:
    """The holder; where a proxy holds it still and obeys another now, that other one, or nobody."""
    if holder != vault.holder or vault.holder == vault.owner:
        return holder
    obeys = obeyed(words, i)
    if obeys == vault.owner:
        return holder
    return obeys if obeys != holder else ZERO


def _pairs(words: Words, start: int, stop: int) -> list[tuple[int, int] | None]:
    """(ink, art) of each ``urns``; None for one that failed. Both are below 2**128 wherever a Vat counts them."""
    if start < stop and words.ok[start:stop].all() and (words.count[start:stop] >= 2).all():
        limbs = words.limbs(start, stop, 2)
        if not limbs[:, :, :2].any():
            four = (limbs[:, k, n].tolist() for k in (0, 1) for n in (2, 3))
            return [(a << 64 | b, c << 64 | d) for a, b, c, d in zip(*four, strict=True)]
    return [
        (words.uint(i, 0), words.uint(i, 1)) if words.ok[i] and words.count[i] >= 2 else None
        for i in range(start, stop)
    ]


def _one(now: Now, id: PositionId, urn: Urn | str, shadow: Shadow | None) -> Position | str:
    if isinstance(urn, str):
        return urn
    if shadow is not None:
        gem, dai = now.market.gem.address, now.market.dai.address
        urn = replace(urn, ink=shadow.collateral.get(gem, 0), art=shadow.debt.get(dai, 0))
    return position(now, id, urn)


def position(now: Now, id: PositionId, urn: Urn) -> Position:
    """One vault's position with fees accrued to the block."""
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
        mode=f"vault {urn.number} of {now.mode}" if urn.number else now.mode,
    )


def _row(now: Now, urn: Urn) -> BookRow:
    """The vault as a.p over b0: Dai counts as par by rule, so no price of it moves the debt."""
    # of floats: true division of integers that long takes as long as all else of a vault
    return BookRow(
        feeds=(now.feed,),
        a=(urn.ink * now.allowed_each,),
        b=(0.0,),
        b0=urn.art * now.owed_each,
    )


def _pledged(now: Now, ink: int) -> Holding:
    units = ink // now.scale
    return Holding(
        amount=Amount(token=now.market.gem, units=units),
        stored=ink,
        price_base=now.price,
        value_base=ink * now.price // WAD,
        threshold_wad=now.threshold_wad,
        feed=now.feed,
        bonus_bps=now.bonus_bps,
    )


def _owed(now: Now, art: int) -> Holding:
    units = math.owed_up(art, now.rate)
    return Holding(
        amount=Amount(token=now.market.dai, units=units),
        stored=art,
        price_base=now.par // 10**9,
        value_base=-(-units * now.par // RAY),
        threshold_wad=WAD,
        feed=now.dai_feed,
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
