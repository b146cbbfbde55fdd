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
    Block,
    Call,
    Intent,
    Means,
    Position,
    PositionId,
    ReducePerp,
    Refusal,
    Snapshot,
    Step,
    Supply,
    Token,
    Unreadable,
)
from keeper.seams import Effect, LiquidationRule, LogFilter, Reading, Seen, Shadow
from keeper.units import WAD
from keeper.words import Words
from tests.engines import venue
from tests.engines.synthetix_margin import mul
from tests.engines.synthetix_state import signed

KIND = "synthetix_v3"
PER_ACCOUNT = 6
PER_LEG = 1
TAKER = 7 * 10**14
"""More than the fees of any order here, share of what is closed."""
SETTLED_FOR = 2 * WAD
"""More dollars than settling costs."""


class SynthetixPerps:
    """All markets of one perps system; accounts are its account numbers in decimal text."""

    def __init__(self, site: SynthetixSite, chain_id: int, keeper: str, owners: Mapping[str, str]) -> None:
        self.site, self.chain_id, self.keeper, self.owners = site, chain_id, keeper, owners
        self.margin = Token(chain_id=chain_id, address=site.usd, symbol="snxUSD", decimals=18)
        self.index = {
            m.id: Token(chain_id=chain_id, address="0x" + f"{m.id:040x}", symbol=m.symbol, decimals=18)
            for m in site.markets
        }

    @property
    def id(self) -> str:
        return f"{KIND}:{self.chain_id}:{self.site.perps}"

    @property
    def kind(self) -> str:
        return KIND

    @property
    def tokens(self) -> tuple[Token, ...]:
        return (self.margin,)

    @property
    def spender(self) -> str:
        return self.site.perps

    @property
    def rules(self) -> LiquidationRule:
        return LiquidationRule(
            close_factor="all margin is seized, positions close in windows", dust_base=0, reduces_below=False
        )

    def position_id(self, account: str) -> PositionId:
        return PositionId(venue=KIND, chain_id=self.chain_id, account=account, key=self.site.perps)

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

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        markets = self.site.markets
        first, width = 3 * len(markets), PER_ACCOUNT + PER_LEG * len(markets)
        positions, lost = list[Position](), list[Unreadable]()
        for n, account in enumerate(accounts):
            at = first + n * width
            id = self.position_id(account)
            bad = [i for i in (*range(first), *range(at, at + width)) if not words.ok[i]]
            if bad:
                lost.append(Unreadable(id=id, why=f"call {bad[0]} failed", since_block=block.number))
                continue
            stands = self._standing(account, words, at, block.timestamp_s)
            owner = self.owners.get(account, account)
            positions.append(venue.position(id, owner, block.number, self.margin, stands))
        prices = {self._feed(m.id): words.uint(3 * k) / WAD for k, m in enumerate(markets)}
        return Reading(
            positions=tuple(positions),
            unreadable=tuple(lost),
            reserves=(),
            prices={**prices, f"{KIND}:usd": 1.0},
            seen=seen,
            again=False,
        )

    def _standing(self, account: str, words: Words, at: int, now_s: int) -> venue.Standing:
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
                    feed=self._feed(market.id),
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
        leg = venue.leg_of(step, position) if isinstance(step, ReducePerp) else None
        if leg is None or not isinstance(step, ReducePerp):
            raise ValueError(f"{step} is nothing that this venue does")
        market = next(m for m in self.site.markets if self.index[m.id] == leg.amount.token)
        size = -step.amount.units if leg.stored > 0 else step.amount.units
        data = encode_call(COMMIT, commitment(market, id, size, venue.worst_wad(step)))
        return Call(target=self.site.perps, data=data)

    def gas(self, step: Step) -> int:
        return 2_500_000

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        for step in steps:
            position = venue.restated(position, self._after(step, position))
        return position

    def _after(self, step: Step, before: Position) -> venue.Standing:
        stands = venue.standing(before)
        if isinstance(step, AddMargin | Supply):
            # what liquidators are paid may grow with margin: by half of it at the most while that binds
            grown = mul(step.amount.units, WAD // 100) + 1
            return venue.Standing(
                available=stands.available + step.amount.units,
                needed=stands.needed + grown,
                legs=stands.legs,
                marks=stands.marks,
            )
        if not isinstance(step, ReducePerp):
            raise ValueError(f"{step} is nothing that this venue does")
        legs, freed, paid = [], 0, 0
        for leg in stands.legs:
            if leg.index != step.amount.token:
                legs.append(leg)
                continue
            closed = mul(step.amount.units, leg.price)
            freed = mul(closed, leg.maintenance) - 1
            # filled at the worst price that the order allows
            slipped = abs(leg.price - venue.worst_wad(step))
            paid = mul(step.amount.units, slipped) + mul(closed, TAKER) + SETTLED_FOR
            left = abs(leg.size) - step.amount.units
            size = left if leg.size > 0 else -left
            if size:
                legs.append(
                    venue.Leg(
                        index=leg.index,
                        feed=leg.feed,
                        size=size,
                        price=leg.price,
                        maintenance=leg.maintenance,
                    )
                )
        return venue.Standing(
            available=stands.available - paid,
            needed=max(stands.needed - freed, 1) if legs else 0,
            legs=tuple(legs),
            marks=stands.marks,
        )

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        raise NotImplementedError("a test engine has no dry-run")

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        return venue.two_step(intent, snapshot)

    def liquidation_logs(self, account: str) -> LogFilter:
        from eth_utils.crypto import keccak

        topic = keccak(text="AccountFlaggedForLiquidation(uint128,int256,uint256,uint256,uint256)")
        return LogFilter(target=self.site.perps, topics=(f"0x{topic.hex()}", f"0x{int(account):064x}"))

    def _feed(self, market: int) -> str:
        return f"{KIND}:{self.chain_id}:{market}"


def permissions(keeper: str, id: int) -> tuple[tuple[object, ...], ...]:
    """What the owner grants: arguments of ``grantPermission`` for margin and for orders."""
    return tuple((id, word(name), keeper) for name in (COLLATERAL, ORDERS))
