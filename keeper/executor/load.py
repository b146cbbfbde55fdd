"""What never changes of a chain's Executors, found once: owners, listed tokens, pools and lenders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from keeper.executor.abi import ZERO, selector
from keeper.executor.desk import Desk
from keeper.executor.quotes import Way, Window
from keeper.executor.read import Listed, Post, asset_call
from keeper.executor.seat import Seat, padded
from keeper.model import Call, PositionId, Side, Source, Token
from keeper.words import Words

Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

OWNER = selector("owner()")
VENUES = selector("venues()")
FEES_COLLECTOR = selector("getProtocolFeesCollector()")
"""Balancer v2's vault: who tells what a flash loan costs."""
GET_POOL = selector("getPool(address,address,uint24)")
FEES = (100, 500, 3_000, 10_000)
"""Fee tiers of Uniswap v3, hundredths of a bip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One guarded position that names an Executor."""

    label: str
    id: PositionId
    executor: str
    market: str
    """The contract that keeps the money: the position's id inside the Executor, unless its seat says another."""
    tokens: tuple[Token, ...]
    """Every token that the venue lists."""
    seat: Seat | None = None

    @property
    def owner(self) -> str:
        """Whose Executor it must be: the account's, unless its seat says another."""
        return (self.seat.owner if self.seat is not None else "") or self.id.account

    @property
    def key(self) -> str:
        """The position's id inside the Executor: 32 bytes as 0x-hex."""
        return self.seat.key if self.seat is not None else padded(self.market)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the chain's configuration says."""

    bot: str
    multicall: str
    quoter: str | None
    router: str | None
    via: tuple[str, ...]
    """Tokens that may stand between collateral and debt."""
    aggregator: str = ""
    """The router of an aggregator that is asked besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Executor:
    """What one Executor says of itself."""

    wanted: Wanted
    owner: str
    aave_v3: str
    morpho_blue: str
    factory: str
    balancer: str
    balancer_fees: str
    """Zero where it does not say what a loan costs: what may cost anything is left out."""
    listed: tuple[Listed, ...]


async def load(wanted: Sequence[Wanted], place: Place, read: Read) -> tuple[Desk, tuple[str, ...]]:
    """The desk of one chain, and why it lacks each Executor that is none, or another's. Raises Transient."""
    if not wanted:
        return Desk(), ()
    told = [(w, await _executor(w, read)) for w in wanted]
    found = [e for _, e in told if isinstance(e, _Executor)]
    wrong = tuple(f"positions.{w.label}.executor {w.executor}: {e}" for w, e in told if isinstance(e, str))
    routers = tuple(r for r in (place.router, place.aggregator) if r)
    posts = [
        Post(
            id=e.wanted.id,
            executor=e.wanted.executor,
            owner=e.owner,
            key=e.wanted.key,
            bot=place.bot,
            multicall=place.multicall,
            listed=e.listed,
            routers=routers,
            seat=e.wanted.seat,
        )
        for e in found
    ]
    ways, windows = list[Way](), list[Window]()
    for e in found:
        pools = await _pools(e, place, read)
        ways += _ways(e, place, pools)
        windows += _windows(e, pools)
    return Desk(posts, ways=ways, windows=windows, quoter=place.quoter, router=place.router or ""), wrong


async def _executor(wanted: Wanted, read: Read) -> _Executor | str:
    """It, or why it is not the position's."""
    pairs = list(product(wanted.tokens, Side))
    words = await read(
        (
            Call(target=wanted.executor, data=OWNER),
            Call(target=wanted.executor, data=VENUES),
            *(asset_call(wanted.executor, wanted.key, t.address, side) for t, side in pairs),
        )
    )
    if not (words.ok[0] and words.count[0]) or not (words.ok[1] and words.count[1] >= 5):
        return "does not answer owner() and venues(): this is no Executor"
    owner = _checksum(words.uint(0))
    if owner != wanted.owner:
        return f"belongs to {owner}, not to {wanted.owner}: name the Executor of that account"
    vault, collector = _checksum(words.uint(1, 4)), ZERO
    if vault != ZERO:
        told = await read((Call(target=vault, data=FEES_COLLECTOR),))
        collector = _checksum(told.uint(0)) if told.ok[0] and told.count[0] else ZERO
    receipts = [words.uint(2 + i) for i in range(len(pairs))]
    return _Executor(
        wanted=wanted,
        owner=owner,
        aave_v3=_checksum(words.uint(1, 0)),
        morpho_blue=_checksum(words.uint(1, 1)),
        factory=_checksum(words.uint(1, 2)),
        balancer=vault,
        balancer_fees=collector,
        listed=tuple(
            Listed(token=t, side=side, receipt=_checksum(r))
            for (t, side), r in zip(pairs, receipts, strict=True)
            if r
        ),
    )


