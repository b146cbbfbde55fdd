"""Reading the journal: everything that ``keeper journal``, ``keeper explain`` and the daemon ask of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, and_, select

from keeper.errors import Broken
from keeper.journal import codec, opening
from keeper.journal import statements as sql
from keeper.journal.direct import Direct, Row
from keeper.journal.files import guarded
from keeper.journal.rows import entry_of, intent_of, object_of, position_of
from keeper.journal.tables import Row as Stored
from keeper.journal.tables import table
from keeper.model import (
    HEDGE,
    Entry,
    Intent,
    Plan,
    PlanKey,
    PositionId,
    Snapshot,
)
from keeper.seams import Shadow

REPLAN = "replan"
"""Kind of the diary entries that keep a plan which a larger one replaced."""

T = TypeVar("T")
Asked = Mapping[str, object]
"""Values by the names that a statement binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A switch, and who set it and why."""

    key: str
    value: str | None
    actor: str
    why: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Where an intent was last seen on the chain."""

    block_number: int
    block_hash: str


class Queries:
    """Everything that can be asked of a journal over one connection."""

    def __init__(self, path: Path, connection: Connection | Direct) -> None:
        self.path = path
        self.hedge: PositionId | None = None
        """Whose intents are open or followed here: this hedge's own key's, or (None) those of the rescue's."""
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        engine = self._connection.engine
        self._connection.close()
        engine.dispose()

    def entries(
        self,
        kind: str | None = None,
        subject: str | None = None,
        *,
        since_id: int = 0,
        limit: int = 1000,
        newest: bool = False,
    ) -> tuple[Entry, ...]:
        """Diary entries with id > ``since_id``, oldest first; ``newest`` keeps the last ``limit`` of them."""
        query = sql.entries(kind=kind is not None, subject=subject is not None, newest=newest)
        asked = {"at_since": since_id, "at_limit": limit, "at_kind": kind, "at_subject": subject}
        rows = self._all(query, {k: v for k, v in asked.items() if v is not None})
        with guarded(self.path):
            found = tuple(entry_of(r) for r in rows)
        return found[::-1] if newest else found

    def newest_entry(self, kind: str, chain_id: int) -> Entry | None:
        """The last diary entry of that kind about that chain; None when there is none."""
        t = table("entry")
        of = and_(t.c.kind == kind, t.c.chain_id == chain_id)
        row = self._one(select(t).where(of).order_by(t.c.id.desc()).limit(1))
        with guarded(self.path):
            return None if row is None else entry_of(row)

    def next_seq(self, position: PositionId) -> int:
        """The seq that the next plan of ``position`` must carry (1 for the first)."""
        asked = {"at_position": str(position)}
        return 1 + self._ask((sql.TOP_SEQ, position), lambda: self._integer(sql.TOP_SEQ, asked))

    def last_seqs(self) -> dict[PositionId, int]:
        """The seq of every position's newest intent, in one query; one that never had any is not in it."""
        return dict(self._ask(sql.TOP_SEQS, self._top_seqs))

    def _top_seqs(self) -> dict[PositionId, int]:
        with guarded(self.path):
            return {position_of(r): int(r["seq"]) for r in self._all(sql.TOP_SEQS)}

    def intent(self, key: PlanKey) -> Intent | None:
        """The intent of that key, with its attempts."""
        found = self._intents(sql.INTENT, _of(key))
        return found[0] if found else None

    def intents(self, position: PositionId | None = None, limit: int = 100) -> tuple[Intent, ...]:
        """The newest ``limit`` intents, oldest first."""
        if position is None:
            return self._intents(sql.INTENTS, {}, limit=limit)
        return self._intents(sql.INTENTS_OF_POSITION, {"at_position": str(position)}, limit=limit)

    def intents_on(self, chain_id: int, limit: int = 100) -> tuple[Intent, ...]:
        """The newest ``limit`` intents of one chain, oldest first."""
        return self._intents(sql.INTENTS_ON_CHAIN, {"at_chain": chain_id}, limit=limit)

    def open_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        """Intents that may still have an effect and for which planning waits, oldest first."""
        if chain_id is None:
            return self._of_key(self._intents(sql.INTENTS_OPEN, {}))
        return self._of_key(self._intents(sql.INTENTS_OPEN_ON_CHAIN, {"at_chain": chain_id}))

    def followed_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        """Intents done for planning whose inclusion the chain may still take back, oldest first."""
        if chain_id is None:
            return self._of_key(self._intents(sql.INTENTS_FOLLOWED, {}))
        return self._of_key(self._intents(sql.INTENTS_FOLLOWED_ON_CHAIN, {"at_chain": chain_id}))

    def _of_key(self, found: tuple[Intent, ...]) -> tuple[Intent, ...]:
        if (mine := self.hedge) is not None:
            return tuple([i for i in found if i.key.position == mine])
        return tuple([i for i in found if i.key.position.venue != HEDGE])

    def inclusion(self, key: PlanKey) -> Inclusion | None:
        """Where the intent was last seen included; None while it was not."""
        row = self._ask((sql.INCLUSION, key), lambda: self._one(sql.INCLUSION, _of(key)))
        if row is None or row["included_block"] is None:
            return None
        return Inclusion(block_number=row["included_block"], block_hash=row["included_hash"] or "")

    def last_inclusion_block(self, position: PositionId) -> int:
        """The highest block in which an intent of ``position`` was included; 0 without one."""
        asked = {"at_position": str(position)}
        return self._ask((sql.LAST_INCLUSION, position), lambda: self._integer(sql.LAST_INCLUSION, asked))

    def reverted_blocks(self, position: PositionId, since_block: int) -> tuple[int, ...]:
        """Blocks after ``since_block`` in which a transaction of ``position`` reverted."""
        asked = {"at_position": str(position), "at_block": since_block}
        rows = self._ask((sql.REVERTED, *asked.values()), lambda: self._all(sql.REVERTED, asked))
        return tuple(r["included_block"] for r in rows)

    def reverted_blocks_each(self, chain_id: int, since_block: int) -> dict[PositionId, tuple[int, ...]]:
        """``reverted_blocks`` of every position of that chain that has any, in one query."""
        asked = {"at_chain": chain_id, "at_block": since_block}
        found: dict[PositionId, tuple[int, ...]] = {}
        rows = self._ask((sql.REVERTED_EACH, *asked.values()), lambda: self._all(sql.REVERTED_EACH, asked))
        with guarded(self.path):
            for r in rows:
                found[position_of(r)] = (*found.get(position_of(r), ()), r["included_block"])
        return found

    def max_nonce(self, chain_id: int, signer: str) -> int | None:
        """The highest nonce ever signed for; None before the first."""
        asked = {"at_chain": chain_id, "at_signer": signer.lower()}
        row = self._ask((sql.TOP_NONCE, *asked.values()), lambda: self._one(sql.TOP_NONCE, asked))
        return None if row is None else row["top"]

    def next_nonce(self, chain_id: int, signer: str) -> int | None:
        """The nonce that the journal expects to sign next; None when none was adopted yet."""
        asked = {"at_chain": chain_id, "at_signer": signer.lower()}
        row = self._ask((sql.ADOPTED, *asked.values()), lambda: self._one(sql.ADOPTED, asked))
        if row is None:
            return None
        top = self.max_nonce(chain_id, signer)
        return int(row["adopted"]) if top is None else max(int(row["adopted"]), top + 1)

    def taken_nonce(self, chain_id: int, signer: str) -> int | None:
        """The highest nonce, since the last adoption, that a transaction used which this journal did not sign,
        in the place of one that it did; None when there is none.
        """
        asked = {"at_chain": chain_id, "at_signer": signer.lower()}
        found = self._ask((sql.TAKEN_NONCE, *asked.values()), lambda: self._one(sql.TAKEN_NONCE, asked))
        return None if found is None else found["taken"]

    def spent_usd_since(self, position: PositionId, since_s: float) -> int:
        """Whole USD of the plans accepted since ``since_s`` that did or may still take effect, rounded up.

        One that ended without effect counts until REVIVAL_DEPTH blocks lie on top.
        """
        return self._integer(sql.SPENT, {"at_position": str(position), "at_since_s": since_s})

    def spent_usd_each_since(self, since_s: float) -> dict[PositionId, int]:
        """``spent_usd_since`` of every position that spent something, in one query."""
        rows = self._all(sql.SPENT_EACH, {"at_since_s": since_s})
        with guarded(self.path):
            return {position_of(r): int(r["usd"]) for r in rows}

    def spend_usd(self, key: PlanKey) -> int:
        """Whole USD that an intent counts for in ``spent_usd_since``; 0 for one that is not there."""
        return self._integer(sql.SPEND, _of(key))

    def carried(self, intent: Intent, n: int) -> Plan:
        """The plan that attempt ``n`` carries: the intent's own, or one that a larger one replaced."""
        with guarded(self.path):
            for entry in self.entries(REPLAN, str(intent.key)):
                if n < entry.told("n", int):
                    return codec.from_plain(Plan, entry.data.get("was"))
        return intent.plan

    def control(self, key: str) -> Control | None:
        """The switch as last set; None when it never was."""
        row = self._ask((sql.CONTROL, key), lambda: self._one(sql.CONTROL, {"at_key": key}))
        return None if row is None else Control(**row)

    def controls(self) -> dict[str, Control]:
        """Every switch by key."""
        return {r["key"]: Control(**r) for r in self._ask(sql.CONTROLS, lambda: self._all(sql.CONTROLS))}

    def refuse_unreadable(self) -> None:
        """Raises Broken where a column of any table cannot be asked for: its name is in the file too."""
        for asked in Stored.metadata.sorted_tables:
            self._one(select(asked).limit(1))

    def memory(self, position: PositionId) -> dict[str, object] | None:
        """Decision's memory of ``position`` as plain JSON; None when there is none."""
        t = table("memory")
        row = self._one(select(t.c.data).where(t.c.position == str(position)))
        with guarded(self.path):
            return None if row is None else object_of(row["data"])

    def memories(self) -> dict[PositionId, dict[str, object]]:
        """Decision's memory of every position."""
        rows = self._all(select(table("memory")))
        with guarded(self.path):
            return {position_of(r): object_of(r["data"]) for r in rows}

    def shadow(self, position: PositionId) -> Shadow | None:
        """The dry-run's own version of ``position``; None before its first fill."""
        t = table("shadow")
        row = self._one(select(t.c.data).where(t.c.position == str(position)))
        with guarded(self.path):
            return None if row is None else codec.loads(Shadow, row["data"])

    def shadows(self) -> dict[PositionId, Shadow]:
        """Every shadow position."""
        rows = self._all(select(table("shadow")))
        with guarded(self.path):
            return {position_of(r): codec.loads(Shadow, r["data"]) for r in rows}

    def wallet_deltas(self, chain_id: int) -> dict[str, int]:
        """What the dry-run has taken from (negative) or put into the wallet: units by token address."""
        t = table("purse")
        rows = self._all(select(t).where(t.c.chain_id == chain_id))
        return {r["token"]: int(r["delta"]) for r in rows}

    def snapshot(self, chain_id: int, block_number: int) -> Snapshot | None:
        """The newest full snapshot stored for that block; None when only its digest, or nothing, was kept."""
        t = table("snapshot")
        row = self._one(
            select(t.c.body)
            .where(t.c.chain_id == chain_id, t.c.block_number == block_number, t.c.body.is_not(None))
            .order_by(t.c.id.desc())
            .limit(1)
        )
        if row is None:
            return None
        try:
            text = zlib.decompress(row["body"]).decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise Broken(f"journal {self.path}: snapshot of block {block_number} is damaged") from error
        with guarded(self.path):
            return codec.snapshot_from_json(text)

    def digest(self, chain_id: int, block_hash: str) -> str | None:
        """The digest of the snapshot read at that block hash."""
        t = table("snapshot")
        row = self._one(select(t.c.digest).where(t.c.chain_id == chain_id, t.c.block_hash == block_hash))
        return None if row is None else str(row["digest"])

    @contextmanager
    def _transaction(self) -> Generator[Connection | Direct]:
        """One transaction; joins the one that is open, so that several writes can be one commit."""
        with guarded(self.path):
            if self._connection.in_transaction():
                yield self._connection
            else:
                with self._connection.begin():
                    yield self._connection

    @contextmanager
    def _reading(self) -> Generator[Connection | Direct]:
        """Where a question is asked: what it reads stays as it is meanwhile."""
        with self._transaction() as connection:
            yield connection

    def _ask(self, key: object, question: Callable[[], T]) -> T:
        """The answer to a question whose words are ``key``; a reader's may change from one time to the next."""
        return question()

    def _all(self, query: Any, asked: Asked | None = None) -> Sequence[Row]:
        with self._reading() as connection:
            return connection.execute(query, asked).mappings().all()

    def _one(self, query: Any, asked: Asked | None = None) -> Row | None:
        with self._reading() as connection:
            return connection.execute(query, asked).mappings().first()

    def _integer(self, query: Any, asked: Asked) -> int:
        with self._reading() as connection:
            return int(connection.execute(query, asked).scalar() or 0)

    def _intents(self, query: Any, asked: Asked, limit: int = 10_000) -> tuple[Intent, ...]:
        """Matching intents with their attempts: the newest ``limit``, oldest first."""
        key = (query, limit, *asked.values())
        return self._ask(key, lambda: self._found(query, {**asked, "at_limit": limit}))

    def _found(self, query: Any, asked: Asked) -> tuple[Intent, ...]:
        with self._reading():
            rows = self._all(query, asked)[::-1]
            attempts: dict[int, list[Row]] = {r["id"]: [] for r in rows}
            if rows:
                for row in self._all(sql.ATTEMPTS, {"at_intents": json.dumps(list(attempts))}):
                    attempts[row["intent_id"]].append(row)
        with guarded(self.path):
            return tuple(intent_of(r, attempts[r["id"]]) for r in rows)


class Reader(Queries):
    """Read-only view of a journal; several may be open beside the daemon that writes it."""

    @classmethod
    def open(cls, path: Path) -> Reader:
        """Raises ConfigError (missing, newer schema) or Broken (damaged), naming the file."""
        return Reader(path, opening.open_reader(path))


def _of(key: PlanKey) -> Asked:
    return {"at_position": str(key.position), "at_seq": key.seq}
