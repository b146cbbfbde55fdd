"""What an owner signs so that a keeper may sell through the Executor: calls with their meaning in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor.abi import TERMS, UINT112_MAX, selector
from keeper.model import Call, Policy, Side, Token
from keeper.units import BPS, WAD, decimal_text

SET_POSITION = selector(f"setPosition(bytes32,{TERMS})")
SET_ASSET = selector("setAsset(bytes32,address,uint8,uint112,uint112)")
SET_BOT = selector("setBot(address,uint16,uint40)")
SET_ROUTER = selector("setRouter(address,bool)")
APPROVE = selector("approve(address,uint256)")
DAY_S = 86_400
TERM_S = 90 * DAY_S
"""A grant lasts so long, then it is renewed or it ends by itself."""
SLIPPAGE_BPS, FLASH_FEE_BPS = 100, 10
MARGIN_MIN_WAD, SLACK_MIN_WAD = 2 * WAD // 1000, 2 * WAD // 100
"""Policies.MARGIN_MIN and SLACK_MIN: what the contract asks between trigger and target, and target and max."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """One transaction of the owner's, and what it means."""

    call: Call
    signs: str
    meaning: str

    @property
    def announcement(self) -> str:
        """What ``announce`` takes a day before, once the hour after deployment is over."""
        return "0x" + keccak(self.call.data).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be allowed: which position, to whom, for how much."""

    executor: str
    key: str
    bot: str
    policy: Policy
    now_s: int
    collateral: Mapping[Token, int]
    """Token -> units that may be sold, in an epoch and in all."""
    receipts: Mapping[Token, str]
    """Token -> the protocol's own token for it, of which the owner allows as much."""
    debt: Sequence[Token]
    routers: Mapping[str, str] = field(default_factory=dict)
    """Router -> what it is for, of those that the configuration names and the owner has not allowed yet."""


def signings(wish: Wish) -> tuple[Signing, ...]:
    """Everything to sign, in its order: terms, tokens, bot, routers, and last the grant itself."""
    until = wish.now_s + TERM_S
    assets = [(t, Side.COLLATERAL, units) for t, units in wish.collateral.items()]
    assets += [(t, Side.DEBT, 0) for t in wish.debt]
    return (
        _position(wish, until),
        *(_asset(wish, token, side, cap) for token, side, cap in assets),
        Signing(
            call=Call(
                target=wish.executor,
                data=SET_BOT + encode(["address", "uint16", "uint40"], [wish.bot, BPS, until]),
            ),
            signs=f"setBot({wish.bot}, {BPS}, {until})",
            meaning=f"the keeper's wallet may act until {until} (Unix seconds), up to the whole of each cap",
        ),
        *(_router(wish, router, use) for router, use in wish.routers.items()),
        *(_approval(wish, token, units) for token, units in wish.collateral.items()),
    )


def terms(policy: Policy, until_s: int) -> tuple[int, ...]:
    """The struct ``Position`` of a policy: its thresholds, one epoch a day, the usual bounds on price."""
    target = max(policy.target_wad, policy.trigger_wad + max(policy.hysteresis_wad, MARGIN_MIN_WAD))
    return (
        policy.trigger_wad,
        target,
        max(policy.max_health_wad, target + SLACK_MIN_WAD),
        policy.emergency_wad,
        policy.hysteresis_wad,
        max(1, policy.cooldown_blocks),
        DAY_S,
        until_s,
        SLIPPAGE_BPS,
        FLASH_FEE_BPS,
        0,
        0,
    )


def transaction_builder(
    chain_id: int, safe: str, wanted: Sequence[Signing], name: str = "keeper: allow sales"
) -> dict[str, object]:
    """The file that Safe's Transaction Builder imports: every call, and in its description what each means."""
    meaning = "; ".join(f"{i}. {s.signs}: {s.meaning}" for i, s in enumerate(wanted, 1))
    return {
        "version": "1.0",
        "chainId": str(chain_id),
        "meta": {"name": name, "description": meaning, "createdFromSafeAddress": safe},
        "transactions": [
            {
                "to": s.call.target,
                "value": "0",
                "data": "0x" + s.call.data.hex(),
                "contractMethod": None,
                "contractInputsValues": None,
            }
            for s in wanted
        ],
    }


def _position(wish: Wish, until_s: int) -> Signing:
    body = terms(wish.policy, until_s)
    trigger, target, most, emergency = (decimal_text(n, 18) for n in body[:4])
    return Signing(
        call=Call(
            target=wish.executor,
            data=SET_POSITION + encode(["bytes32", TERMS], [bytes.fromhex(wish.key[2:]), body]),
        ),
        signs=f"setPosition({wish.key}, {body})",
        meaning=f"sales below health {trigger}, back to {target} and never past {most}; partial ones and a "
        f"cooldown of one block below {emergency}; at most {SLIPPAGE_BPS / 100:g} % worse than the oracle's "
        f"price; until {until_s}",
    )


def _asset(wish: Wish, token: Token, side: Side, cap: int) -> Signing:
    body = [bytes.fromhex(wish.key[2:]), token.address, int(side), min(cap, UINT112_MAX), 0]
    sold = f"at most {decimal_text(cap, token.decimals)} {token.symbol} may be sold a day"
    return Signing(
        call=Call(
            target=wish.executor,
            data=SET_ASSET + encode(["bytes32", "address", "uint8", "uint112", "uint112"], body),
        ),
        signs=f"setAsset({wish.key}, {token.address}, {int(side)}, {body[3]}, 0)",
        meaning=sold if side is Side.COLLATERAL else f"{token.symbol} debt may be repaid with it",
    )


def _router(wish: Wish, router: str, use: str) -> Signing:
    return Signing(
        call=Call(target=wish.executor, data=SET_ROUTER + encode(["address", "bool"], [router, True])),
        signs=f"setRouter({router}, true)",
        meaning=f"sales may go through {use}; whatever it does, at most {SLIPPAGE_BPS / 100:g} % is lost against the "
        "oracle's price",
    )


def _approval(wish: Wish, token: Token, units: int) -> Signing:
    receipt = wish.receipts[token]
    return Signing(
        call=Call(target=receipt, data=APPROVE + encode(["address", "uint256"], [wish.executor, units])),
        signs=f"approve({wish.executor}, {units}) on {receipt}",
        meaning=f"the Executor may take {decimal_text(units, token.decimals)} {token.symbol} out of the position, "
        "all in all: the most that can ever be sold; 0 revokes",
    )
