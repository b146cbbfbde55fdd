"""What the journal's rows say: rows to the records that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from keeper.errors import Undecodable
from keeper.journal import codec
from keeper.journal.direct import Row
from keeper.model import Attempt, Entry, Fee, Intent, IntentState, Plan, PlanKey, PositionId

PLANS_KEPT = 128
POSITIONS_KEPT = 4096


def intent_of(row: Row, attempts: Sequence[Row]) -> Intent:
    """An intent with its attempts. Raises Undecodable for a position or a state that is none."""
    key = PlanKey(position=position_of(row), seq=row["seq"])
    return Intent(
        key=key,
        plan=plan_of(row["plan"]),
        state=state_of(row),
        attempts=tuple(attempt_of(key, a) for a in attempts),
        why=row["why"],
    )


@lru_cache(maxsize=PLANS_KEPT)
def plan_of(text: str) -> Plan:
    """An intent's plan, decoded once while its states pass by."""
    return codec.plan_from_json(text)


def attempt_of(key: PlanKey, row: Row) -> Attempt:
    """One of an intent's attempts."""
    return Attempt(
        key=key,
        nonce=row["nonce"],
        n=row["n"],
        raw=bytes(row["raw"]),
        hash=row["hash"],
        fee=Fee(gas_limit=row["gas_limit"], max_fee_wei=row["max_fee_wei"], tip_wei=row["tip_wei"]),
        sent_block=row["sent_block"],
        cancel=bool(row["cancel"]),
        signer=row["signer"],
    )


def entry_of(row: Row) -> Entry:
    """A line of the diary. Raises Undecodable."""
    return Entry(**{**row, "data": object_of(row["data"])})


def object_of(text: str) -> dict[str, object]:
    """A stored JSON object. Raises Undecodable for anything else."""
    found = codec.parse(text)
    if not isinstance(found, dict):
        raise Undecodable(f"stored text is no JSON object: {text[:80]}")
    return found


def position_of(row: Row) -> PositionId:
    """Whose row it is. Raises Undecodable."""
    return _parsed(row["position"])


@lru_cache(maxsize=POSITIONS_KEPT)
def _parsed(text: str) -> PositionId:
    try:
        return PositionId.parse(text)
    except ValueError as error:
        raise Undecodable(f"stored position is none: {error}") from None


def state_of(row: Row) -> IntentState:
    """An intent's state. Raises Undecodable for a word that is none."""
    try:
        return IntentState(row["state"])
    except ValueError as error:
        raise Undecodable(f"stored state is none: {error}") from None
