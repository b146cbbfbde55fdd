"""What is asked of an Executor each block, and its answers as a Mandate."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_abi.abi import encode

from keeper.errors import Transient
from keeper.executor.abi import ZERO, selector
from keeper.executor.seat import Seat
from keeper.model import (
    Block,
    Call,
    Mandate,
    MandateAsset,
    Means,
    PositionId,
    Side,
    Spent,
    Terms,
    Token,
)
from keeper.units import BPS, UINT256_MAX
from keeper.words import Words

PAUSED = selector("paused()")
POSITION_OF = selector("positionOf(bytes32)")
BOT_OF = selector("botOf(address)")
BOT_SPENT = selector("botSpent(bytes32,address,uint8,address)")
ASSET_OF = selector("assetOf(bytes32,address,uint8)")
ROUTER_ALLOWED = selector("routerAllowed(address)")
ALLOWANCE = selector("allowance(address,address)")
BALANCE_OF = selector("balanceOf(address)")
BLOCK_NUMBER = selector("getBlockNumber()")
"""Multicall3: the number that contracts see."""
TERMS_WORDS = 12
ASSET_WORDS = 7
ASSET_CALLS = 7
"""The asset, what the bot spent of it, the owner's grant and balance of what is pulled; then of the token itself what
the Executor keeps, the owner's grant and balance: what can be paid in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One token and side that may be in a position, with the protocol's own token for it."""

    token: Token
    side: Side
    receipt: str

    @property
    def granted_token(self) -> str:
        """Which token the owner grants: what is pulled out of the position, or what is paid into it."""
        return self.receipt if self.side is Side.COLLATERAL else self.token.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One guarded position with an Executor: what never changes of it."""

    id: PositionId
    executor: str
    owner: str
    key: str
    bot: str
    multicall: str
    listed: tuple[Listed, ...]
    routers: tuple[str, ...] = ()
    """Routers that may be asked for, allowed or not."""
    seat: Seat | None = None
    """How the venue's grant and lines are asked about; None: finite allowances of its own tokens."""


def calls(post: Post) -> tuple[Call, ...]:
    """The part of a block's batch that reads one Executor; the order is what ``mandate`` expects."""
    key = bytes.fromhex(post.key[2:])
    head = (
        Call(target=post.multicall, data=BLOCK_NUMBER),
        Call(target=post.executor, data=PAUSED),
        Call(target=post.executor, data=POSITION_OF + key),
        Call(target=post.executor, data=BOT_OF + _address(post.bot)),
        *(Call(target=post.executor, data=ROUTER_ALLOWED + _address(r)) for r in post.routers),
    )
    return (*head, *(c for listed in post.listed for c in _asset_calls(post, listed)), *_of_seat(post))


def size(post: Post) -> int:
    """How many calls that is."""
    return 4 + len(post.routers) + ASSET_CALLS * len(post.listed) + len(_of_seat(post))


def mandate(post: Post, block: Block, words: Words, means: Means | None = None) -> Mandate | None:
    """The Executor's facts, or None where it could not be read: without them nothing is sold.

    ``means``: of the same block, where the position may be counted by another price than the Executor's.
    """
    try:
        return _mandate(post, block, words, means)
    except Transient:
        return None


def _mandate(post: Post, block: Block, words: Words, means: Means | None) -> Mandate:
    at = 4 + len(post.routers)
    return Mandate(
        id=post.id,
        executor=post.executor,
        owner=post.owner,
        key=post.key,
        bot=post.bot,
        bot_share_bps=words.uint(3, 0),
        bot_expiry_s=words.uint(3, 1),
        paused=bool(words.uint(1)),
        terms=_by_price(post, _by_line(post, _terms(words, 2), words), words, means),
        assets=tuple(
            _asset(post, listed, words, at + ASSET_CALLS * i) for i, listed in enumerate(post.listed)
        ),
        routers=tuple(r for i, r in enumerate(post.routers) if words.uint(4 + i)),
        routers_refused=tuple(r for i, r in enumerate(post.routers) if not words.uint(4 + i)),
        block_number=words.uint(0),
        timestamp_s=block.timestamp_s,
    )


def _terms(words: Words, i: int) -> Terms:
    names = Terms.__slots__
    return Terms(**{name: words.uint(i, k) for k, name in enumerate(names)})


def _by_line(post: Post, terms: Terms, words: Words) -> Terms:
    """The terms as healths by the line that the position itself is read by, rounded so that nothing seems allowed
    that the Executor would refuse. Raises Transient where it is not told whether a stricter line counts.
    """
    if post.seat is None or not post.seat.lines:
        return terms
    at = size(post) - len(_of_seat(post))
    shares = [line.share for i, line in enumerate(post.seat.lines) if words.uint(at + i)]
    return _shared(terms, *min(shares)) if shares else terms


