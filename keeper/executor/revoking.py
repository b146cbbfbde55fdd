"""What an owner signs to take back everything that a keeper was ever allowed, and what is left after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.executor.abi import TERMS, selector
from keeper.executor.grants import APPROVE, SET_BOT, SET_ROUTER, Signing
from keeper.executor.read import (
    ALLOWANCE,
    BALANCE_OF,
    BOT_OF,
    PAUSED,
    POSITION_OF,
    ROUTER_ALLOWED,
    asset_call,
)
from keeper.executor.seat import Permit
from keeper.model import Call, Side, Token
from keeper.units import decimal_text
from keeper.words import Words

REMOVE_POSITION = selector("removePosition(bytes32)")
RESCUE = selector("rescue(address,uint256)")
BOT_SET = "0x" + keccak(text="BotSet(address,uint16,uint40)").hex()
ROUTER_SET = "0x" + keccak(text="RouterSet(address,bool)").hex()
POSITION_SET = "0x" + keccak(text=f"PositionSet(bytes32,{TERMS})").hex()
ASSET_SET = "0x" + keccak(text="AssetSet(bytes32,address,uint8,uint112,uint112)").hex()
SET = (BOT_SET, ROUTER_SET, POSITION_SET, ASSET_SET)
"""Whoever was ever named to an Executor stands in one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an owner may have allowed something: one Executor, its positions, and every token of the market."""

    executor: str
    owner: str
    keys: tuple[str, ...]
    """Of its positions, the one that was asked about first."""
    bots: tuple[str, ...]
    """The keeper's wallet first."""
    tokens: tuple[tuple[Token, str], ...]
    """Each token with the protocol's own for it; the token itself where the protocol has none."""
    routers: tuple[str, ...]
    permit: Permit | None = None
    """The grant of a protocol that has none but a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is allowed there now."""

    place: Place
    paused: bool
    keys: tuple[str, ...]
    """Of the positions that the Executor knows."""
    bots: tuple[tuple[str, int], ...]
    """Those that may act, with their share of every cap in bps."""
    permitted: bool
    routers: tuple[str, ...]
    allowed: tuple[tuple[Token, str, int], ...]
    """(token, the contract whose allowance it is, units); none of them nothing."""
    reserve: tuple[tuple[Token, int], ...]
    """What the Executor itself holds."""


def named(place: Place, logs: Sequence[Mapping[str, object]]) -> Place:
    """The place with everybody whom the Executor's own events ever named."""
    found = dict[str, list[str]]()
    for log in logs:
        topics = log.get("topics")
        if isinstance(topics, list) and len(topics) >= 2:
            found.setdefault(str(topics[0]), []).append(str(topics[1]))
    bots, routers = (
        [str(to_checksum_address("0x" + word[-40:])) for word in found.get(topic, [])]
        for topic in (BOT_SET, ROUTER_SET)
    )
    return replace(
        place,
        keys=tuple(dict.fromkeys((*place.keys, *found.get(POSITION_SET, []), *found.get(ASSET_SET, [])))),
        bots=tuple(dict.fromkeys((*place.bots, *bots))),
        routers=tuple(dict.fromkeys((*place.routers, *routers))),
    )


def listed(place: Place, logs: Sequence[Mapping[str, object]]) -> tuple[tuple[str, str, Side], ...]:
    """(position, token, side) of everything that was listed for a position other than the one asked about."""
    found = list[tuple[str, str, Side]]()
    for log in logs:
        topics, data = log.get("topics"), str(log.get("data"))
        if (
            isinstance(topics, list)
            and len(topics) == 3
            and topics[0] == ASSET_SET
            and topics[1] != place.keys[0]
        ):
            token = str(to_checksum_address("0x" + str(topics[2])[-40:]))
            found.append((str(topics[1]), token, Side(int(data[2:66], 16))))
    return tuple(dict.fromkeys(found))


def listing(place: Place, row: tuple[str, str, Side]) -> Call:
    """What the Executor lists there: its first word is the protocol's own token, 0 where it lists nothing."""
    key, token, side = row
    return asset_call(place.executor, key, token, side)


