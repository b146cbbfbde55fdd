"""What the signer has signed, in a file of its own that nobody else can open while it lives.

Check and insert are one exclusive transaction, committed with ``synchronous=FULL`` before a signature leaves.
The rules (S1 to S7) hold whatever the daemon claims: a claim about the chain never unlocks a second nonce.

A refusal is of one signature (Refused) where it ends by itself or concerns one plan: S3 for a fee, S4, S5, S6. It is
of the key (plain Broken) where signer and daemon tell its history differently: S1, S3 for another's nonce, S7. Where
both are true the second is told, for it asks for a person.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keeper.errors import Broken, ConfigError, Unsigned, Unwritable, unopened
from keeper.seams import Kept, Signed, TxFields
from keeper.signer import disk, eip1559
from keeper.units import mul_div_up

DAY_S = 86_400.0
BUMP_PERMILLE = 1_125
"""Least rise of both fee fields between two signatures for one nonce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for a signature, after the policy has read it."""

    tx: TxFields
    intent: str
    """The plan's key; a nonce is for one intent, an intent for one nonce."""
    payload: bytes
    """The unsigned transaction: what makes two requests the same."""
    cancel: bool
    token: str = ""
    """Token that it spends, lower case, or the name of a day's sum of its own; empty for none."""
    units: int = 0
    most: int | None = None
    """Most of that within 24 hours; None: as the caps name the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCaps:
    """Most that may be signed away within 24 hours, each nonce counted once at its dearest."""

    fee_wei: int
    units: dict[str, int]
    """By token, lower case; a token that is not named may not be spent at all."""


class Refused(Unsigned):
    """A rule of the store says no to one signature; nothing was signed."""


class Store:
    """The signer's memory. One connection, locked exclusively for as long as the process lives."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._exclusive = disk.Exclusive(path, connection)

    @classmethod
    def create(cls, path: Path) -> Store:
        """A new empty store; an explicit act. Raises ConfigError when something is there already."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise unopened(error, f"{path}: signer store cannot be created: {error.strerror}") from error
        connection = disk.connect(path)
        disk.bring_forward(path, connection, 0)
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path) -> Store:
        """A store that is there; one of an older schema is copied and brought forward.

        Raises ConfigError (missing, held by another signer, of a newer one), Unwritable (its disk is full, read-only
        or failing) or Broken (damaged); nothing is signed.
        """
        try:
            if not path.is_file():
                raise ConfigError(
                    (f"{path}: signer store is missing; create it explicitly, and adopt the key's nonce",)
                )
            disk.refuse_cut(path)
            connection = disk.connect(path)
        except OSError as error:
            raise unopened(error, f"{path}: signer store cannot be opened: {error.strerror}") from error
        except sqlite3.Error as error:
            raise _unopened(path, error) from error
        opened = False
        try:
            _bring_forward(path, connection)
            opened = True
            return cls(path, connection)
        finally:
            # a refusal that is still being told must not keep the file locked
            if not opened:
                connection.close()

    def close(self) -> None:
        """Give the file up."""
        self._connection.close()

    def adopt(self, chain_id: int, nonce: int, why: str, at_s: float) -> None:
        """An operator's word that every lower nonce is accounted for. Raises Broken when it goes back."""
        with self._exclusive:
            top = self._top(chain_id)
            if top is not None and nonce <= top:
                raise Broken(f"nonce {top} was signed: adopting {nonce} would sign it a second time")
            values = (str(chain_id), str(nonce), why, at_s)
            self._connection.execute("INSERT OR REPLACE INTO adopted VALUES (?, ?, ?, ?)", values)

    def sign(self, asked: Asked, caps: DayCaps, now_s: float, make: Callable[[], Signed]) -> Signed:
        """Check, sign and insert as one; what was signed before comes back unchanged.

        Raises Refused for this signature alone, Broken where the key's history is in doubt.
        """
        tx = asked.tx
        with self._exclusive:
            rows = self._of_nonce(tx.chain_id, tx.nonce)
            for row in rows:
                if row["payload"] == asked.payload and row["intent"] == asked.intent:
                    return Signed(raw=bytes(row["raw"]), hash=str(row["hash"]))
            if rows:
                _refuse_taken(asked, rows)
            else:
                self._refuse_gap(tx)
            self._refuse_other_nonce(asked)
            if rows:
                _refuse_replacement(asked, rows)
            else:
                self._refuse_older_seq(asked)
            self._refuse_day(asked, caps, now_s)
            signed = make()
            self._insert(asked, len(rows), signed, now_s)
        return signed

    def stored(self, chain_id: int, intent: str) -> tuple[Kept, ...]:
        """Everything signed for an intent, oldest first: for a daemon that died asking. Raises Broken."""
        query = "SELECT * FROM signed WHERE chain_id = ? AND intent = ? ORDER BY n"
        try:
            rows = self._connection.execute(query, (str(chain_id), intent)).fetchall()
        except sqlite3.Error as error:
            raise disk.failed(self.path, error) from None
        return tuple(_kept(r) for r in rows)

    def _refuse_other_nonce(self, asked: Asked) -> None:
        """S5: an intent has one nonce, whatever is said of the chain."""
        tx = asked.tx
        row = self._connection.execute(
            "SELECT nonce FROM signed WHERE chain_id = ? AND intent = ? AND nonce != ? LIMIT 1",
            (str(tx.chain_id), asked.intent, tx.nonce),
        ).fetchone()
        if row is not None:
            raise Refused(f"S5: {asked.intent} was signed for nonce {row['nonce']}, never for {tx.nonce}")

    def _refuse_older_seq(self, asked: Asked) -> None:
        """S5: a position's plans are signed in the order of their numbers; a nonce of its own only goes on.

        An older number would be a plan that the daemon gave up, or a journal restored from an old copy.
        """
        position, _, seq = asked.intent.rpartition("#")
        if not seq.isdecimal():
            return
        # "$" follows "#": every intent of the position, by its index
        among = (str(asked.tx.chain_id), f"{position}#", f"{position}$", len(position) + 2)
        newest = self._connection.execute(
            "SELECT max(CAST(substr(intent, ?4) AS INTEGER)) FROM signed "
            "WHERE chain_id = ?1 AND intent >= ?2 AND intent < ?3",
            among,
        ).fetchone()[0]
        if newest is not None and int(seq) <= newest:
            raise Refused(f"S5: {position} was signed up to number {newest}; {seq} is not a new plan")

    def _refuse_gap(self, tx: TxFields) -> None:
        """S1: the next nonce after the highest signed, or the one that an operator adopted."""
        top = self._top(tx.chain_id)
        row = self._connection.execute(
            "SELECT nonce FROM adopted WHERE chain_id = ?", (str(tx.chain_id),)
        ).fetchone()
        if row is None and top is None:
            raise Broken(f"S7: no nonce was adopted for chain {tx.chain_id}")
        following = -1 if top is None else top + 1
        expected = max(following, -1 if row is None else int(row["nonce"]))
        if tx.nonce != expected:
            raise Broken(f"S1: nonce {tx.nonce} is not the next one, {expected}")

    def _refuse_day(self, asked: Asked, caps: DayCaps, now_s: float) -> None:
        """S6: the day's sums, each nonce at its dearest, this one included."""
        fees: dict[int, int] = {}
        units: dict[int, int] = {}
        since = (str(asked.tx.chain_id), now_s - DAY_S)
        for row in self._connection.execute("SELECT * FROM signed WHERE chain_id = ? AND at_s > ?", since):
            nonce = row["nonce"]
            fees[nonce] = max(fees.get(nonce, 0), int(row["fee_wei"]))
            if row["token"] == asked.token:
                units[nonce] = max(units.get(nonce, 0), int(row["units"]))
        nonce = asked.tx.nonce
        fees[nonce] = max(fees.get(nonce, 0), _leaves_wei(asked.tx))
        # what frees a nonce must stay possible when the day is used up, and must not drain the tank either
        most_wei = caps.fee_wei * (2 if asked.cancel else 1)
        if sum(fees.values()) > most_wei:
            raise Refused(f"S6: the day's fees would reach {sum(fees.values())} wei, the cap is {most_wei}")
        if asked.token:
            units[nonce] = max(units.get(nonce, 0), asked.units)
            most = caps.units.get(asked.token, 0) if asked.most is None else asked.most
            if sum(units.values()) > most:
                raise Refused(f"S6: the day's {asked.token} would reach {sum(units.values())}, cap {most}")

    def _insert(self, asked: Asked, n: int, signed: Signed, now_s: float) -> None:
        tx = asked.tx
        values = (
            *(str(tx.chain_id), tx.nonce, n, asked.intent, asked.payload),
            *(str(tx.max_fee_wei), str(tx.tip_wei), str(_leaves_wei(tx))),
            *(asked.token, str(asked.units), int(asked.cancel), signed.raw, signed.hash, now_s),
        )
        self._connection.execute(f"INSERT INTO signed VALUES ({', '.join('?' * len(values))})", values)

    def _of_nonce(self, chain_id: int, nonce: int) -> list[sqlite3.Row]:
        query = "SELECT * FROM signed WHERE chain_id = ? AND nonce = ? ORDER BY n"
        return self._connection.execute(query, (str(chain_id), nonce)).fetchall()

    def _top(self, chain_id: int) -> int | None:
        query = "SELECT max(nonce) FROM signed WHERE chain_id = ?"
        found = self._connection.execute(query, (str(chain_id),)).fetchone()[0]
        return None if found is None else int(found)


