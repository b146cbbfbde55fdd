"""What is asked of an Executor each block, and its answers as a Mandate."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode

from keeper.errors import Transient
from keeper.executor.abi import ZERO, selector
from keeper.model import (
    Block,
    Call,
    Mandate,
    MandateAsset,
    PositionId,
    Side,
    Spent,
    Terms,
    Token,
)
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
    return (*head, *(c for listed in post.listed for c in _asset_calls(post, listed)))


def size(post: Post) -> int:
    """How many calls that is."""
    return 4 + len(post.routers) + ASSET_CALLS * len(post.listed)


def mandate(post: Post, block: Block, words: Words) -> Mandate | None:
    """The Executor's facts, or None where it could not be read: without them nothing is sold."""
    try:
        return _mandate(post, block, words)
    except Transient:
        return None


def _mandate(post: Post, block: Block, words: Words) -> Mandate:
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
        terms=_terms(words, 2),
        assets=tuple(_asset(listed, words, at + ASSET_CALLS * i) for i, listed in enumerate(post.listed)),
        routers=tuple(r for i, r in enumerate(post.routers) if words.uint(4 + i)),
        routers_refused=tuple(r for i, r in enumerate(post.routers) if not words.uint(4 + i)),
        block_number=words.uint(0),
        timestamp_s=block.timestamp_s,
    )


def _terms(words: Words, i: int) -> Terms:
    names = Terms.__slots__
    return Terms(**{name: words.uint(i, k) for k, name in enumerate(names)})


def _asset(listed: Listed, words: Words, i: int) -> MandateAsset:
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
        granted=words.uint(i + 2),
        held=words.uint(i + 3),
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
    granted, owner = listed.granted_token, _address(post.owner)
    return (
        Call(target=post.executor, data=ASSET_OF + place),
        Call(target=post.executor, data=BOT_SPENT + place + _address(post.bot)),
        Call(target=granted, data=ALLOWANCE + owner + _address(post.executor)),
        Call(target=granted, data=BALANCE_OF + owner),
        Call(target=listed.token.address, data=BALANCE_OF + _address(post.executor)),
        Call(target=listed.token.address, data=ALLOWANCE + owner + _address(post.executor)),
        Call(target=listed.token.address, data=BALANCE_OF + owner),
    )


def asset_call(executor: str, key: str, token: str, side: Side) -> Call:
    """``assetOf``: what the Executor lists; its first word is the receipt token, 0 where it lists nothing."""
    place = encode(["bytes32", "address", "uint8"], [bytes.fromhex(key[2:]), token, int(side)])
    return Call(target=executor, data=ASSET_OF + place)


def _address(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
