"""Schema 1: the journal as the first release wrote it. Frozen: a changed word here would change the past."""

from __future__ import annotations

from alembic import op

revision = "1"
down_revision = None
STATEMENTS = (
    "CREATE TABLE meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY (name))",
    "CREATE TABLE intent (id INTEGER NOT NULL, chain_id INTEGER NOT NULL, position VARCHAR NOT "
    'NULL, seq INTEGER NOT NULL, state VARCHAR NOT NULL, why TEXT NOT NULL, "plan" TEXT NOT NULL, '
    "spend_usd INTEGER NOT NULL, planned_block INTEGER NOT NULL, at_s FLOAT NOT NULL, "
    "changed_block INTEGER NOT NULL, included_block INTEGER, included_hash VARCHAR, watched "
    "BOOLEAN NOT NULL, PRIMARY KEY (id), UNIQUE (position, seq))",
    "CREATE INDEX ix_intent_state ON intent (state)",
    "CREATE INDEX ix_intent_watched ON intent (watched)",
    "CREATE INDEX ix_intent_position ON intent (position)",
    "CREATE TABLE nonce (chain_id INTEGER NOT NULL, signer VARCHAR NOT NULL, adopted INTEGER NOT "
    "NULL, at_s FLOAT NOT NULL, PRIMARY KEY (chain_id, signer))",
    "CREATE TABLE entry (id INTEGER NOT NULL, kind VARCHAR NOT NULL, chain_id INTEGER NOT NULL, "
    "block_number INTEGER NOT NULL, subject VARCHAR NOT NULL, why TEXT NOT NULL, data TEXT NOT "
    "NULL, at_s FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_entry_subject ON entry (subject)",
    "CREATE INDEX ix_entry_kind ON entry (kind)",
    "CREATE TABLE snapshot (id INTEGER NOT NULL, chain_id INTEGER NOT NULL, block_number INTEGER "
    "NOT NULL, block_hash VARCHAR NOT NULL, digest VARCHAR NOT NULL, body BLOB, at_s FLOAT NOT "
    "NULL, PRIMARY KEY (id), UNIQUE (chain_id, block_hash))",
    "CREATE INDEX ix_snapshot_block_number ON snapshot (block_number)",
    'CREATE TABLE control ("key" VARCHAR NOT NULL, value VARCHAR, actor VARCHAR NOT NULL, why '
    'VARCHAR NOT NULL, at_s FLOAT NOT NULL, PRIMARY KEY ("key"))',
    "CREATE TABLE memory (position VARCHAR NOT NULL, data TEXT NOT NULL, at_s FLOAT NOT NULL, "
    "PRIMARY KEY (position))",
    "CREATE TABLE shadow (position VARCHAR NOT NULL, data TEXT NOT NULL, at_s FLOAT NOT NULL, "
    "PRIMARY KEY (position))",
    "CREATE TABLE purse (chain_id INTEGER NOT NULL, token VARCHAR NOT NULL, delta VARCHAR NOT "
    "NULL, PRIMARY KEY (chain_id, token))",
    "CREATE TABLE attempt (id INTEGER NOT NULL, intent_id INTEGER NOT NULL, chain_id INTEGER NOT "
    "NULL, signer VARCHAR NOT NULL, nonce INTEGER NOT NULL, n INTEGER NOT NULL, hash VARCHAR NOT "
    "NULL, raw BLOB NOT NULL, gas_limit VARCHAR(78) NOT NULL, max_fee_wei VARCHAR(78) NOT NULL, "
    "tip_wei VARCHAR(78) NOT NULL, cancel BOOLEAN NOT NULL, sent_block INTEGER NOT NULL, at_s "
    "FLOAT NOT NULL, PRIMARY KEY (id), UNIQUE (chain_id, signer, nonce, n), FOREIGN "
    "KEY(intent_id) REFERENCES intent (id), UNIQUE (hash))",
    "CREATE INDEX ix_attempt_intent_id ON attempt (intent_id)",
    "CREATE TRIGGER entry_is_not_updated BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the "
    "diary is append-only'); END",
    "CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the "
    "diary is append-only'); END",
)


def upgrade() -> None:
    """From an empty file. A journal that the first release wrote has all this and is stamped instead."""
    for statement in STATEMENTS:
        op.execute(statement)
