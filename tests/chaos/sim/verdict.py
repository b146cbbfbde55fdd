"""After the quiet: the journal tells what the chain holds, and what acted twice stayed within its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keeper.daemon.pace import STEP_BLOCKS_MAX
from keeper.journal.write import Journal
from keeper.model import Attempt, Intent, IntentState, PlanKey, PositionId
from tests.build import USDC, WETH
from tests.chaos.sim.chain import FINALITY, Mined, SimBlock, SimChain
from tests.chaos.sim.market import policy
from tests.fakes import REPAY, SUPPLY

if TYPE_CHECKING:
    from tests.chaos.sim.world import World

ROUNDING_USD = 1
_TOKENS = {t.address.lower(): t for t in (WETH, USDC)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A plan that took effect on the chain as it is in the end."""

    intent: Intent
    attempt: Attempt
    block: SimBlock
    mined: Mined
    usd: int
    """What it took from the wallet at its block's price, rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Double:
    """Two plans that acted, though the later was made when the earlier had failed, or had acted by smaller bytes."""

    early: Act
    late: Act

    @property
    def avoidable(self) -> bool:
        """Whether the daemon saw the revival before the later plan was mined, out of a pool that it reaches."""
        return self.late.block.step > self.early.block.step and not self.late.mined.revived


def judge(world: World, journal: Journal) -> tuple[Double, ...]:
    """Every invariant of journal against chain; what acted twice."""
    intents = journal.intents(limit=10_000)
    owner = {a.hash: (i, a) for i in intents for a in i.attempts}
    acts: list[Act] = []
    where: dict[PlanKey, tuple[SimBlock, Mined, Attempt]] = {}
    for block, mined in world.chain.mined():
        if mined.hash not in owner:
            world.violated(f"mined without a word in the journal: nonce {mined.tx.nonce}")
            continue
        intent, attempt = owner[mined.hash]
        if intent.key in where:
            world.violated(f"{intent.key} is on the chain twice")
        where[intent.key] = (block, mined, attempt)
        if not attempt.cancel and mined.ok:
            usd = _usd_up(mined, world.chain.price_base(block.number))
            acts.append(Act(intent=intent, attempt=attempt, block=block, mined=mined, usd=usd))
    doubles = _doubles(world.chain, journal, acts)
    late = {d.late.intent.key for d in doubles}
    for act in acts:
        _check_asked(world, act, act.intent.key in late)
    _check_caps(world, acts)
    for intent in intents:
        _check_intent(world, intent, where.get(intent.key))
    return doubles


def _doubles(chain: SimChain, journal: Journal, acts: list[Act]) -> tuple[Double, ...]:
    """The earlier act is not on the branch on which the later one was planned, nor any that did as much: by the
    chain, and by what each attempt carried."""
    found = []
    for late in acts:
        planned = chain.by_hash[journal.carried(late.intent, late.attempt.n).block.hash]
        for early in acts:
            a, b = early.intent.key, late.intent.key
            if a.position != b.position or a.seq >= b.seq or _acted_before(chain, journal, (early, planned)):
                continue
            found.append(Double(early=early, late=late))
    return tuple(found)


def _acted_before(chain: SimChain, journal: Journal, of: tuple[Act, SimBlock]) -> bool:
    (act, tip), intent = of, of[0].intent
    last = act.attempt.n
    did = journal.carried(intent, last).steps
    # a replacement is never smaller: what was seen to act by later bytes is not more than was counted on
    as_much = [a for a in intent.attempts if a.n >= last or journal.carried(intent, a.n).steps == did]
    hashes = {a.hash for a in as_much if not a.cancel}
    return any(
        m.ok and chain.on_branch(block, tip)
        for h in hashes
        for block in chain.places.get(h, ())
        for m in block.txs
        if m.hash == h
    )


def _check_asked(world: World, act: Act, doubled: bool) -> None:
    """Something asked for it: the trigger was crossed at the worse of the prices that it may have seen."""
    if doubled:
        return
    # prices fall by block number; a reorganisation may put the act before the fall that asked for it
    planned = act.intent.plan.block.number
    price = world.chain.price_base(max(act.block.number, planned))
    seen = (act.mined.health_before_wad or 0) * price // world.chain.price_base(act.block.number)
    if seen > policy().trigger_wad * 1_000_001 // 1_000_000:
        world.violated(f"{act.intent.key} acted at health {seen / 1e18:.4f}: nothing asked for it")


def _check_caps(world: World, acts: list[Act]) -> None:
    """The caps hold whatever is reorganised: each act, and the sum of a position's (a seed is within a day)."""
    caps = policy().caps
    sums: dict[PositionId, int] = {}
    for act in acts:
        position = act.intent.key.position
        sums[position] = sums.get(position, 0) + act.usd
        if act.usd > caps.per_action_usd + ROUNDING_USD:
            world.violated(f"{act.intent.key} moved ${act.usd}, the cap is ${caps.per_action_usd}")
    for position, usd in sums.items():
        if usd > caps.per_day_usd + ROUNDING_USD * len(acts):
            world.violated(f"{position} took ${usd} within a day, the cap is ${caps.per_day_usd}")


def _usd_up(mined: Mined, price_base: int) -> int:
    tx = mined.tx
    if tx.data[:4] not in (REPAY, SUPPLY):
        return 0
    token = _TOKENS["0x" + tx.data[16:36].hex()]
    units, price = int.from_bytes(tx.data[36:68]), price_base if token is WETH else 10**8
    return -(-units * price // 10 ** (token.decimals + 8))


def _check_intent(world: World, intent: Intent, found: tuple[SimBlock, Mined, Attempt] | None) -> None:
    nonces = {a.nonce for a in intent.attempts}
    if len(nonces) > 1:
        world.violated(f"{intent.key} has nonces {sorted(nonces)}")
    state = intent.state
    if found is None:
        if state not in (IntentState.ABANDONED, IntentState.EXPIRED):
            world.violated(f"{intent.key} is {state}, the chain holds none of it")
        return
    block, mined, attempt = found
    expected = {IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL}
    if attempt.cancel:
        expected = {IntentState.CANCELLED}
    elif not mined.ok:
        expected = {IntentState.REVERTED}
    elif world.chain.head.number - block.number > FINALITY + STEP_BLOCKS_MAX + 1:
        expected = {IntentState.FINAL}
    if state not in expected:
        told = sorted(s.value for s in expected)
        world.violated(f"{intent.key} is {state}, block {block.number} says {told}")
