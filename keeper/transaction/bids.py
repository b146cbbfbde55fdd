"""What a transaction bids: a fee by the market, within its plan's money and what the wallet can pay beside others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.model import Block, Fee, Intent, Means, Plan, Refusal
from keeper.transaction.fees import Market, first_fee, market_of, raised_fee
from keeper.transaction.spending import affordable_wei

CANCEL_GAS = 60_000
"""A self-send uses 21,000, and a rollup may charge its data as gas on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One key's money and what it is promised to already, at a block."""

    block: Block
    means: Means | None
    opened: tuple[Intent, ...]
    """The key's open intents on the chain."""

    def first(self, plan: Plan, means: Means) -> Fee | Refusal:
        """Of the plan's first bytes."""
        market = Market(base_fee_wei=self.block.base_fee_wei, tip_wei=means.tip_wei)
        return first_fee(market, plan.bounds.gas_limit, self._cap_wei(plan), urgent=plan.urgent)

    def instead(self, plan: Plan, old: Fee) -> Fee | Refusal:
        """Of a larger plan, which replaces what bid ``old``."""
        old = replace(old, gas_limit=plan.bounds.gas_limit)
        return raised_fee(
            old, market_of(self.block, self.means, old), self._cap_wei(plan), urgent=plan.urgent
        )

    def raised(
        self, old: Fee, intent: Intent, behind: Intent | None, *, frees: bool = False
    ) -> Fee | Refusal:
        """What replaces ``old`` within the intent's cap, or within that of the urgent one behind it.

        ``frees``: a self-send replaces it.
        """
        market = market_of(self.block, self.means, old)
        cap_wei = self._cap_wei(intent.plan, intent.attempts[-1].nonce if frees else None)
        if behind is None:
            return raised_fee(old, market, cap_wei, urgent=intent.plan.urgent or frees)
        dearer = replace(intent.plan, bounds=behind.plan.bounds)
        cap_wei = max(cap_wei, self._cap_wei(dearer))
        return raised_fee(old, market, cap_wei, urgent=True, at_least=behind.attempts[-1].fee)

    def freeing(self, intent: Intent, behind: Intent | None, *, pooled: bool) -> Fee | Refusal:
        """Of a self-send under the intent's nonce.

        Without a mempool (``pooled`` false) its data may cost many times 60,000 in bad hours: it may use what the
        plan might have, where the money allows, and pays for what it uses.
        """
        top = intent.attempts[-1].fee
        gas = CANCEL_GAS if pooled else max(CANCEL_GAS, intent.plan.bounds.gas_limit)
        fee = self.raised(replace(top, gas_limit=gas), intent, behind, frees=True)
        if isinstance(fee, Refusal) and gas > CANCEL_GAS:
            return self.raised(replace(top, gas_limit=CANCEL_GAS), intent, behind, frees=True)
        return fee

    def _cap_wei(self, plan: Plan, frees: int | None = None) -> int:
        return affordable_wei(plan, self.means, self.opened, frees)
