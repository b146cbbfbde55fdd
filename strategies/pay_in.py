"""Repay or add collateral with the owner's money, kept in the Executor or granted to it: the key holds only gas."""

from __future__ import annotations

from collections.abc import Callable

from keeper.executor import judge
from keeper.model import (
    Amount,
    Block,
    Errand,
    Mandate,
    Means,
    Outlook,
    Policy,
    Position,
    Proposal,
    Refusal,
    Repay,
    Supply,
)
from keeper.seams import Venue
from keeper.sizing import repay_units_up, topup_units_up
from strategies.add_collateral import added
from strategies.drawn import Line, Need
from strategies.offer import open_need
from strategies.order import DEADLINE_S
from strategies.repay import repaid


class RepayFromReserve:
    """R = D - W/T of one debt, from the Executor's reserve first, then from what its owner grants."""

    name = "repay_from_reserve"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest repayment that reaches target, else the partial that helps most, else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        mandate = _ready(need, self.name)
        if isinstance(mandate, Refusal):
            return mandate
        line = Line(who=self.name, size=repay_units_up, step=_step(Repay, mandate, block), mandate=mandate)
        return repaid(need, line)


class SupplyFromReserve:
    """(T D - W) / lambda of one collateral that counts already, from reserve or grant."""

    name = "supply_from_reserve"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest top-up that reaches target, else the partial that helps most, else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        mandate = _ready(need, self.name)
        if isinstance(mandate, Refusal):
            return mandate
        step = _step(Supply, mandate, block)
        line = Line(who=self.name, size=topup_units_up, step=step, capped=True, mandate=mandate)
        return added(need, line)


def _ready(need: Need, who: str) -> Mandate | Refusal:
    """The Executor, where there is something to rescue and it would take an action now."""
    nothing = open_need(need, who)
    if nothing is not None:
        return nothing
    mandate = need.means.mandate(need.position.id)
    if mandate is None:
        why = "no Executor of the owner is configured, or it could not be read"
        return Refusal(who=who, code="no_executor", why=why)
    not_ready = judge.ready(mandate, need.before_wad)
    return mandate if not_ready is None else Refusal(who=who, code=not_ready.code, why=not_ready.why)


def _step(
    kind: type[Repay] | type[Supply], mandate: Mandate, block: Block
) -> Callable[[Amount], Repay | Supply]:
    errand = Errand(
        executor=mandate.executor,
        key=mandate.key,
        seq=mandate.terms.seq,
        deadline_s=block.timestamp_s + DEADLINE_S,
    )

    def made(amount: Amount) -> Repay | Supply:
        return kind(amount=amount, through=errand)

    return made
