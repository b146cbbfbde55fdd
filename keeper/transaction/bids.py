"""What a transaction bids: a fee by the market, within its plan's money and what the wallet can pay beside others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from keeper.model import Block, Fee, Intent, Means, Plan, Refusal
from keeper.transaction.fees import (
    PATIENCE_BLOCKS,
    WHO,
    Market,
    first_fee,
    market_of,
    outbid,
    pays_its_way,
    raised_fee,
)
from keeper.transaction.spending import affordable_wei

CANCEL_GAS = 60_000
"""A self-send uses 21,000, and a rollup may charge its data as gas on top."""

ROOM = 8
"""So many times its gas a transaction may use where data is charged as gas: at 50 gwei on Ethereum and 0.1 gwei on
Arbitrum the 200 compressed bytes of a repayment cost 1.6 million."""
GAS_MAX = 1 << 24
"""EIP-7825, and the most that the signer signs."""


def roomy(fee: Fee, cap_wei: int) -> Fee:
    """The fee with room for data, out of half of the money at most: what is not used is not paid."""
    most = min(fee.gas_limit * ROOM, cap_wei // 2 // fee.max_fee_wei, GAS_MAX)
    return replace(fee, gas_limit=max(fee.gas_limit, most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One key's money and what it is promised to already, at a block."""

    block: Block
    means: Means | None
    opened: tuple[Intent, ...]
    """The key's open intents on the chain."""
    pooled: bool = True
    """Whether the chain has a mempool, in which gas money buys a higher price; without one, room for data."""

    def first(self, plan: Plan, means: Means) -> Fee | Refusal:
        """Of the plan's first bytes."""
        market = Market(base_fee_wei=self.block.base_fee_wei, tip_wei=means.tip_wei)
        cap_wei = self._cap_wei(plan)
        fee = first_fee(market, plan.bounds.gas_limit, cap_wei, urgent=plan.urgent)
        return fee if self.pooled or isinstance(fee, Refusal) else roomy(fee, cap_wei)

    def instead(self, plan: Plan, old: Fee) -> Fee | Refusal:
        """Of a larger plan, which replaces what bid ``old``."""
        least, cap_wei = plan.bounds.gas_limit, self._cap_wei(plan)
        market = market_of(self.block, self.means, old)
        old = replace(old, gas_limit=least if self.pooled else max(old.gas_limit, least))
        return self._within(old, least, lambda fee: raised_fee(fee, market, cap_wei, urgent=plan.urgent))

    def raised(
        self, old: Fee, intent: Intent, behind: Intent | None, *, frees: bool = False
    ) -> Fee | Refusal:
        """What replaces ``old`` within the intent's cap, or within that of the urgent one behind it.

        ``frees``: a self-send replaces it. What waits keeps its own money, so a self-send may not reach that fee: it
        bids by the market then, for a nonce that is not freed holds up what pays.
        """
        least = CANCEL_GAS if frees else intent.plan.bounds.gas_limit
        fee = self._within(old, least, lambda fee: self._raised(fee, intent, behind, frees))
        if frees and behind is not None and isinstance(fee, Refusal):
            return self.raised(old, intent, None, frees=True)
        return fee

    def staying(self, stuck: Intent, urgent: Intent) -> tuple[Fee | None, Refusal | None]:
        """Of one that cannot be raised to the fee of what waits behind it: (a raise of its own, why it stays).

        While it pays for the next block both are mined in one: given up, its position would wait, and pay for a
        self-send. Neither: it must go.
        """
        top = stuck.attempts[-1]
        market = market_of(self.block, self.means, top.fee)
        if self.block.number - urgent.attempts[0].sent_block >= PATIENCE_BLOCKS:
            return None, None
        pays, fee = pays_its_way(top.fee, market), self.raised(top.fee, stuck, None)
        due = self.block.number > top.sent_block or not pays
        raised = fee if due and isinstance(fee, Fee) and pays_its_way(fee, market) else None
        why = "its money does not reach the fee of what waits behind it, and pays for the next block"
        return raised, Refusal(who=WHO, code="pays_its_way", why=why) if pays else None

    def freeing(self, intent: Intent, behind: Intent | None) -> Fee | Refusal:
        """Of a self-send under the intent's nonce. Without a mempool it has the gas of what it replaces, for its data
        may cost many times 60,000 in bad hours; less where the money does not reach."""
        top = intent.attempts[-1].fee
        gas = CANCEL_GAS if self.pooled else max(CANCEL_GAS, top.gas_limit)
        return self.raised(replace(top, gas_limit=gas), intent, behind, frees=True)

    def _within(self, old: Fee, least: int, bid: Callable[[Fee], Fee | Refusal]) -> Fee | Refusal:
        """A bid above ``old``; gas beyond ``least`` is given up where the money does not reach for both."""
        fee = bid(old)
        short = isinstance(fee, Refusal) or outbid(fee, market_of(self.block, self.means, old))
        return bid(replace(old, gas_limit=least)) if short and old.gas_limit > least else fee

    def _raised(self, old: Fee, intent: Intent, behind: Intent | None, frees: bool) -> Fee | Refusal:
        market = market_of(self.block, self.means, old)
        cap_wei = self._cap_wei(intent.plan, intent.attempts[-1].nonce if frees else None)
        if behind is None:
            return raised_fee(old, market, cap_wei, urgent=intent.plan.urgent or frees)
        dearer = replace(intent.plan, bounds=behind.plan.bounds)
        cap_wei = max(cap_wei, self._cap_wei(dearer))
        return raised_fee(old, market, cap_wei, urgent=True, at_least=behind.attempts[-1].fee)

    def _cap_wei(self, plan: Plan, frees: int | None = None) -> int:
        return affordable_wei(plan, self.means, self.opened, frees)
