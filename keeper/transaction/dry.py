"""Dry: the same path up to the signature. No key can be reached from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keeper.model import Attempt, Plan, PositionId, Refusal, Snapshot
from keeper.seams import Transport
from keeper.transaction.fees import Market, first_fee
from keeper.transaction.ledger import Ledger
from keeper.transaction.simulate import simulate
from keeper.transaction.spending import affordable_wei, spend_usd_up


class Dry:
    """Simulates and journals a plan as DRY; the daemon fills it on the shadow position."""

    def __init__(
        self,
        journal: Ledger,
        transport: Transport,
        *,
        errors: Mapping[bytes, str] | None = None,
        apart: Callable[[PositionId], bool] = lambda _: False,
    ) -> None:
        """``errors``: custom error selector -> name. ``apart``: whether a position's shadow has left the
        chain's, which a node then cannot simulate; its fill is the venue's own arithmetic."""
        self._apart = apart
        self._journal = journal
        self._transport = transport
        self._errors = dict(errors or {})

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """An attempt without bytes (``raw`` and ``hash`` empty). Raises Raced or Transient as Live does."""
        means = snapshot.means
        market = Market(base_fee_wei=snapshot.block.base_fee_wei, tip_wei=means.tip_wei)
        cap_wei = affordable_wei(plan, means, ())
        fee = first_fee(market, plan.bounds.gas_limit, cap_wei, urgent=plan.urgent)
        if isinstance(fee, Refusal):
            return fee
        if not self._apart(plan.key.position):
            refusal = await simulate(self._transport, plan, means.wallet, self._errors)
            if refusal is not None:
                return refusal
        self._journal.open_intent(plan, spend_usd=spend_usd_up(plan, means), dry=True)
        return Attempt(
            key=plan.key,
            nonce=means.nonce,
            n=0,
            raw=b"",
            hash="",
            fee=fee,
            sent_block=snapshot.block.number,
        )
