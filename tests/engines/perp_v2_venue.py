"""Perpetual Protocol v2 as a Venue, for tests alone: the live deployment is wound down.

An account has one margin for all markets. Anybody may pay in for anybody; the owner lets a delegate trade for him,
who can neither withdraw nor close. A reduction must leave the rest above maintenance (CH_NEFCM): below it a small one
is refused, while margin is always taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.deploy_perp_v2 import DEADLINE, OPEN_POSITION, PerpSite
from keeper.model import (
    AddMargin,
    Call,
    Intent,
    Means,
    Position,
    ReducePerp,
    Refusal,
    Snapshot,
    Step,
    Supply,
    Token,
)
from keeper.seams import Effect, LiquidationRule, LogFilter, Seen
from keeper.units import WAD
from keeper.venues import atomic
from keeper.words import Words
from tests.engines import venue
from tests.engines.engine import Engine, paid_in, reduced, reduction
from tests.engines.perp_v2_margin import RATIO, TOKEN, worth
from tests.engines.synthetix_margin import mul
from tests.engines.synthetix_state import signed

KIND = "perp_v2"
PER_ACCOUNT = 3
FEE = WAD // 1_000
"""Of what is traded, as the markets here are set."""


class PerpV2(Engine):
    """All markets of one clearing house; accounts are addresses."""

    kind = KIND

    def __init__(self, site: PerpSite, chain_id: int, keeper: str) -> None:
        super().__init__(
            chain_id, keeper, Token(chain_id=chain_id, address=site.usdc, symbol="USDC", decimals=6)
        )
        self.site, self.contract, self.spender = site, site.clearing_house, site.vault
        self.first, self.width = 1 + len(site.markets), PER_ACCOUNT + 2 * len(site.markets)
        self.index = {
            m.base: Token(chain_id=chain_id, address=m.base, symbol=m.symbol, decimals=18)
            for m in site.markets
        }

    @property
    def rules(self) -> LiquidationRule:
        return LiquidationRule(
            close_factor="half of a market above half of maintenance, all below",
            dust_base=100 * WAD,
            reduces_below=False,
        )

    def prices_wad(self, words: Words) -> Mapping[str, int]:
        return {self.feed(m.base): words.uint(1 + k) for k, m in enumerate(self.site.markets)}

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        s = self.site

        def ask(target: str, signature: str, *arguments: object) -> Call:
            return Call(target=target, data=encode_call(signature, *arguments))

        asked = [ask(s.config, "getMmRatio()")]
        asked += [ask(s.account_balance, "getMarkPrice(address)", m.base) for m in s.markets]
        for who in accounts:
            asked.append(ask(s.clearing_house, "getAccountValue(address)", who))
            asked.append(ask(s.account_balance, "getMarginRequirementForLiquidation(address)", who))
            asked.append(ask(s.delegates, "canOpenPositionFor(address,address)", who, self.keeper))
            asked += [
                ask(s.account_balance, f"{name}(address,address)", who, m.base)
                for m in s.markets
                for name in ("getTotalPositionSize", "getTotalOpenNotional")
            ]
        return tuple(asked)

    def standing(self, words: Words, at: int, account: str, now_s: int) -> venue.Standing:
        rate = words.uint(0) * WAD // RATIO
        legs = tuple(
            venue.Leg(
                index=self.index[m.base],
                feed=self.feed(m.base),
                size=size,
                price=words.uint(1 + k),
                maintenance=rate,
                # a long owes the quote it took, a short the base, at the mark
                debt=max(-signed(words.uint(at + PER_ACCOUNT + 2 * k + 1)), 0)
                if size > 0
                else worth(-size, words.uint(1 + k)),
            )
            for k, m in enumerate(self.site.markets)
            if (size := signed(words.uint(at + PER_ACCOUNT + 2 * k)))
        )
        return venue.Standing(
            available=signed(words.uint(at)),
            needed=words.uint(at + 1),
            legs=legs,
            marks=() if words.uint(at + 2) else (venue.NO_ORDERS,),
        )

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        refused = venue.refused(step, position, means, KIND)
        if refused is not None or not isinstance(step, ReducePerp):
            return refused
        # what counts is how it ends: the rest must be covered at the maintenance ratio of what was borrowed for it
        after = self.after_step(step, position)
        needed = sum(mul(leg.debt, leg.maintenance) for leg in after.legs)
        return None if after.available >= needed else venue.under(KIND)

    def encode(self, step: Step, position: Position) -> Call:
        who = position.id.account
        if isinstance(step, AddMargin | Supply):
            data = encode_call("depositFor(address,address,uint256)", who, self.site.usdc, step.amount.units)
            return Call(target=self.site.vault, data=data)
        step, leg = reduction(step, position)
        # base is given where a long is reduced (no less quote than that), taken where a short is (no more)
        long, bound = leg.stored > 0, mul(step.amount.units, venue.worst_wad(step))
        params = (leg.amount.token.address, long, long, step.amount.units, bound, DEADLINE, 0, b"\0" * 32)
        data = encode_call(f"openPositionFor(address,{OPEN_POSITION})", who, params)
        return Call(target=self.site.clearing_house, data=data)

    def gas(self, step: Step) -> int:
        return 2_000_000

    def after_step(self, step: Step, before: Position) -> venue.Standing:
        stands = venue.standing(before)
        if (more := paid_in(step, stands, step.amount.units * TOKEN)) is not None:
            return more

        def freed(leg: venue.Leg, units: int) -> int:
            return max(mul(worth(units, leg.price), leg.maintenance) - 1, 0)

        def paid(leg: venue.Leg, units: int) -> int:
            slipped = abs(leg.price - venue.worst_wad(step)) if isinstance(step, ReducePerp) else 0
            return mul(units, slipped) + mul(worth(units, leg.price), FEE)

        return reduced(step, stands, freed, paid)

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        return atomic.effect(intent, snapshot)

    def liquidation_logs(self, account: str) -> LogFilter:
        topic = keccak(text="PositionLiquidated(address,address,uint256,uint256,uint256,address)")
        who = f"0x{int(account, 16):064x}"
        return LogFilter(target=self.site.clearing_house, topics=(f"0x{topic.hex()}", who))