def _by_price(post: Post, terms: Terms, words: Words, means: Means | None) -> Terms:
    """The terms as healths by the price that counts here, which the Executor's own may be above: it admits what is
    below its trigger by that price, and bounds a sale by it. Raises Transient where its price is not told.
    """
    measure = post.seat.measure if post.seat is not None else None
    reserve = (
        means.reserve(measure.venue, measure.token) if measure is not None and means is not None else None
    )
    if measure is None or reserve is None:  # a market that could not be read has no position to act on either
        return terms
    at = size(post) - len(measure.asks)
    own = measure.price(*(words.uint(at + i, word) for i, (_, word) in enumerate(measure.asks)))
    counted = min(reserve.price_base, own)
    if not counted:
        raise Transient("the Executor's own price is not told")
    # what sells for the lower price less the slippage may bring less than the Executor asks: then it is below zero
    slippage_bps = BPS - -(-(BPS - terms.slippage_bps) * own // counted)
    return replace(_shared(terms, counted, own), slippage_bps=slippage_bps)


def _of_seat(post: Post) -> tuple[Call, ...]:
    """What is asked at the end: which lines count, and by which price the Executor measures."""
    if post.seat is None:
        return ()
    measure = post.seat.measure
    return (
        *(line.asks for line in post.seat.lines),
        *(measure.first if measure is not None else ()),
        *(call for call, _ in (measure.asks if measure is not None else ())),
    )


def _shared(terms: Terms, strict: int, own: int) -> Terms:
    """Healths by the Executor's own measure as the smaller ones by the stricter, rounded so that nothing seems
    allowed.
    """
    return replace(
        terms,
        trigger_wad=terms.trigger_wad * strict // own,
        target_wad=-(-terms.target_wad * strict // own),
        max_wad=terms.max_wad * strict // own,
        emergency_wad=terms.emergency_wad * strict // own,
        hysteresis_wad=-(-terms.hysteresis_wad * strict // own),
    )


def _asset(post: Post, listed: Listed, words: Words, i: int) -> MandateAsset:
    pledged = _pledged(post, listed)
    granted, held = words.uint(i + 2), words.uint(i + 3, pledged[1] if pledged is not None else 0)
    if pledged is not None:
        granted = UINT256_MAX if granted else 0
    receipt, unit, sell_cap, fund_cap, *spent = (words.uint(i, k) for k in range(ASSET_WORDS))
    reserve, allowed, wallet = _funds(words, i + 4)
    return MandateAsset(
        token=listed.token,
        side=listed.side,
        receipt=f"0x{receipt:040x}" if receipt else ZERO,
        unit=unit,
        sell_cap=sell_cap,
        fund_cap=fund_cap,
        spent=_spent(*spent),
        bot_spent=_spent(*(words.uint(i + 1, k) for k in range(3))),
        granted=granted,
        held=held,
        funds=reserve + min(allowed, wallet),
        reserve=reserve,
        wallet=wallet,
        allowed=allowed,
    )


def _funds(words: Words, i: int) -> tuple[int, int, int]:
    """(reserve, grant, wallet); nothing where one could not be read, which must not stand in the way of a sale."""
    if not all(words.ok[k] and words.count[k] for k in (i, i + 1, i + 2)):
        return 0, 0, 0
    return words.uint(i), words.uint(i + 1), words.uint(i + 2)


def _spent(sold: int, funded: int, epoch: int) -> Spent:
    return Spent(sold=sold, funded=funded, epoch=epoch)


def _asset_calls(post: Post, listed: Listed) -> tuple[Call, ...]:
    key, side = bytes.fromhex(post.key[2:]), int(listed.side)
    place = encode(["bytes32", "address", "uint8"], [key, listed.token.address, side])
    owner = _address(post.owner)
    return (
        Call(target=post.executor, data=ASSET_OF + place),
        Call(target=post.executor, data=BOT_SPENT + place + _address(post.bot)),
        *_grant_calls(post, listed),
        Call(target=listed.token.address, data=BALANCE_OF + _address(post.executor)),
        Call(target=listed.token.address, data=ALLOWANCE + owner + _address(post.executor)),
        Call(target=listed.token.address, data=BALANCE_OF + owner),
    )


def _pledged(post: Post, listed: Listed) -> tuple[Call, int] | None:
    """What tells the units of a collateral where the grant is no allowance of tokens."""
    if post.seat is None or post.seat.permit is None or listed.side is not Side.COLLATERAL:
        return None
    return post.seat.held.get(listed.token.address)


def _grant_calls(post: Post, listed: Listed) -> tuple[Call, Call]:
    """What the Executor may take of it, and how much of that there is."""
    pledged, seat = _pledged(post, listed), post.seat
    if pledged is not None and seat is not None and seat.permit is not None:
        return seat.permit.asked(post.owner, post.executor), pledged[0]
    granted, owner = listed.granted_token, _address(post.owner)
    return (
        Call(target=granted, data=ALLOWANCE + owner + _address(post.executor)),
        Call(target=granted, data=BALANCE_OF + owner),
    )


def asset_call(executor: str, key: str, token: str, side: Side) -> Call:
    """``assetOf``: what the Executor lists; its first word is the receipt token, 0 where it lists nothing."""
    place = encode(["bytes32", "address", "uint8"], [bytes.fromhex(key[2:]), token, int(side)])
    return Call(target=executor, data=ASSET_OF + place)


def _address(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
