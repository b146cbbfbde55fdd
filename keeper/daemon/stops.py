"""What stops an action by itself: docs/decisions/automatic-stops.md in code, narrowest scope first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from keeper.journal.read import Queries
from keeper.model import (
    AddMargin,
    Block,
    CancelOrder,
    Deleverage,
    Intent,
    Plan,
    Policy,
    PositionId,
    Repay,
    Step,
    Supply,
)
from keeper.seams import Clock

REVERTS_MAX = 3
REVERT_WINDOW_BLOCKS = 10
"""So many reverts of a position within so many blocks stop it until the first has left the window."""
ORDERS_MAX = 3
ORDERS_WINDOW_S = 120
"""So many orders of a position that its venue ended without effect within so long stop it, as reverts do: each costs
the fee of its execution. By the chain's own seconds, because an order takes seconds however short a block is."""
ORDERS_READ = 256
"""Of the journal's newest rows about orders."""
PAUSE_S_MAX = 86_400.0
"""No pause lasts longer than a day without being asked for again."""
SET_BACK_S = 3_600.0
"""A clock that is set back by no more, by NTP or by hand, does not void a pause of a day: who asked for it may
be at work on the position. Beyond that its end is no measure, and a pause must not stand for days."""
QUORUM = 2
WAITS = "exits by price and stop-losses, exposure_limits, depeg_playbook, floor, whatever closes or stops a perpetual"
"""What waits for a second endpoint, as a person reads it."""
NO_TRY = "PlaceStop"
"""What rests is no try at a rescue, however it ends."""
TOP_UP = "AddMargin"
"""What only pays in waits for no other kind's failures: it may be all that is left."""
OWN_FUNDS = frozenset({"repay", "add_collateral", "add_margin", "repay_from_reserve", "supply_from_reserve"})
"""Strategies that only pay in: a liar gains nothing by it."""
RECHECKED = frozenset({"deleverage"})
"""Strategies whose reason for a sale is the health below trigger, which the owner's Executor asks of the protocol
itself before it sells (``_admit``, ``_checkPrice``, ``settle`` of contracts/src/Executor.sol): at the protocol's own
prices, up to the owner's target and not beyond. Every other sale through it has a reason that it does not know."""
ONE_WORD = OWN_FUNDS | RECHECKED
"""Strategies that go on with one endpoint's word."""
PAUSE = "pause"
"""Control key of a pause of everything; ``pause:POSITION`` of one position. The value is its end."""


class Scope(StrEnum):
    """What a stop keeps from acting; the rest goes on."""

    POSITION = "position"
    CHAIN = "chain"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a plan stays on paper, and what ends that."""

    scope: Scope
    code: str
    why: str


class Stops:
    """Judges each plan of one chain before it goes to the lane; everything durable is in the journal."""

    def __init__(
        self,
        journal: Queries,
        clock: Clock,
        live_endpoints: Callable[[], tuple[int, int]],
        old_head: Callable[[], str] = lambda: "",
    ) -> None:
        """``live_endpoints``: (usable now, configured). ``old_head``: why what is seen is long past, or ""."""
        self._journal = journal
        self._clock = clock
        self._live_endpoints = live_endpoints
        self._old_head = old_head
        self.address: str | None = None
        """The key's that signs; None where nobody does."""
        self.unwritable = ""
        """Why the last write failed on its disk; empty once one succeeded. Nothing is signed meanwhile."""

    def of(self, plan: Plan) -> Stop | None:
        """The first stop that holds for ``plan`` at its block, narrowest scope first; a disk that takes
        nothing before all others, for they are read from it."""
        if self.unwritable:
            return Stop(scope=Scope.KEY, code="unwritable", why=self.unwritable)
        id = plan.key.position
        paused = self._paused(f"{PAUSE}:{id}", Scope.POSITION)
        failed = self._left(id.chain_id).get(id) or self._reverts(plan) or self._orders(plan)
        return paused or failed or self._unsure(plan) or self._paused(PAUSE, Scope.KEY)

    def standing(self, policies: Mapping[PositionId, Policy], at: Block | None) -> dict[PositionId, Stop]:
        """What stops each of these now, planned or not: those for whom nothing does are left out.

        The same stops as ``of`` names, narrowest first, without those that hold for every position whatever it
        would do (a pause of everything, a full disk). In few questions however many they are. ``at``: the last
        block judged; None before the first.
        """
        found: dict[PositionId, Stop] = {}
        if (stop := self._doubt()) is not None:
            found = {
                id: stop for id, policy in policies.items() if not ONE_WORD.issuperset(policy.strategies)
            }
        if at is not None:
            found |= self._failing(policies, at)
            found |= {id: stop for id, stop in self._left(at.chain_id).items() if id in policies}
        prefix = f"{PAUSE}:"
        paused = {key.removeprefix(prefix) for key in self._journal.controls() if key.startswith(prefix)}
        asked = [id for id in policies if str(id) in paused] if paused else []
        named = {id: self._paused(f"{prefix}{id}", Scope.POSITION) for id in asked}
        return found | {id: stop for id, stop in named.items() if stop is not None}

    def _left(self, chain_id: int) -> dict[PositionId, Stop]:
        """Those of which another key's plan is open: it may still act, and this key can do nothing about it."""
        if self.address is None:
            return {}
        opened = [i for i in self._journal.open_intents(chain_id) if not i.is_of(self.address)]
        return {i.key.position: _signed_elsewhere(i) for i in opened}

    def _failing(self, policies: Mapping[PositionId, Policy], at: Block) -> dict[PositionId, Stop]:
        """Those that were tried too often without effect."""
        since = at.number - REVERT_WINDOW_BLOCKS
        found = {}
        orders = _ended(self._journal, at)
        for id, blocks in self._journal.reverted_blocks_each(at.chain_id, since).items():
            if id in policies and (stop := _reverted(blocks)) is not None:
                found[id] = stop
        for id in policies if orders else ():
            if id not in found and (stop := _in_vain(orders, id, at)) is not None:
                found[id] = stop
        return found

    @property
    def quorum_lost(self) -> str:
        """Why one endpoint's word is all there is; empty while two agree or only one was ever configured."""
        live, configured = self._live_endpoints()
        if configured < QUORUM or live >= QUORUM:
            return ""
        lost = f"{live} of {configured} endpoints can be used: what needs the word of two waits ({WAITS})"
        return f"{lost}; what pays in, and an Executor's sale below its trigger, go on"

    @property
    def pause(self) -> Stop | None:
        """The pause of everything, while it lasts."""
        return self._paused(PAUSE, Scope.KEY)

    def _reverts(self, plan: Plan) -> Stop | None:
        since = plan.block.number - REVERT_WINDOW_BLOCKS
        return _reverted(self._journal.reverted_blocks(plan.key.position, since))

    def _orders(self, plan: Plan) -> Stop | None:
        if all(isinstance(step, CancelOrder) for step in plan.steps):
            return None
        alike = all(isinstance(step, AddMargin) for step in plan.steps)
        ended = _ended(self._journal, plan.block, TOP_UP if alike else "")
        return _in_vain(ended, plan.key.position, plan.block)

    def _unsure(self, plan: Plan) -> Stop | None:
        """What no contract holds to its reason waits while that reason may be one endpoint's, or long past."""
        return None if words_needed(plan) < QUORUM else self._doubt()

    def _doubt(self) -> Stop | None:
        if lost := self.quorum_lost:
            return Stop(scope=Scope.CHAIN, code="quorum_lost", why=lost)
        if not (old := self._old_head()):
            return None
        why = (
            f"{old}; until one of now comes what needs a price of now waits ({WAITS}); what pays in, and an "
        )
        return Stop(scope=Scope.CHAIN, code="blind", why=f"{why}Executor's sale below its trigger, go on")

    def _paused(self, key: str, scope: Scope) -> Stop | None:
        control = self._journal.control(key)
        if control is None or control.value is None:
            return None
        left_s = float(control.value) - self._clock.now_s()
        if left_s <= 0:
            return None
        why = f"paused by {control.actor} for {min(left_s, PAUSE_S_MAX) / 60:.0f} more minutes: {control.why}"
        # a clock set back must neither void a pause nor make it last
        return Stop(scope=scope, code="paused", why=why) if left_s <= PAUSE_S_MAX + SET_BACK_S else None