def _leaves_wei(tx: TxFields) -> int:
    """Most wei that a transaction may take out of the wallet: gas, and what it sends, as an order does with the fee
    of its execution."""
    return tx.gas_limit * tx.max_fee_wei + tx.value_wei


def _refuse_taken(asked: Asked, rows: list[sqlite3.Row]) -> None:
    """S3: a nonce is for one intent; who asks for it in another's name has forgotten what was signed."""
    intent = rows[0]["intent"]
    if intent != asked.intent:
        raise Broken(f"S3: nonce {asked.tx.nonce} is for {intent}, not for {asked.intent}")


def _refuse_replacement(asked: Asked, rows: list[sqlite3.Row]) -> None:
    """S3: both fees up by an eighth. S4: once it is cancelled, only cancelled again."""
    tx, intent = asked.tx, asked.intent
    if any(r["cancel"] for r in rows) and not asked.cancel:
        raise Refused(f"S4: {intent} is being cancelled")
    for name, fee_wei in (("max_fee", tx.max_fee_wei), ("tip", tx.tip_wei)):
        least_wei = mul_div_up(max(int(r[name]) for r in rows), BUMP_PERMILLE, 1000)
        if fee_wei < least_wei:
            raise Refused(f"S3: {name} {fee_wei} of nonce {tx.nonce} is below {least_wei}, 1.125x the last")


