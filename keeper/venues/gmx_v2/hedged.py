"""The slot of a short as the key of its hedge sees it: flat is a state, and it may be opened. Pure.

The rescue reads the same slot by ``GmxV2``, to which a position without size is closed. This one has an identity of
its own for its orders, reads what the owner allows the hedge's key, and knows the market while nothing is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.executor import perp as orders_of
from keeper.executor.perp import INCREASE, PerpOrderCall
from keeper.model import (
    HEDGE,
    Block,
    Call,
    GrowPerp,
    Intent,
    Means,
    Perp,
    Position,
    PositionId,
    Refusal,
    Snapshot,
    Step,
    Unreadable,
)
from keeper.seams import Effect, Reading, Seen, Shadow
from keeper.venues.gmx_v2 import GmxV2, encode, orders, read, store
from keeper.venues.gmx_v2.curves import applied, borrowing_untold
from keeper.words import Words


class HedgedSlot(GmxV2):
    """A slot of shorts for one account: read flat or not, opened, enlarged and made smaller."""

    __slots__ = ()

    def position_id(self, account: str) -> PositionId:
        """The slot's, under the name of hedges."""
        return replace(super().position_id(account), venue=HEDGE)

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        """As the slot's, of one account; without size it is flat, with the market's numbers."""
        found = super().decode(block, accounts, words, seen, {})
        lost = [replace(u, id=self.position_id(u.id.account)) for u in found.unreadable]
        kept = []
        for position in found.positions:
            mine = replace(position, id=self.position_id(position.id.account))
            perp = mine.perp or self._flat(block, words, mine.id.account)
            if isinstance(perp, str):
                lost.append(Unreadable(id=mine.id, why=perp, since_block=block.number))
                continue
            kept.append(mine if mine.perp else replace(mine, perp=perp, mode="flat"))
        return replace(found, positions=tuple(kept), unreadable=tuple(lost))

    def _flat(self, block: Block, words: Words, account: str) -> Perp | str:
        """Nothing held: the market's prices, rates and rules, the account's orders and its grant."""
        slot = self.slot
        head = store.size(slot)
        priced = head + len(self.source.calls(slot))
        prices = self.source.prices(slot, words.part(head, priced), block)
        if isinstance(prices, str):
            return prices
        found = store.market(slot, words.part(0, head), prices, block)
        if isinstance(found, str):
            return found
        market, rules = found
        if why := borrowing_untold(market, slot.long):
            return why
        own = words.part(priced, len(words))
        waits = orders.waiting(slot, block, own, orders.page(Seen(), ""))
        if isinstance(waits, str):
            return waits
        margin = prices.long if slot.collateral == slot.long_token else prices.short
        gas = rules.gas_base + 3 * rules.gas_price
        return Perp(
            long=slot.long,
            size_usd=0,
            tokens=0,
            margin=0,
            index=slot.index,
            collateral=slot.collateral,
            index_price=prices.index.min if slot.long else prices.index.max,
            index_mid=prices.index.mid,
            collateral_price=margin.min,
            collateral_mid=margin.mid,
            stable=slot.stable,
            pnl_usd=0,
            won_usd=0,
            impact_usd=0,
            impact_least_usd=0,
            closing_usd=0,
            fee_factor=max(market.fee.long, market.fee.short),
            owed=0,
            remaining_usd=0,
            minimum_factor=market.minimum_at_liquidation,
            minimum_factor_after=market.minimum,
            minimum_usd=market.minimum_usd,
            size_least_usd=rules.size_least_usd,
            orders=waits,
            order_expires_s=rules.order_expires_s,
            increase_gas=gas + applied(rules.increase_gas, rules.gas_factor),
            decrease_gas=gas + applied(rules.decrease_gas, rules.gas_factor),
            disabled=rules.disabled,
            acting=orders.granted(slot, account, own),
            side=read.side_of(market, slot.long),
        )

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        """Why GMX, or the owner's grant, would not let the hedge's key order this now."""
        perp = position.perp
        if self.slot.own:
            why = f"a hedge orders as a subaccount: name the SubaccountRouter as venues.{self.slot.name}.provider"
            return _no("not_supported", why)
        if not isinstance(step, GrowPerp) or perp is None:
            return super().can(step, position, means)
        if (no := encode.forbidden(self.slot, perp, means, position.id.account)) is not None:
            return no
        if perp.disabled:
            return _no("market_disabled", f"GMX has disabled market {self.slot.market}")
        if perp.pending is not None:
            return _no("order_pending", f"order {perp.pending.key} is under way: never two on one position")
        if step.amount.token != self.slot.collateral or step.amount.units <= 0 or step.size_usd <= 0:
            return _no("amount", "an order that opens brings margin of the slot's token, and size")
        return None

    def encode(self, step: Step, position: Position) -> Call:
        """An order by the SubaccountRouter."""
        if not isinstance(step, GrowPerp):
            return super().encode(step, position)
        order = PerpOrderCall(
            account=position.id.account,
            market=self.slot.market,
            collateral=self.slot.collateral.address,
            long=self.slot.long,
            vault=self.slot.vault,
            kind=INCREASE,
            size_usd=step.size_usd,
            units=step.amount.units,
            trigger_price=0,
            worst_price=step.worst_price,
            fee_wei=step.fee_wei,
        )
        data = orders_of.calldata(order)
        return Call(target=self.slot.subaccounts, data=data, value_wei=order.fee_wei)

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        """As the slot's; without size and without an order that waits, it is closed."""
        position = snapshot.position(intent.key.position)
        perp = None if position is None else position.perp
        if position is None or perp is None or perp.size_usd or perp.pending is not None:
            return super().effect(intent, snapshot)
        closed = replace(position, perp=None)
        others = tuple(closed if p.id == position.id else p for p in snapshot.positions)
        return super().effect(intent, replace(snapshot, positions=others))


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=HEDGE, code=code, why=why)