def receipts(found: Sequence[tuple[Token, int]]) -> tuple[tuple[Token, str], ...]:
    """Tokens with what was listed as the protocol's own for them, each once; the token itself where nothing is."""
    rows = ((t, str(to_checksum_address(word.to_bytes(20))) if word else t.address) for t, word in found)
    return tuple(dict.fromkeys(rows))


def calls(place: Place) -> tuple[Call, ...]:
    """What must be asked; the order is what ``standing`` expects."""
    owner, executor = _word(place.owner), _word(place.executor)
    head = (
        Call(target=place.executor, data=PAUSED),
        *(Call(target=place.executor, data=POSITION_OF + bytes.fromhex(key[2:])) for key in place.keys),
        *(Call(target=place.executor, data=BOT_OF + _word(bot)) for bot in place.bots),
        *(Call(target=place.executor, data=ROUTER_ALLOWED + _word(r)) for r in place.routers),
        *([place.permit.asked(place.owner, place.executor)] if place.permit is not None else []),
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
    paused, *rest = (words.uint(i) for i in range(1 + len(place.keys) + len(place.bots) + len(place.routers)))
    keys, rest = rest[: len(place.keys)], rest[len(place.keys) :]
    shares, routers = rest[: len(place.bots)], rest[len(place.bots) :]
    at = 1 + len(place.keys) + len(place.bots) + len(place.routers)
    permitted = place.permit is not None and bool(words.uint(at))
    at += place.permit is not None
    allowed, reserve = list[tuple[Token, str, int]](), list[tuple[Token, int]]()
    for i, (token, receipt) in enumerate(place.tokens):
        own, pulled, held = (words.uint(at + 3 * i + k) for k in range(3))
        allowed += [(token, receipt, pulled)] if pulled and receipt != token.address else []
        allowed += [(token, token.address, own)] if own else []
        reserve += [(token, held)] if held else []
    return Standing(
        place=place,
        paused=bool(paused),
        keys=tuple(key for key, trigger in zip(place.keys, keys, strict=True) if trigger),
        bots=tuple((bot, share) for bot, share in zip(place.bots, shares, strict=True) if share),
        permitted=permitted,
        routers=tuple(r for r, on in zip(place.routers, routers, strict=True) if on),
        allowed=tuple(allowed),
        reserve=tuple(reserve),
    )


def signings(found: Standing) -> tuple[Signing, ...]:
    """Everything to sign, what stops most first; nothing where nothing is allowed any more."""
    place = found.place
    return (
        *([_permit(place, place.permit)] if found.permitted and place.permit is not None else []),
        *(_approval(place, *row) for row in found.allowed),
        *(_bot(place, bot, share) for bot, share in found.bots),
        *(_position(place, key) for key in found.keys),
        *(
            Signing(
                call=Call(
                    target=place.executor, data=SET_ROUTER + encode(["address", "bool"], [router, False])
                ),
                signs=f"setRouter({router}, false)",
                meaning="nothing is swapped through this router any more",
            )
            for router in found.routers
        ),
    )


def _bot(place: Place, bot: str, share_bps: int) -> Signing:
    who = (
        "the keeper's wallet"
        if bot == place.bots[0]
        else f"another bot, {bot} ({share_bps / 100:g} % of each cap),"
    )
    return Signing(
        call=Call(target=place.executor, data=SET_BOT + encode(["address", "uint16", "uint40"], [bot, 0, 0])),
        signs=f"setBot({bot}, 0, 0)",
        meaning=f"{who} may do nothing with the Executor any more",
    )


def _position(place: Place, key: str) -> Signing:
    which = "the position" if key == place.keys[0] else f"another position of yours, {key},"
    return Signing(
        call=Call(target=place.executor, data=REMOVE_POSITION + bytes.fromhex(key[2:])),
        signs=f"removePosition({key})",
        meaning=f"no bot, this one or another, may act on {which} any more",
    )


def _permit(place: Place, permit: Permit) -> Signing:
    return Signing(
        call=permit.given(place.executor, False),
        signs=f"{permit.name}({place.executor}, false) on {permit.contract}",
        meaning=f"the Executor may not do {permit.reach} any more",
    )


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
