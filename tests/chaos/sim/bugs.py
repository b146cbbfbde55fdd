"""Mistakes that other keepers made, planted into the real rooms one at a time; each must be caught.

Every entry patches production code for the time of a run, in tests only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import update

from keeper.chain.endpoints import Endpoints
from keeper.confirmation import revival
from keeper.confirmation.branch import Branch
from keeper.confirmation.finality import Finality
from keeper.confirmation.follow import Confirmation
from keeper.confirmation.receipt import Sight
from keeper.confirmation.receipts import Receipts
from keeper.daemon import building, recovering
from keeper.daemon import loop as chainloop
from keeper.daemon.service import ChainDaemon
from keeper.decision import Memory
from keeper.errors import Broken, Transient
from keeper.journal import recover
from keeper.journal.tables import table
from keeper.journal.write import Journal
from keeper.model import Attempt, Fee, IntentState, PlanKey, Refusal
from keeper.plan import guard
from keeper.signer.policy import SigningPolicy
from keeper.transaction import bids, fees, nonce
from keeper.transaction.answers import Verdict
from keeper.transaction.send import Live
from keeper.units import UINT256_MAX
from tests.chaos.sim.chain import FINALITY

Bug = Callable[[], AbstractContextManager[None]]
BUGS: dict[str, Bug] = {}
Change = tuple[object, str, Any]


def bug(plant: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
    """Register a function that says which attributes a bug replaces, and by what."""

    @contextmanager
    def planted() -> Iterator[None]:
        with ExitStack() as undo:
            for owner, name, value in plant():
                undo.callback(setattr, owner, name, _raw(owner, name))
                setattr(owner, name, value)
            yield

    BUGS[plant.__name__] = planted
    return plant


def _raw(owner: object, name: str) -> Any:
    """The attribute as it stands in the class, so that putting it back changes nothing."""
    return vars(owner)[name] if name in vars(owner) else getattr(owner, name)


def _force(journal: Any, key: PlanKey, state: IntentState) -> None:
    """What a journal without rules would do: any state at any time."""
    t = table("intent")
    with journal._transaction() as connection:
        connection.execute(
            update(t)
            .where(t.c.position == str(key.position), t.c.seq == key.seq)
            .values(state=state.value, watched=False)
        )


@bug
def journal_after_broadcast() -> list[Change]:
    broadcast = Live._broadcast

    async def late(self: Any, attempt: Attempt) -> Verdict:
        known = self._journal.intent(attempt.key)
        fresh = known is not None and attempt.hash not in {a.hash for a in known.attempts}
        if not fresh:
            return await broadcast(self, attempt)
        await self._transport.broadcast(attempt.raw)
        self._probe("broadcast")
        self._journal.add_attempt(attempt, self._signer.address)
        return await broadcast(self, attempt)

    async def unkept(self: Any, attempt: Attempt, call: Any, chain_id: int) -> Attempt:
        kept: Attempt = await self._signed(attempt, call, chain_id)
        return kept

    return [
        (Live, "_sign", unkept),
        (Live, "_broadcast", late),
        (Live, "_abandon_unsigned", lambda *_: None),
    ]


@bug
def bump_not_journaled() -> list[Change]:
    add = Journal.add_attempt

    def first_only(self: Any, attempt: Attempt, signer: str) -> None:
        if attempt.n == 0:
            add(self, attempt, signer)

    return [(Journal, "add_attempt", first_only)]


@bug
def timeout_means_failed() -> list[Change]:
    broadcast = Live._broadcast

    async def impatient(self: Any, attempt: Attempt) -> Verdict:
        verdict = await broadcast(self, attempt)
        if not verdict.reached and verdict is Verdict.UNKNOWN:
            _force(self._journal, attempt.key, IntentState.ABANDONED)
        return verdict

    return [(Live, "_broadcast", impatient)]


@bug
def resign_on_nonce_too_low() -> list[Change]:
    broadcast = Live._broadcast

    async def anew(self: Any, attempt: Attempt) -> Verdict:
        verdict = await broadcast(self, attempt)
        if verdict is Verdict.NONCE_LOW:
            _force(self._journal, attempt.key, IntentState.ABANDONED)
        return verdict

    return [(Live, "_broadcast", anew)]


@bug
def only_latest_hash_watched() -> list[Change]:
    look = Receipts.look

    async def newest(self: Any, intents: Any, block: Any, nonce: int) -> Any:
        return await look(self, [replace(i, attempts=i.attempts[-1:]) for i in intents], block, nonce)

    return [(Receipts, "look", newest)]


@bug
def one_confirmation_is_final() -> list[Change]:
    record = Journal.record_outcome

    def sealed(self: Any, outcome: Any, block_hash: str = "") -> None:
        record(self, outcome, block_hash)
        if outcome.state is not IntentState.SENT:
            self.seal(outcome.key, outcome.block_number)

    return [(Journal, "record_outcome", sealed)]


@bug
def final_by_depth_alone() -> list[Change]:
    """So many blocks on top are final, though the finalized block stands still."""
    height = Finality.height

    async def deep(self: Any, block: Any, lowest: int) -> int:
        return max(await height(self, block, lowest), block.number - FINALITY)

    return [(Finality, "height", deep)]


@bug
def fire_and_forget() -> list[Change]:
    async def trusting(self: Any, intent: Any) -> Verdict:
        return Verdict.KNOWN

    async def no_resend(*_: Any) -> str:
        return "left alone"

    async def never(self: Any, key: PlanKey, *_: Any) -> Refusal:
        return Refusal(who="bug", code="held", why="never raised")

    return [
        (Live, "rebroadcast", trusting),
        (Live, "bump", never),
        (Live, "cancel", never),
        (recover, "_resend", no_resend),
    ]


@bug
def open_intents_not_awaited() -> list[Change]:
    options = chainloop.ChainLoop._options

    def blind(self: Any) -> Any:
        return replace(options(self), open_intents=frozenset(), promised=())

    async def as_new(self: Any, plan: Any, snapshot: Any) -> Any:
        fresh = replace(plan, key=replace(plan.key, seq=self._journal.next_seq(plan.key.position)))
        return await act(self, fresh, snapshot)

    act = Live.act
    return [
        (chainloop.ChainLoop, "_options", blind),
        (Journal, "_refuse_raced", lambda *_: None),
        (Live, "act", as_new),
    ]


@bug
def fee_cap_ignored() -> list[Change]:
    def uncapped(function: Any) -> Any:
        def call(market: Any, limit: int, cap_wei: int, **rest: Any) -> Any:
            return function(market, limit, 10**30, **rest)

        return call

    def raised(old: Fee, market: Any, cap_wei: int, **rest: Any) -> Any:
        return fees.raised_fee(old, market, 10**30, **rest)

    return [(bids, "first_fee", uncapped(fees.first_fee)), (bids, "raised_fee", raised)]


@bug
def nodes_nonce_trusted() -> list[Change]:
    async def trusting(self: Any, block: Any, address: str) -> int:
        return nonce.count(await self._transport.request("eth_getTransactionCount", [address, "latest"]))

    return [
        (nonce.Nonces, "next", trusting),
        (Journal, "_refuse_second_nonce", lambda *_: None),
    ]


@bug
def nonce_gap() -> list[Change]:
    ask = nonce.Nonces.next

    async def skipping(*args: Any) -> int:
        return await ask(*args) + 1

    return [(nonce.Nonces, "next", skipping)]


@bug
def bump_too_small() -> list[Change]:
    def five_percent(old: Fee, market: Any, cap_wei: int, **rest: Any) -> Any:
        return replace(old, max_fee_wei=old.max_fee_wei * 105 // 100, tip_wei=old.tip_wei * 105 // 100)

    return [
        (bids, "raised_fee", five_percent),
        (fees, "_BASE_NORMAL_PERMILLE", 1_000),
        (fees, "_BASE_URGENT_PERMILLE", 1_000),
    ]


@bug
def fee_never_raised() -> list[Change]:
    async def never(self: Any, key: PlanKey, *_: Any) -> Refusal:
        return Refusal(who="bug", code="held", why="never raised")

    return [
        (Live, "bump", never),
        (fees, "_BASE_NORMAL_PERMILLE", 1_000),
        (fees, "_BASE_URGENT_PERMILLE", 1_000),
    ]


@bug
def recovery_skipped() -> list[Change]:
    reconcile = recover._reconcile

    async def lazily(journal: Any, transport: Any, clock: Any, chain_id: int, address: str) -> Any:
        return ()

    assert reconcile is not None
    return [(recovering, "recover", lazily)]


@bug
def recovery_abandons_signed() -> list[Change]:
    async def forget(journal: Any, transport: Any, clock: Any, chain_id: int, address: str) -> Any:
        for intent in journal.open_intents(chain_id):
            _force(journal, intent.key, IntentState.ABANDONED)
        return ()

    return [(recovering, "recover", forget)]


@bug
def reorganisation_not_noticed() -> list[Change]:
    async def keep(self: Any, *_: Any) -> None:
        return None

    return [(Confirmation, "_reopen", keep)]


@bug
def receipt_of_any_branch() -> list[Change]:
    async def yes(self: Any, receipt: Any, block: Any) -> bool:
        return True

    def at_once(self: Any, outcome: Any, block_hash: str = "") -> None:
        record(self, outcome, block_hash)
        if outcome.state is IntentState.INCLUDED:
            self.seal(outcome.key, outcome.block_number)

    record = Journal.record_outcome
    return [(Branch, "_on", yes), (Journal, "record_outcome", at_once)]


@bug
def missing_receipt_means_replaced() -> list[Change]:
    tend = Confirmation._tend_open

    async def hasty(self: Any, intent: Any, sight: Sight, block: Any, snapshot: Any) -> Any:
        if sight.receipt is None and block.number > intent.attempts[-1].sent_block:
            _force(self._journal, intent.key, IntentState.REPLACED)
            return None
        return await tend(self, intent, sight, block, snapshot)

    return [(Confirmation, "_tend_open", hasty)]


@bug
def unread_is_healthy() -> list[Change]:
    def fine(self: Any, block: Any, why: str) -> Any:
        if self.last is None:
            return None
        safe = tuple(replace(o, level=chainloop.Level.SAFE) for o in self.last.outlooks)
        self.last = replace(
            self.last, outlooks=safe, snapshot=replace(self.last.snapshot, block=block, digest=why)
        )
        return self.last

    return [(chainloop.ChainLoop, "unseen", fine)]


@bug
def blindness_not_told() -> list[Change]:
    return [(ChainDaemon, "_go_blind", lambda *_: None)]


@bug
def anything_is_signed() -> list[Change]:
    encode = building.compile_plan

    def generous(proposal: Any, case: Any) -> Any:
        built = encode(proposal, case)
        if isinstance(built, Refusal):
            return built
        data = built.call.data
        at = 4 + 32
        return replace(
            built, call=replace(built.call, data=data[:at] + UINT256_MAX.to_bytes(32) + data[at + 32 :])
        )

    return [(SigningPolicy, "refuses", lambda *_: None), (building, "compile_plan", generous)]


@bug
def planned_left_open_by_crash() -> list[Change]:
    def leave(intent: Any, mined: bool, latest_nonce: int, **rest: Any) -> recover.Remedy:
        found = judge(intent, mined, latest_nonce, **rest)
        return found if intent.attempts else recover.Remedy.CONSUMED

    judge = recover.judge
    return [(recover, "judge", leave)]


@bug
def attempt_commit_not_durable() -> list[Change]:
    """The bytes are written, but the commit comes with the next one, as with a lax synchronous mode."""
    add = Journal.add_attempt

    def forgetful(self: Any, attempt: Attempt, signer: str) -> None:
        add(self, attempt, signer)
        a = table("attempt")
        with self._transaction() as connection:
            connection.execute(a.delete().where(a.c.hash == attempt.hash))

    return [(Journal, "add_attempt", forgetful)]


@bug
def transient_is_broken() -> list[Change]:
    act = Live.act

    async def dramatic(self: Any, plan: Any, snapshot: Any) -> Any:
        try:
            return await act(self, plan, snapshot)
        except Transient as error:
            raise Broken(str(error)) from error

    return [(Live, "act", dramatic)]


@bug
def arming_forgotten() -> list[Change]:
    started: set[int] = set()

    def armed(self: Any) -> bool:
        # the switch is kept in memory only: it is on until the journal has seen a second start
        starts = len([e for e in self.parts.journal.entries("start") if e.chain_id])
        started.add(starts)
        return starts <= 1 and not self.broken

    return [(chainloop.ChainLoop, "armed", property(armed))]


@bug
def trigger_ignored() -> list[Change]:
    acting, judged = sys.modules["keeper.decision.acting"], sys.modules["keeper.decision.case"]

    def below_warning(health_wad: int, policy: Any) -> bool:
        return health_wad < policy.warn_wad + 10**17

    def level(before: Any, raw: Any, health: Any, policy: Any) -> Any:
        return chainloop.Level.ACT if raw is chainloop.Level.WATCH else raw

    return [
        (acting, "crossed", below_warning),
        (guard, "crossed", below_warning),
        (judged, "level_after", level),
    ]


@bug
def latest_read_instead_of_pinned() -> list[Change]:
    """Positions of one block are taken for those of another: the photograph is not of its block."""
    request = Endpoints.request

    async def unpinned(self: Any, method: str, params: Any, **rest: Any) -> Any:
        asks_state = method in ("eth_call", "eth_getTransactionCount") and isinstance(params[-1], dict)
        if asks_state and "blockHash" in params[-1]:
            params = [*params[:-1], "latest"]
        return await request(self, method, params, **rest)

    return [(Endpoints, "request", unpinned)]


@bug
def revival_not_noticed() -> list[Change]:
    """The later plan goes on although what it replaced has acted after all."""
    return [(revival, "needless", lambda *_: None)]


@bug
def crash_leaves_cooldown() -> list[Change]:
    """A restart believes that what was decided was done."""

    def trusting(journal: Any) -> Memory:
        return Memory.restore(journal.memories())

    return [(chainloop, "remembered", trusting)]


@bug
def acts_a_block_late() -> list[Change]:
    """The first tick after a trigger only looks."""
    hand = chainloop.ChainLoop.hand
    seen: dict[Any, str] = {}

    def slowly(self: Any, tick: Any) -> Any:
        # a tick hands over twice: those in need first
        fresh = tuple(p for p in tick.plans if seen.setdefault(p.key, p.block.hash) == p.block.hash)
        self._memory = self._memory.without_actions({p.key.position for p in fresh})
        return hand(self, replace(tick, plans=tuple(p for p in tick.plans if p not in fresh)))

    return [(chainloop.ChainLoop, "hand", slowly)]
