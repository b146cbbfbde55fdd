"""A journal as the first release wrote it: its statements, word for word, and rows of every table."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from keeper.journal import codec
from keeper.seams import Shadow
from tests.plans import CHAIN_ID, WALLET, attempt, plan, position_id

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


def write_v1(path: Path, *, intents: int = 3, entries: int = 20) -> None:
    """``intents`` plans (the last one open, two attempts each), a diary, and a row of everything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA journal_mode=WAL")
    for statement in STATEMENTS:
        raw.execute(statement)
    raw.executemany("INSERT INTO meta VALUES (?, ?)", [("schema_version", "1"), ("created_at_s", "5.0")])
    for number in range(1, intents + 1):
        _intent(raw, number, "FINAL" if number < intents else "SENT")
    raw.execute("INSERT INTO nonce VALUES (?, ?, 0, 5.0)", (CHAIN_ID, WALLET.lower()))
    raw.executemany(
        "INSERT INTO entry VALUES (NULL, 'tick', ?, ?, '', ?, '{}', ?)",
        [(CHAIN_ID, n, f"tick {n} " + "x" * 200, float(n)) for n in range(entries)],
    )
    raw.execute("INSERT INTO snapshot VALUES (NULL, ?, 100, '0xaa', 'd', NULL, 6.0)", (CHAIN_ID,))
    raw.execute("INSERT INTO control VALUES ('armed', 'digest', 'operator', 'first start', 6.0)")
    raw.execute('INSERT INTO memory VALUES (?, \'{"level":"ACT"}\', 6.0)', (str(position_id()),))
    shadow = Shadow(id=position_id(), collateral={"0xA": 2**100}, debt={})
    raw.execute("INSERT INTO shadow VALUES (?, ?, 6.0)", (str(position_id()), codec.dumps(shadow)))
    raw.execute("INSERT INTO purse VALUES (?, '0xB', '-5')", (CHAIN_ID,))
    raw.commit()
    raw.close()


def _intent(raw: sqlite3.Connection, number: int, state: str) -> None:
    wanted = plan(number)
    raw.execute(
        "INSERT INTO intent VALUES (?, ?, ?, ?, ?, 'why', ?, 50, 100, 6.0, 100, NULL, NULL, 0)",
        (number, CHAIN_ID, str(position_id()), number, state, codec.plan_to_json(wanted)),
    )
    for n in range(2):
        a = attempt(wanted.key, nonce=number - 1, n=n)
        fees = (str(a.fee.gas_limit), str(a.fee.max_fee_wei), str(a.fee.tip_wei))
        raw.execute(
            "INSERT INTO attempt VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 100, 6.0)",
            (number, CHAIN_ID, WALLET.lower(), a.nonce, a.n, a.hash, a.raw, *fees),
        )


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that the first release had, for comparison."""
    raw = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    names = [s.split("(")[0].split()[-1] for s in STATEMENTS if s.startswith("CREATE TABLE")]
    found = {n: raw.execute(f"SELECT * FROM {n} ORDER BY rowid").fetchall() for n in names}
    raw.close()
    return found
