"""What the Synthetix v3 perps market stores, read word by word: nothing that it computes is taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.abi import decode_answer, encode_call
from anvil.client import Chain
from anvil.deploy_synthetix_v3 import FLAG_COST, LIQUIDATE_COST, SynthetixSite
from tests.engines.synthetix_margin import Account, Held, Margins, Market, Rules, mul

_ROUNDS = 2
"""Slot of PriceFeed's rounds."""


def slot(name: str, id: int | None = None) -> int:
    """Where a library of the market keeps its data."""
    text = f"io.synthetix.perps-market.{name}"
    body = encode(["string"], [text]) if id is None else encode(["string", "uint128"], [text, id])
    return int.from_bytes(keccak(body))


def under(mapping: int, key: int) -> int:
    """Where a mapping keeps an entry."""
    return int.from_bytes(keccak(encode(["uint256", "uint256"], [key, mapping])))


def words(chain: Chain, address: str, slots: Sequence[int]) -> list[int]:
    """Storage words of a contract at the latest block."""
    asked = (("eth_getStorageAt", (address, hex(s % 2**256), "latest")) for s in slots)
    return [int(answer, 16) for answer in chain.batch(asked)]


def signed(word: int, bits: int = 256) -> int:
    """Two's complement."""
    return word - (1 << bits) if word >> (bits - 1) else word


def calls(chain: Chain, to: str, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Answers of many views: (signature, arguments...)."""
    requests = (
        ("eth_call", ({"to": to, "data": "0x" + encode_call(s, *args).hex()}, "latest")) for s, *args in asked
    )
    answers = chain.batch(requests)
    return [decode_answer(a[0], bytes.fromhex(got[2:])) for a, got in zip(asked, answers, strict=True)]


def read_market(chain: Chain, site: SynthetixSite, id: int) -> Market:
    """Parameters by the market's getters, accumulators from its storage."""
    base = slot("PerpsMarket", id)
    skew, rate, value, funded_s = words(chain, site.perps, [base + n for n in (3, 5, 6, 7)])
    ratios, funding, limits, fees, locked = calls(
        chain,
        site.perps,
        (
            ("getLiquidationParameters(uint128)(uint256,uint256,uint256,uint256,uint256)", id),
            ("getFundingParameters(uint128)(uint256,uint256)", id),
            ("getMaxLiquidationParameters(uint128)(uint256,uint256,uint256,address)", id),
            ("getOrderFees(uint128)(uint256,uint256)", id),
            ("getLockedOiRatio(uint128)(uint256)", id),
        ),
    )
    return Market(
        id=id,
        skew_scale=funding[0],
        velocity_max=funding[1],
        initial=ratios[0],
        minimum_initial=ratios[1],
        scalar=ratios[2],
        flag=ratios[3],
        minimum_position=ratios[4],
        locked=locked,
        window=mul(mul(fees[0] + fees[1], funding[0]), limits[0]) * limits[1],
        skew=signed(skew),
        funding_rate=signed(rate),
        funding_value=signed(value),
        funded_s=funded_s,
    )


def read_rules(chain: Chain, site: SynthetixSite) -> Rules:
    """Interest from storage, guards by their getters."""
    base = slot("InterestRate")
    accrued, rate, at_s = words(chain, site.perps, [base, base + 1, base + 2])
    guards, share = calls(
        chain,
        site.perps,
        (
            ("getKeeperRewardGuards()(uint256,uint256,uint256,uint256)",),
            ("getCollateralLiquidateRewardRatio()(uint128)",),
        ),
    )
    return Rules(
        interest=accrued,
        interest_rate=rate,
        interest_s=at_s,
        reward_min=guards[0],
        profit_min=guards[1],
        reward_max=guards[2],
        scaling_max=guards[3],
        collateral_reward=share,
        flag_cost=FLAG_COST,
        liquidate_cost=LIQUIDATE_COST,
    )


def read_account(chain: Chain, site: SynthetixSite, id: int) -> Account:
    """Margin, debt and positions from storage."""
    base = slot("Account", id)
    places = [under(slot("PerpsMarket", m.id) + 11, id) for m in site.markets]
    asked = [under(base, 0), base + 6, *(p + n for p in places for n in range(3))]
    collateral, debt, *rest = words(chain, site.perps, asked)
    held = []
    for market, n in zip(site.markets, range(0, len(rest), 3), strict=True):
        first, second, interest = rest[n : n + 3]
        size = signed(first >> 128, 128)
        if size:
            entry, funding = second % 2**128, signed(second >> 128, 128)
            held.append(Held(market=market.id, size=size, entry=entry, funding=funding, interest=interest))
    return Account(id=id, collateral=collateral, debt=debt, held=tuple(held))


def views(chain: Chain, site: SynthetixSite, id: int) -> tuple[Margins, bool]:
    """What the engine itself says: margins, and whether it may be liquidated."""
    available, required, verdict = calls(
        chain,
        site.perps,
        (
            ("getAvailableMargin(uint128)(int256)", id),
            ("getRequiredMargins(uint128)(uint256,uint256,uint256)", id),
            ("canLiquidate(uint128)(bool)", id),
        ),
    )
    initial, maintenance, reward = required
    return Margins(available=available, initial=initial, maintenance=maintenance, reward=reward), verdict


def verdicts(chain: Chain, site: SynthetixSite, feed: str, asked: Sequence[tuple[int, int]]) -> list[bool]:
    """``canLiquidate`` for each (account, the feed's answer), on the latest state."""
    round_id = chain.call(feed, "latestRound()(uint256)")
    place = f"0x{under(_ROUNDS, round_id):064x}"
    requests = (
        (
            "eth_call",
            (
                {"to": site.perps, "data": "0x" + encode_call("canLiquidate(uint128)", id).hex()},
                "latest",
                {feed: {"stateDiff": {place: f"0x{answer:064x}"}}},
            ),
        )
        for id, answer in asked
    )
    return [int(a, 16) == 1 for a in chain.batch(requests)]