_Pools = dict[tuple[str, str, int], str]
"""(token, other token, fee), both ways round -> pool."""


async def _pools(executor: _Executor, place: Place, read: Read) -> _Pools:
    """Every pool between what may be sold, what may be bought, and what may stand between."""
    if executor.factory == ZERO:
        return {}
    ends = {listed.token.address for listed in executor.listed}
    tokens = sorted(ends | set(place.via))
    asked = [(a, b, fee) for a, b in product(tokens, tokens) if a < b and {a, b} & ends for fee in FEES]
    calls = tuple(
        Call(target=executor.factory, data=GET_POOL + encode(["address", "address", "uint24"], list(pair)))
        for pair in asked
    )
    if not calls:
        return {}
    words = await read(calls)
    found = {pair: words.uint(i) for i, pair in enumerate(asked) if words.ok[i] and words.count[i]}
    there = {pair: _checksum(pool) for pair, pool in found.items() if pool}
    return there | {(b, a, fee): pool for (a, b, fee), pool in there.items()}


def _ways(executor: _Executor, place: Place, pools: _Pools) -> Iterable[Way]:
    """Direct pools, swapped on by the Executor itself; and by the router, through one token between."""
    sells = [x.token for x in executor.listed if x.side is Side.COLLATERAL]
    buys = [x.token for x in executor.listed if x.side is Side.DEBT]
    for sell, buy in product(sells, buys):
        if sell == buy:
            continue
        a, b = sell.address, buy.address
        for fee in FEES:
            if (a, b, fee) in pools:
                yield _way(executor, (sell, buy), (fee,), pools)
        for between in place.via if place.router else ():
            for fees in product(FEES, FEES):
                if (a, between, fees[0]) in pools and (between, b, fees[1]) in pools:
                    yield _way(executor, (sell, buy), fees, pools, between, place.router or "")


def _way(
    executor: _Executor, ends: tuple[Token, Token], fees: tuple[int, ...], pools: _Pools, *between: str
) -> Way:
    """``between``: nothing, or the token between and the router."""
    sell, buy = ends
    via = between[:1]
    stops = (sell.address, *via, buy.address)
    return Way(
        executor=executor.wanted.executor,
        sell=sell,
        buy=buy,
        fees=fees,
        via=via,
        pools=tuple(pools[a, b, fee] for a, b, fee in zip(stops, stops[1:], fees, strict=False)),
        router=between[1] if between else "",
    )


def _windows(executor: _Executor, pools: _Pools) -> Iterable[Window]:
    """Where debt tokens can be borrowed for the length of a transaction."""
    name = executor.wanted.executor
    for listed in executor.listed:
        if listed.side is not Side.DEBT:
            continue
        token = listed.token.address
        if executor.aave_v3 != ZERO:
            yield Window(executor=name, source=Source.AAVE_V3, token=token, pool=executor.aave_v3)
        if executor.morpho_blue != ZERO:
            yield Window(executor=name, source=Source.MORPHO_BLUE, token=token, pool=executor.morpho_blue)
        if executor.balancer_fees != ZERO:
            yield Window(
                executor=name,
                source=Source.BALANCER,
                token=token,
                pool=executor.balancer,
                fees=executor.balancer_fees,
            )
        for (a, other, fee), pool in pools.items():
            if a == token:
                yield Window(
                    executor=name,
                    source=Source.UNISWAP_V3_FLASH,
                    token=token,
                    pool=pool,
                    other_token=other,
                    pool_fee=fee,
                )


def _checksum(value: int) -> str:
    return str(to_checksum_address((value & (2**160 - 1)).to_bytes(20)))