def _signed_elsewhere(intent: Intent) -> Stop:
    why = f"{intent.key} was signed by another key, {intent.signer}, under nonce {intent.attempts[-1].nonce}"
    ends = "until a transaction of that key has used the nonce, or `keeper adopt --give-up`"
    return Stop(scope=Scope.POSITION, code="other_key", why=f"{why}, and may still act: it waits {ends}")


def _reverted(blocks: Sequence[int]) -> Stop | None:
    """Of a position whose transactions reverted in these, all within the window."""
    if len(blocks) < REVERTS_MAX:
        return None
    again = sorted(blocks)[-REVERTS_MAX] + REVERT_WINDOW_BLOCKS + 1
    why = f"{len(blocks)} of its transactions reverted within {REVERT_WINDOW_BLOCKS} blocks"
    return Stop(scope=Scope.POSITION, code="reverts", why=f"{why}; tried again from block {again}")


def words_needed(plan: Plan) -> int:
    """How many endpoints must say that a plan would succeed.

    One for what only pays in, for a sale that the contract itself holds to the trigger, and for taking back an order
    that the venue gives up only once it is late: a liar gains nothing by it. Two for everything else, because a sale
    for which one endpoint made the reason up is the loss that it wished for, and so is a stop taken back.
    """
    checked = plan.strategy in RECHECKED
    return (
        1
        if all(_harmless(step) or (checked and isinstance(step, Deleverage)) for step in plan.steps)
        else QUORUM
    )


def _harmless(step: Step) -> bool:
    return isinstance(step, Supply | Repay | AddMargin) or (isinstance(step, CancelOrder) and step.late)


def _ended(journal: Queries, at: Block, step: str = "") -> list[tuple[str, int]]:
    """(subject, chain's second) of orders (of that kind alone, where it is named) that the venue did not carry out,
    lately: without stops, and without those that we took back."""
    rows = journal.entries("order", limit=ORDERS_READ, newest=True)
    tried = [row for row in rows if row.data.get("state") == "CANCELLED" and not row.data.get("taken_back")]
    # what an older keeper wrote names no kind
    kinds = [(row, str(row.data.get("step", step))) for row in tried]
    alike = [row for row, kind in kinds if (kind == step if step else kind != NO_TRY)]
    ended = [(row, int(str(row.data.get("at_s", 0)))) for row in alike]
    return [(row.subject, s) for row, s in ended if at.timestamp_s - ORDERS_WINDOW_S <= s <= at.timestamp_s]


def _in_vain(ended: Sequence[tuple[str, int]], id: PositionId, at: Block) -> Stop | None:
    mine = f"{id}#"
    ended_s = sorted(at_s for subject, at_s in ended if subject.startswith(mine))
    if len(ended_s) < ORDERS_MAX:
        return None
    again_s = ended_s[-ORDERS_MAX] + ORDERS_WINDOW_S + 1 - at.timestamp_s
    why = f"{len(ended_s)} of its orders ended without effect on the venue within {ORDERS_WINDOW_S} s"
    return Stop(scope=Scope.POSITION, code="orders_in_vain", why=f"{why}; tried again in {again_s} s")
