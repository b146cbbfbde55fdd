"""What an owner signs to take back everything that a keeper was ever allowed, and what is left after it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode

from keeper.executor.abi import selector
from keeper.executor.grants import APPROVE, SET_BOT, SET_ROUTER, Signing
from keeper.executor.read import ALLOWANCE, BALANCE_OF, BOT_OF, PAUSED, POSITION_OF, ROUTER_ALLOWED
from keeper.model import Call, Token
from keeper.units import decimal_text
from keeper.words import Words

REMOVE_POSITION = selector("removePosition(bytes32)")
RESCUE = selector("rescue(address,uint256)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an owner may have allowed something: one Executor, one position, and every token of the market."""

    executor: str
    owner: str
    key: str
    bot: str
    tokens: tuple[tuple[Token, str], ...]
    """Each token with the protocol's own for it."""
    routers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is allowed there now."""

    place: Place
    paused: bool
    configured: bool
    """Whether the Executor knows the position."""
    bot_share_bps: int
    routers: tuple[str, ...]
    allowed: tuple[tuple[Token, str, int], ...]
    """(token, the contract whose allowance it is, units); none of them nothing."""
    reserve: tuple[tuple[Token, int], ...]
    """What the Executor itself holds."""


def calls(place: Place) -> tuple[Call, ...]:
    """What must be asked; the order is what ``standing`` expects."""
    owner, executor = _word(place.owner), _word(place.executor)
    head = (
        Call(target=place.executor, data=PAUSED),
        Call(target=place.executor, data=POSITION_OF + bytes.fromhex(place.key[2:])),
        Call(target=place.executor, data=BOT_OF + _word(place.bot)),
        *(Call(target=place.executor, data=ROUTER_ALLOWED + _word(r)) for r in place.routers),
    )
    tokens = (
        call
        for token, receipt in place.tokens
        for call in (
            Call(target=token.address, data=ALLOWANCE + owner + executor),
            Call(target=receipt, data=ALLOWANCE + owner + executor),
            Call(target=token.address, data=BALANCE_OF + executor),
        )
    )
    return (*head, *tokens)


def standing(place: Place, words: Words) -> Standing:
    """What the answers say. Raises Transient: what could not be read is not taken for revoked."""
    at = 3 + len(place.routers)
    allowed, reserve = list[tuple[Token, str, int]](), list[tuple[Token, int]]()
    for i, (token, receipt) in enumerate(place.tokens):
        own, pulled, held = (words.uint(at + 3 * i + k) for k in range(3))
        allowed += [(token, receipt, pulled)] if pulled else []
        allowed += [(token, token.address, own)] if own else []
        reserve += [(token, held)] if held else []
    return Standing(
        place=place,
        paused=bool(words.uint(0)),
        configured=bool(words.uint(1)),
        bot_share_bps=words.uint(2),
        routers=tuple(r for i, r in enumerate(place.routers) if words.uint(3 + i)),
        allowed=tuple(allowed),
        reserve=tuple(reserve),
    )


def signings(found: Standing) -> tuple[Signing, ...]:
    """Everything to sign, what stops most first; nothing where nothing is allowed any more."""
    place = found.place
    signs = [_approval(place, *row) for row in found.allowed]
    if found.bot_share_bps:
        signs.append(
            Signing(
                call=Call(
                    target=place.executor,
                    data=SET_BOT + encode(["address", "uint16", "uint40"], [place.bot, 0, 0]),
                ),
                signs=f"setBot({place.bot}, 0, 0)",
                meaning="the keeper's wallet may do nothing with the Executor any more",
            )
        )
    if found.configured:
        signs.append(
            Signing(
                call=Call(target=place.executor, data=REMOVE_POSITION + bytes.fromhex(place.key[2:])),
                signs=f"removePosition({place.key})",
                meaning="no bot, this one or another, may act on the position any more",
            )
        )
    signs += [
        Signing(
            call=Call(target=place.executor, data=SET_ROUTER + encode(["address", "bool"], [router, False])),
            signs=f"setRouter({router}, false)",
            meaning="nothing is swapped through this router any more",
        )
        for router in found.routers
    ]
    return tuple(signs)


def remains(found: Standing) -> tuple[str, ...]:
    """What is left once all of it is mined, in words; the owner's own business."""
    told = [
        f"the Executor holds {decimal_text(units, token.decimals)} {token.symbol} of yours: "
        f"rescue({token.address}, {units}) sends it to you"
        for token, units in found.reserve
    ]
    told.append("a transaction that is under way already is mined before yours or fails after it")
    told.append("the position itself, with its debt, which nobody guards through the Executor any more")
    return tuple(told)


def _approval(place: Place, token: Token, of: str, units: int) -> Signing:
    what = (
        f"{token.symbol} out of the position" if of != token.address else f"{token.symbol} from your wallet"
    )
    return Signing(
        call=Call(target=of, data=APPROVE + encode(["address", "uint256"], [place.executor, 0])),
        signs=f"approve({place.executor}, 0) on {of}",
        meaning=f"the Executor may take no {what} any more; now {_shown(token, units)}",
    )


def _shown(token: Token, units: int) -> str:
    return "without limit" if units >= 2**128 else decimal_text(units, token.decimals)


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
