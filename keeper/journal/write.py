"""Writing the journal: one daemon, one connection, every method one durable commit before it returns."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete
from sqlalchemy.exc import IntegrityError

from keeper.errors import Broken, Raced
from keeper.journal import codec, opening, retention
from keeper.journal import statements as sql
from keeper.journal.direct import Direct, Row
from keeper.journal.files import FileLock, Place, guarded
from keeper.journal.moves import BY_CHAIN, NEXT
from keeper.journal.read import REPLAN, Queries, T
from keeper.journal.tables import table
from keeper.model import Attempt, Entry, Intent, IntentState, Outcome, Plan, PlanKey, PositionId, Snapshot
from keeper.seams import Clock, Shadow

S = IntentState


class Journal(Queries):
    """The daemon's journal. Used from one thread; synchronous on the loop, so that a crash has a place."""

    def __init__(self, path: Path, connection: Connection, lock: FileLock, clock: Clock) -> None:
        self._direct = Direct(connection)
        super().__init__(path, self._direct)
        self._lock = lock
        self._clock = clock
        self._place = Place(path)
        self._durable: list[Callable[[], None]] = []
        """Whom to tell when the open transaction is committed."""
        self.new = False
        """True when this opening created the file."""

    @classmethod
    def open(cls, path: Path, clock: Clock, *, create: bool = True) -> Journal:
        """Open, or create, for writing. Raises ConfigError (held, newer schema) or Broken (damaged)."""
        connection, lock, new = opening.open_writer(path, clock, may_create=create)
        journal = Journal(path, connection, lock, clock)
        journal.new = new
        return journal

    def close(self) -> None:
        """Release file and lock; safe to call twice."""
        super().close()
        self._lock.release()

    @contextmanager
    def _transaction(self) -> Generator[Connection | Direct]:
        """As every query's, and not believed before the file is seen to be where it was opened."""
        if self._connection.in_transaction():
            with super()._transaction() as connection:
                yield connection
            return
        # what was undone before is nobody's news
        self._durable = []
        with super()._transaction() as connection:
            yield connection
        self._place.refuse_replaced()
        told, self._durable = self._durable, []
        for tell in told:
            tell()

    @contextmanager
    def _reading(self) -> Generator[Direct]:
        """No transaction: nobody else writes this file, and no await comes between two questions."""
        with guarded(self.path):
            yield self._direct

    def _ask(self, key: object, question: Callable[[], T]) -> T:
        """Asked again only after a write to a table that the answer came from."""
        with guarded(self.path):
            return self._direct.ask(key, question)

    def refuse_replaced(self) -> None:
        """Raises Broken where the file is not the one that was opened: what was kept is lost with it."""
        self._place.refuse_replaced()

    @contextmanager
    def batch(self) -> Generator[None]:
        """Several writes as one durable commit; do not await inside."""
        with self._transaction():
            yield

    def when_durable(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once the open transaction is committed; never where it is undone."""
        if self._connection.in_transaction():
            self._durable.append(tell)
        else:
            tell()

    def record(self, entry: Entry) -> int:
        """Append to the diary and return the entry's id; the time is the journal's clock."""
        values = {
            "kind": entry.kind,
            "chain_id": entry.chain_id,
            "block_number": entry.block_number,
            "subject": entry.subject,
            "why": entry.why,
            "data": codec.dumps(entry.data),
            "at_s": self._clock.now_s(),
        }
        return self._insert("entry", values)

    def record_all(self, entries: Iterable[Entry]) -> tuple[int, ...]:
        """Append several in one commit."""
        with self._transaction():
            return tuple(self.record(e) for e in entries)

    def open_intent(self, plan: Plan, *, spend_usd: int | None = None, dry: bool = False) -> Intent:
        """Check and insert in one exclusive transaction; ``spend_usd`` defaults to the plan's cost bound.

        Raises Raced when the plan's seq is not the next one, when the position has an intent still open, or
        when the plan was made from a block older than the position's last inclusion.
        """
        position, chain_id = str(plan.key.position), plan.key.position.chain_id
        state = S.DRY if dry else S.PLANNED
        with self._transaction():
            self._refuse_raced(plan)
            self._insert(
                "intent",
                {
                    "chain_id": chain_id,
                    "position": position,
                    "seq": plan.key.seq,
                    "state": state.value,
                    "why": plan.why,
                    "plan": codec.plan_to_json(plan),
                    "spend_usd": plan.bounds.cost_usd_max if spend_usd is None else spend_usd,
                    "planned_block": plan.block.number,
                    "changed_block": plan.block.number,
                    "at_s": self._clock.now_s(),
                    "watched": False,
                },
            )
            data = {"state": state.value, "strategy": plan.strategy, "bounds": plan.bounds}
            self._note("plan", plan.key, plan.block.number, plan.why, data)
        return Intent(key=plan.key, plan=plan, state=state, why=plan.why)

    def add_attempt(self, attempt: Attempt, signer: str) -> None:
        """Make the signed bytes durable; must return before they are broadcast.

        Raises Raced when the intent is not open any more, and Broken when the nonce belongs to another intent, or
        when the intent already signed for another nonce: one intent has one nonce, whatever the endpoints say.
        """
        chain_id, key = attempt.key.position.chain_id, attempt.key
        values = {
            "chain_id": chain_id,
            "signer": signer.lower(),
            "nonce": attempt.nonce,
            "n": attempt.n,
            "hash": attempt.hash,
            "raw": attempt.raw,
            "gas_limit": attempt.fee.gas_limit,
            "max_fee_wei": attempt.fee.max_fee_wei,
            "tip_wei": attempt.fee.tip_wei,
            "cancel": attempt.cancel,
            "sent_block": attempt.sent_block,
            "at_s": self._clock.now_s(),
        }
        with self._transaction():
            row = self._intent_row(key)
            state = S(row["state"])
            if not state.open:
                raise Raced(f"{key} is {state}: nothing may be signed for it")
            self._refuse_second_nonce(attempt, signer.lower(), row["id"])
            try:
                self._insert("attempt", {**values, "intent_id": row["id"]})
            except IntegrityError as error:
                raise Broken(f"{key} attempt {attempt.n}: {error.orig}") from None
            if attempt.cancel and state != S.CANCELLING:
                self.set_state(key, S.CANCELLING, "self-send signed", attempt.sent_block)
            elif state == S.PLANNED:
                self.set_state(key, S.SIGNED, "signed", attempt.sent_block)
            facts = {"nonce": attempt.nonce, "n": attempt.n, "hash": attempt.hash, "fee": attempt.fee}
            why = "cancel" if attempt.cancel else "signed"
            self._note("attempt", key, attempt.sent_block, why, facts)

    def replan(self, plan: Plan, attempt: Attempt, signer: str, *, spend_usd: int) -> None:
        """A larger plan takes an open intent's place, its signed bytes durable in the same commit.

        Same key, same nonce, so only one of all attempts can ever be mined; what the earlier attempts carry
        stays readable by ``carried``. Raises Raced (ended or cancelling meanwhile, or planned from before an
        inclusion) or Broken as ``add_attempt`` does.
        """
        with self._transaction():
            row = self._intent_row(plan.key)
            if S(row["state"]) not in (S.SIGNED, S.SENT):
                raise Raced(f"{plan.key} is {row['state']}: it is not replaced any more")
            if plan.block.number < self.last_inclusion_block(plan.key.position):
                raise Raced(f"{plan.key}: planned from block {plan.block.number}, before an inclusion")
            before = self.intent(plan.key)
            assert before is not None
            data = {"n": attempt.n, "was": codec.to_plain(before.plan), "bounds": plan.bounds}
            self._note(REPLAN, plan.key, plan.block.number, plan.why, data)
            values = {
                "plan": codec.plan_to_json(plan),
                "why": plan.why,
                # either may be mined: the day's cap counts the dearer one
                "spend_usd": max(spend_usd, self.spend_usd(plan.key)),
            }
            self._update_intent(row["id"], values)
            self.add_attempt(attempt, signer)

    def set_state(self, key: PlanKey, state: IntentState, why: str, block_number: int) -> None:
        """Move an intent. Raises Broken on a move that its life does not have; the same state is a no-op."""
        with self._transaction():
            row = self._intent_row(key)
            now = S(row["state"])
            if now == state:
                return
            if state not in NEXT[now] or (not now.open and not row["watched"]):
                raise Broken(f"{key}: no way from {now} to {state} ({why})")
            values: dict[str, object] = {"state": state.value, "why": why, "changed_block": block_number}
            values["watched"] = state in BY_CHAIN
            if state.open:
                values |= {"included_block": None, "included_hash": None}
            self._update_intent(row["id"], values)
            self._note("attempt", key, block_number, why, {"from": now.value, "state": state.value})

    def record_outcome(self, outcome: Outcome, block_hash: str = "") -> None:
        """What the chain says became of an intent: its state, where it was included, and a diary entry."""
        with self._transaction():
            row = self._intent_row(outcome.key)
            why = outcome.surprise or outcome.state.value.lower()
            self.set_state(outcome.key, outcome.state, why, outcome.block_number)
            if outcome.state in BY_CHAIN:
                place = {"included_block": outcome.block_number, "included_hash": block_hash, "watched": True}
                self._update_intent(row["id"], place)
            data = codec.to_plain(outcome)
            assert isinstance(data, dict)
            self._note("outcome", outcome.key, outcome.block_number, why, data)

    def seal(self, key: PlanKey, block_number: int) -> None:
        """The chain cannot take it back any more: included becomes FINAL, other ends are let go."""
        with self._transaction():
            row = self._intent_row(key)
            if S(row["state"]) in (S.INCLUDED, S.SETTLED):
                self.set_state(key, S.FINAL, "final", block_number)
            self._update_intent(row["id"], {"watched": False})

    def adopt_nonce(self, chain_id: int, signer: str, nonce: int, why: str, actor: str = "keeper") -> None:
        """From which nonce on this journal answers for ``signer``; an explicit act with a diary entry."""
        values = {
            "chain_id": chain_id,
            "signer": signer.lower(),
            "adopted": nonce,
            "at_s": self._clock.now_s(),
        }
        with self._transaction():
            self._put("nonce", values, ("chain_id", "signer"))
            self.record(
                Entry(
                    kind="control",
                    chain_id=chain_id,
                    block_number=0,
                    subject=signer,
                    why=why,
                    data={"key": "nonce", "value": nonce, "actor": actor},
                )
            )

    def set_control(self, key: str, value: str | None, actor: str, why: str, chain_id: int = 0) -> None:
        """Turn a switch; the diary keeps what it was."""
        with self._transaction():
            before = self.control(key)
            now_s = self._clock.now_s()
            values = {"key": key, "value": value, "actor": actor, "why": why, "at_s": now_s}
            self._put("control", values, ("key",))
            data = {"value": value, "was": before.value if before else None, "actor": actor}
            self.record(
                Entry(kind="control", chain_id=chain_id, block_number=0, subject=key, why=why, data=data)
            )

    def set_memory(self, position: PositionId, data: object) -> None:
        """Keep decision's memory of one position: plain JSON or a record."""
        self.set_memories({position: data})

    def set_memories(self, memories: Mapping[PositionId, object]) -> None:
        """Keep decision's memory of several positions in one commit."""
        now_s = self._clock.now_s()
        rows = [
            {"position": str(p), "data": codec.dumps(data), "at_s": now_s} for p, data in memories.items()
        ]
        if not rows:
            return
        # one statement for all: a thousand would cost a quarter of a second
        with self._transaction() as connection:
            connection.execute(sql.put("memory", ("position",), ("data", "at_s")), rows)

    def set_shadow(self, shadow: Shadow, wallet_deltas: Mapping[str, int] | None = None) -> None:
        """Keep a dry-run fill; ``wallet_deltas`` replaces the chain's whole purse in the same commit."""
        chain_id = shadow.id.chain_id
        values = {"position": str(shadow.id), "data": codec.dumps(shadow), "at_s": self._clock.now_s()}
        with self._transaction() as connection:
            self._put("shadow", values, ("position",))
            if wallet_deltas is not None:
                t = table("purse")
                connection.execute(delete(t).where(t.c.chain_id == chain_id))
                for token, units in wallet_deltas.items():
                    self._insert("purse", {"chain_id": chain_id, "token": token, "delta": str(units)})

    def clear_shadow(self, position: PositionId) -> None:
        """Forget a dry-run's version of ``position``: the chain's own counts again."""
        t = table("shadow")
        with self._transaction() as connection:
            connection.execute(delete(t).where(t.c.position == str(position)))

    def save_snapshot(self, snapshot: Snapshot, *, full: bool) -> None:
        """Keep the digest of what was known, with ``full`` all of it; a second call may add the body."""
        block = snapshot.block
        body = zlib.compress(codec.snapshot_to_json(snapshot).encode(), 1) if full else None
        values = {
            "chain_id": block.chain_id,
            "block_number": block.number,
            "block_hash": block.hash,
            "digest": snapshot.digest,
            "body": body,
            "at_s": self._clock.now_s(),
        }
        keep = () if full else ("body",)
        with self._transaction():
            self._put("snapshot", values, ("chain_id", "block_hash"), keep=keep)

    def prune(self, before_s: float) -> int:
        """Forget some old rows that explain nothing; how many. 0 when there are no more."""
        with self._transaction() as connection:
            return retention.forget(connection, before_s)

    def _refuse_raced(self, plan: Plan) -> None:
        position = plan.key.position
        busy = self._one(sql.BUSY, {"at_position": str(position)})
        if busy is not None:
            raise Raced(f"{position} has intent {busy['seq']} still {busy['state']}")
        expected = self.next_seq(position)
        if plan.key.seq != expected:
            raise Raced(f"{plan.key}: the next seq of this position is {expected}")
        included = self.last_inclusion_block(position)
        if plan.block.number < included:
            raise Raced(f"{plan.key}: planned from block {plan.block.number}, acted in block {included}")

    def _refuse_second_nonce(self, attempt: Attempt, signer: str, intent_id: int) -> None:
        asked = {"at_intent": intent_id, "at_nonce": attempt.nonce, "at_signer": signer}
        other = self._one(sql.OTHER_NONCE, asked)
        if other is not None:
            why = f"signed for nonce {other['nonce']}, never for {attempt.nonce}"
            raise Broken(f"{attempt.key} was {why} (by {other['signer']}, asked of {signer})")
        chain_id = attempt.key.position.chain_id
        foreign = self._integer(sql.OTHER_INTENT, {**asked, "at_chain": chain_id})
        if foreign:
            raise Broken(f"{attempt.key}: nonce {attempt.nonce} belongs to another intent")

    def _intent_row(self, key: PlanKey) -> Row:
        row = self._one(sql.INTENT_ROW, {"at_position": str(key.position), "at_seq": key.seq})
        if row is None:
            raise Broken(f"{key} is not in the journal {self.path}")
        return row

    def _update_intent(self, intent_id: int, values: Mapping[str, object]) -> None:
        with self._transaction() as connection:
            connection.execute(sql.UPDATE_INTENT, {**values, "at_id": intent_id})

    def _note(self, kind: str, key: PlanKey, block_number: int, why: str, data: Mapping[str, object]) -> None:
        chain_id = key.position.chain_id
        self.record(
            Entry(
                kind=kind,
                chain_id=chain_id,
                block_number=block_number,
                subject=str(key),
                why=why,
                data=data,
            )
        )

    def _insert(self, name: str, values: Mapping[str, object]) -> int:
        with self._transaction() as connection:
            result: Any = connection.execute(sql.into(name), dict(values))
            return int(result.inserted_primary_key[0] or 0)

    def _put(
        self,
        name: str,
        values: Mapping[str, object],
        unique: tuple[str, ...],
        keep: tuple[str, ...] = (),
    ) -> None:
        """Insert or replace by the unique columns; those in ``keep`` stay as they were."""
        fresh = tuple(k for k in values if k not in unique and k not in keep)
        with self._transaction() as connection:
            connection.execute(sql.put(name, unique, fresh), dict(values))
