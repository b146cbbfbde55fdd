"""A life of one intent in a journal of its own, before the first one that counts: statements are compiled by it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from keeper.journal import direct
from keeper.journal.write import Journal
from keeper.model import (
    Amount,
    Attempt,
    Block,
    Bounds,
    Call,
    Fee,
    IntentState,
    Plan,
    PlanKey,
    PositionId,
    Repay,
    Token,
)
from keeper.seams import Clock

_NOBODY = "0x" + "00" * 20
_NEVER = Block(
    chain_id=1, number=1, hash="0x" + "00" * 32, parent_hash="0x" + "00" * 32, timestamp_s=1, base_fee_wei=1
)


def warm(clock: Clock) -> int:
    """Do once, where nobody reads it, what stands between a head and a broadcast; how many statements are ready.

    SQLAlchemy takes 2 to 3 ms to compile one, and a dozen would be compiled in the middle of the first rescue of a
    process. Raises OSError where no temporary folder can be made.
    """
    plan, id = _plan(), _plan().key.position
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder) / "j.sqlite", clock) as journal:
        journal.adopt_nonce(1, _NOBODY, 0, "warm")
        journal.control("armed")
        _asked(journal, id)
        journal.set_memories({id: {"level": "SAFE"}})
        journal.open_intent(plan)
        _asked(journal, id)
        fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
        attempt = Attempt(key=plan.key, nonce=0, n=0, raw=b"\0", hash="0x00", fee=fee, sent_block=1)
        journal.add_attempt(attempt, _NOBODY)
        journal.intent(plan.key)
        journal.set_state(plan.key, IntentState.SENT, "warm", 1)
        _asked(journal, id)
    return direct.ready.cache_info().currsize


def _asked(journal: Journal, id: PositionId) -> None:
    """What is asked on the way, and what is asked again once something was written."""
    journal.open_intents(1)
    journal.followed_intents(1)
    journal.last_seqs()
    journal.next_seq(id)
    journal.next_nonce(1, _NOBODY)
    journal.taken_nonce(1, _NOBODY)
    journal.spent_usd_each_since(0.0)
    journal.reverted_blocks(id, 0)


def _plan() -> Plan:
    """A plan of nobody's: its record is encoded and decoded as a real one's."""
    token = Token(chain_id=1, address=_NOBODY, symbol="", decimals=0)
    return Plan(
        key=PlanKey(position=PositionId(venue="warm", chain_id=1, account=_NOBODY, key=_NOBODY), seq=1),
        strategy="",
        steps=(Repay(amount=Amount(token=token, units=1)),),
        call=Call(target=_NOBODY, data=b""),
        bounds=Bounds(
            health_after_min_wad=1,
            health_after_max_wad=1,
            cost_usd_max=1,
            fee_wei_max=1,
            gas_limit=1,
            deadline_block=1,
        ),
        block=_NEVER,
        urgent=False,
        health_before_wad=1,
        why="",
    )
