"""A second machine with a key of its own: when it steps in for the first one, and why the two cannot both act.

It acts only through the owner's Executor, as another of its bots. There the position's ``seq`` decides: of two
actions with one number only one can take effect, whoever sends it. So waiting is not what makes it safe, only what
makes it cheap: while the first machine lives, this one sends nothing that would be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.config.records import StandbySettings
from keeper.model import Plan, Policy, PositionId, Snapshot, from_wallet

WAITS = "standby waits"
"""How a why begins that is no trouble: the first machine has its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Low:
    """Since when a position has been low with nobody acting on it."""

    seq: int
    """The Executor's number then: another one means that the first machine acted."""
    first_block: int
    last_block: int


class Standby:
    """Counts, for each guarded position, the blocks in which the first machine should have acted and did not."""

    def __init__(self, settings: StandbySettings, policies: Mapping[PositionId, Policy]) -> None:
        self._settings = settings
        self._policies = dict(policies)
        self._low: dict[PositionId, Low] = {}

    def see(self, snapshot: Snapshot) -> None:
        """Take notice of one block; of positions that it does not hold nothing is learnt and nothing forgotten."""
        number = snapshot.block.number
        for position in snapshot.positions:
            policy, mandate = self._policies.get(position.id), snapshot.means.mandate(position.id)
            if policy is None or position.health_wad is None:
                continue
            if position.health_wad >= policy.trigger_wad - self._settings.margin_wad:
                self._low.pop(position.id, None)
                continue
            if mandate is None:
                continue
            seq, known = mandate.terms.seq, self._low.get(position.id)
            # a block that comes again, or an older one after a reorganisation, begins anew
            goes_on = known is not None and known.seq == seq and number >= known.last_block
            first = known.first_block if known is not None and goes_on else number
            self._low[position.id] = Low(seq=seq, first_block=first, last_block=number)

    def waits(self, plan: Plan) -> str:
        """Why this machine leaves the plan to the first one; empty when it steps in."""
        if from_wallet(plan.steps):
            return "standby: it acts through the Executor alone; what the wallet pays could be paid twice"
        low, blocks = self._low.get(plan.key.position), self._settings.blocks
        if low is None:
            return f"{WAITS}: health is not below the trigger by the margin"
        passed = plan.block.number - low.first_block
        if passed < blocks:
            return f"{WAITS}: the first machine has {blocks - passed} blocks more (number {low.seq} of the Executor)"
        return ""