def _kept(row: sqlite3.Row) -> Kept:
    # from the bytes themselves: what a transaction takes at most counts what it sends, too
    return Kept(
        nonce=int(row["nonce"]),
        gas_limit=eip1559.gas_limit(bytes(row["raw"])),
        max_fee_wei=int(row["max_fee"]),
        tip_wei=int(row["tip"]),
        cancel=bool(row["cancel"]),
        signed=Signed(raw=bytes(row["raw"]), hash=str(row["hash"])),
    )


def _bring_forward(path: Path, connection: sqlite3.Connection) -> None:
    """A whole store of today's schema, or ConfigError or Broken."""
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    except sqlite3.Error as error:
        raise _unopened(path, error) from error
    if verdict != "ok" or row is None or not str(row[0]).isdecimal() or int(row[0]) == 0:
        raise Broken(f"signer store {path} is damaged or of another version")
    try:
        disk.bring_forward(path, connection, int(row[0]))
    except OSError as error:
        raise unopened(error, f"{path}: signer store cannot be copied: {error.strerror}") from error


def _unopened(path: Path, error: sqlite3.Error) -> ConfigError | Broken:
    if disk.may_pass(error) and getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
        return Unwritable(f"{path}: signer store cannot be opened: {error}")
    if isinstance(error, sqlite3.OperationalError):
        # locked: another signer holds it
        return ConfigError((f"{path}: signer store cannot be opened: {error}",))
    return Broken(f"signer store {path} is damaged: {error}")
