"""Synthetix v3 perps as a Venue, for tests alone: the live deployments are wound down.

An account (a number) has one margin for all its markets. Orders act in two steps: committed by whoever the owner
allows, settled by anybody within a window. Below maintenance the engine refuses orders and still takes margin, until
somebody flags the account. Who may pay in may also withdraw to himself: live, that right would belong to a contract
that only pays in, never to a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anvil.abi import encode_call
from anvil.deploy_synthetix_v3 import (
    COLLATERAL,
    COMMIT,
    DELAY_S,
    ORDERS,
    WINDOW_S,
    SynthetixSite,
    commitment,
    word,
)
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
from keeper.words import Words
from tests.engines import venue
from tests.engines.engine import Engine, paid_in, reduced, reduction
from tests.engines.synthetix_margin import mul
from tests.engines.synthetix_state import signed

KIND = "synthetix_v3"
PER_ACCOUNT = 6
PER_LEG = 1
TAKER = 7 * 10**14
"""More than the fees of any order here, share of what is closed."""
SETTLED_FOR = 2 * WAD
"""More dollars than settling costs."""


class SynthetixPerps(Engine):
    """All markets of one perps system; accounts are its account numbers in decimal text."""

    kind = KIND

    def __init__(self, site: SynthetixSite, chain_id: int, keeper: str, owners: Mapping[str, str]) -> None:
        super().__init__(
            chain_id, keeper, Token(chain_id=chain_id, address=site.usd, symbol="snxUSD", decimals=18)
        )
        self.site, self.owners = site, owners
        self.contract = self.spender = site.perps
        self.first, self.width = 3 * len(site.markets), PER_ACCOUNT + PER_LEG * len(site.markets)
        self.index = {
            m.id: Token(chain_id=chain_id, address="0x" + f"{m.id:040x}", symbol=m.symbol, decimals=18)
            for m in site.markets
        }

    @property
    def rules(self) -> LiquidationRule:
        return LiquidationRule(
            close_factor="all margin is seized, positions close in windows", dust_base=0, reduces_below=False
        )

    def owner(self, account: str) -> str:
        return self.owners.get(account, account)

    def prices_wad(self, words: Words) -> Mapping[str, int]:
        return {self.feed(m.id): words.uint(3 * k) for k, m in enumerate(self.site.markets)}

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        def ask(signature: str, *arguments: object) -> Call:
            return Call(target=self.site.perps, data=encode_call(signature, *arguments))

        head = [
            ask(f"{name}(uint128)", m.id)
            for m in self.site.markets
            for name in ("indexPrice", "getLiquidationParameters", "getFundingParameters")
        ]
        for account in accounts:
            id = int(account)
            head += [ask(f"{n}(uint128)", id) for n in ("getAvailableMargin", "getRequiredMargins")]
            head += [ask("canLiquidate(uint128)", id), ask("getOrder(uint128)", id), ask("flaggedAccounts()")]
            head.append(ask("isAuthorized(uint128,bytes32,address)", id, word(ORDERS), self.keeper))
            head += [ask("getOpenPositionSize(uint128,uint128)", id, m.id) for m in self.site.markets]
        return tuple(head)

    def standing(self, words: Words, at: int, account: str, now_s: int) -> venue.Standing:
        available, maintenance = signed(words.uint(at)), words.uint(at + 1, 1)
        legs = []
        for k, market in enumerate(self.site.markets):
            size = signed(words.uint(at + PER_ACCOUNT + k) % 2**128, 128)
            if not size:
                continue
            initial, least, scalar, flag = (words.uint(3 * k + 1, w) for w in range(4))
            impact = abs(size) * WAD // words.uint(3 * k + 2)
            rate = mul(mul(impact, initial) + least, scalar) + flag
            price = words.uint(3 * k)
            legs.append(
                venue.Leg(
                    index=self.index[market.id],
                    feed=self.feed(market.id),
                    size=size,
                    price=price,
                    maintenance=rate,
                )
            )
        flagged = int(account) in words.uints(at + 4)[2:]
        said = (
            # an expired order stays written down until the next one takes its place
            (venue.PENDING, bool(words.uint(at + 3, 3)) and now_s <= words.uint(at + 3) + DELAY_S + WINDOW_S),
            (venue.FLAGGED, flagged),
            (venue.NO_ORDERS, not words.uint(at + 5)),
        )
        # the reward is part of what the account must hold: getRequiredMargins adds it already
        return venue.Standing(
            available=available,
            needed=maintenance,
            legs=tuple(legs),
            marks=tuple(mark for mark, true in said if true),
        )

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        refused = venue.refused(step, position, means, KIND)
        if refused is None and isinstance(step, ReducePerp) and (position.health_wad or 0) < WAD:
            return venue.under(KIND)
        return refused

    def encode(self, step: Step, position: Position) -> Call:
        id = int(position.id.account)
        if isinstance(step, AddMargin | Supply):
            data = encode_call("modifyCollateral(uint128,uint128,int256)", id, 0, step.amount.units)
            return Call(target=self.site.perps, data=data)
        step, leg = reduction(step, position)
        market = next(m for m in self.site.markets if self.index[m.id] == leg.amount.token)
        size = -step.amount.units if leg.stored > 0 else step.amount.units
        data = encode_call(COMMIT, commitment(market, id, size, venue.worst_wad(step)))
        return Call(target=self.site.perps, data=data)

    def gas(self, step: Step) -> int:
        return 2_500_000

    def after_step(self, step: Step, before: Position) -> venue.Standing:
        stands = venue.standing(before)
        # what liquidators are paid may grow with margin: by half of it at the most while that binds
        grown = mul(step.amount.units, WAD // 100) + 1
        if (more := paid_in(step, stands, step.amount.units, grown)) is not None:
            return more

        def paid(leg: venue.Leg, units: int) -> int:
            # filled at the worst price that the order allows
            slipped = abs(leg.price - venue.worst_wad(step)) if isinstance(step, ReducePerp) else 0
            return mul(units, slipped) + mul(mul(units, leg.price), TAKER) + SETTLED_FOR

        return reduced(step, stands, lambda leg, n: mul(mul(n, leg.price), leg.maintenance) - 1, paid)

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        return venue.two_step(intent, snapshot)

    def liquidation_logs(self, account: str) -> LogFilter:
        from eth_utils.crypto import keccak

        topic = keccak(text="AccountFlaggedForLiquidation(uint128,int256,uint256,uint256,uint256)")
        return LogFilter(target=self.site.perps, topics=(f"0x{topic.hex()}", f"0x{int(account):064x}"))


def permissions(keeper: str, id: int) -> tuple[tuple[object, ...], ...]:
    """What the owner grants: arguments of ``grantPermission`` for margin and for orders."""
    return tuple((id, word(name), keeper) for name in (COLLATERAL, ORDERS))
