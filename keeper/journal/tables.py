"""The journal's tables. Integers that a chain may make larger than 63 bits are stored as text."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from keeper.errors import Broken

SCHEMA_VERSION = 2
"""The newest revision under ``migrations/``; a journal with a newer one is refused."""
VERSION = "schema_version"
"""Row of ``meta`` that says which schema a journal has."""


class Uint(TypeDecorator[int]):
    """A non-negative integer of any size, kept as decimal text (SQLite's integers end at 2**63)."""

    impl = String(78)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """To text; a negative number has no place here."""
        if value is not None and value < 0:
            raise ValueError(f"{value} is negative")
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """Back to an integer. Raises Broken for what none of us wrote."""
        if value is None:
            return None
        if not isinstance(value, str) or not value.isdecimal():
            raise Broken("stored number is none")
        return int(value)


class Row(SQLModel):
    """Base of the journal's tables, with metadata of its own."""

    metadata = MetaData()


class MetaRow(Row, table=True):
    """Facts about the journal itself: schema version, time of creation."""

    __tablename__ = "meta"
    name: str = Field(primary_key=True)
    value: str


class IntentRow(Row, table=True):
    """A plan that was accepted, once per (position, seq)."""

    __tablename__ = "intent"
    __table_args__ = (UniqueConstraint("position", "seq"),)
    id: int | None = Field(default=None, primary_key=True)
    chain_id: int
    position: str = Field(index=True)
    seq: int
    state: str = Field(index=True)
    why: str = Field(sa_column=Column(Text, nullable=False))
    plan: str = Field(sa_column=Column(Text, nullable=False))
    spend_usd: int
    planned_block: int
    at_s: float = Field(index=True)
    changed_block: int
    included_block: int | None = None
    included_hash: str | None = None
    watched: bool = Field(default=False, index=True)
    """True from inclusion until the chain cannot change its mind any more."""


class AttemptRow(Row, table=True):
    """One signed transaction of an intent, with the bytes that may be broadcast again."""

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("chain_id", "signer", "nonce", "n"),)
    id: int | None = Field(default=None, primary_key=True)
    intent_id: int = Field(foreign_key="intent.id", index=True)
    chain_id: int
    signer: str
    nonce: int
    n: int
    hash: str = Field(unique=True)
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    gas_limit: int = Field(sa_column=Column(Uint, nullable=False))
    max_fee_wei: int = Field(sa_column=Column(Uint, nullable=False))
    tip_wei: int = Field(sa_column=Column(Uint, nullable=False))
    cancel: bool
    sent_block: int
    at_s: float


class NonceRow(Row, table=True):
    """The nonce from which the journal answers for a signer, adopted explicitly."""

    __tablename__ = "nonce"
    chain_id: int = Field(primary_key=True)
    signer: str = Field(primary_key=True)
    adopted: int
    at_s: float


class EntryRow(Row, table=True):
    """The append-only diary (triggers refuse updates and deletes)."""

    __tablename__ = "entry"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    chain_id: int
    block_number: int
    subject: str = Field(index=True)
    why: str = Field(sa_column=Column(Text, nullable=False))
    data: str = Field(sa_column=Column(Text, nullable=False))
    at_s: float


class SnapshotRow(Row, table=True):
    """What was known at a block: its digest always, the whole when a level changed or something was done."""

    __tablename__ = "snapshot"
    __table_args__ = (UniqueConstraint("chain_id", "block_hash"),)
    id: int | None = Field(default=None, primary_key=True)
    chain_id: int
    block_number: int = Field(index=True)
    block_hash: str
    digest: str
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    """zlib-compressed JSON."""
    at_s: float


class ControlRow(Row, table=True):
    """A switch that a person or the daemon set, and who and why."""

    __tablename__ = "control"
    key: str = Field(primary_key=True)
    value: str | None
    actor: str
    why: str
    at_s: float


class MemoryRow(Row, table=True):
    """Decision's memory of one position, as JSON."""

    __tablename__ = "memory"
    position: str = Field(primary_key=True)
    data: str = Field(sa_column=Column(Text, nullable=False))
    at_s: float


class ShadowRow(Row, table=True):
    """A dry-run's own version of one position, as JSON."""

    __tablename__ = "shadow"
    position: str = Field(primary_key=True)
    data: str = Field(sa_column=Column(Text, nullable=False))
    at_s: float


class PurseRow(Row, table=True):
    """What a dry-run has spent from the wallet: signed units by token."""

    __tablename__ = "purse"
    chain_id: int = Field(primary_key=True)
    token: str = Field(primary_key=True)
    delta: str
    """Signed decimal text."""


def table(name: str) -> Table:
    """A table of the journal by name."""
    return Row.metadata.tables[name]


APPEND_ONLY = (
    "CREATE TRIGGER entry_is_not_updated BEFORE UPDATE ON entry "
    "BEGIN SELECT RAISE(ABORT, 'the diary is append-only'); END",
    "CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry "
    "BEGIN SELECT RAISE(ABORT, 'the diary is append-only'); END",
)
