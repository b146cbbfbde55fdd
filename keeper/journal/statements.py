"""The journal's questions and changes as SQL, built once: built on every call they would cost more than SQLite.

A bound name starts with ``at_`` so that it is never taken for a column's new value.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from keeper.journal.tables import table
from keeper.model import IntentState

REVIVAL_DEPTH = 7
"""Blocks for which a plan that ended without effect still counts as spent: so deep a reorganisation, the
longest run of missed or replaced blocks on Ethereum since the merge, may let it act after all."""
OPEN_STATES = tuple(s.value for s in IntentState if s.open)
_SPENT_NOTHING = tuple(
    s.value
    for s in (
        IntentState.REVERTED,
        IntentState.REPLACED,
        IntentState.CANCELLED,
        IntentState.EXPIRED,
        IntentState.ABANDONED,
    )
)
_I, _A, _E, _N = table("intent"), table("attempt"), table("entry"), table("nonce")


def _may_have_spent() -> ColumnElement[bool]:
    """Of intents: took effect, may still, or may again after a reorganisation."""
    s = table("snapshot")
    newest = select(s.c.block_number).where(s.c.chain_id == _I.c.chain_id).order_by(s.c.id.desc()).limit(1)
    shallow = _I.c.included_block > newest.scalar_subquery() - REVIVAL_DEPTH
    return or_(_I.c.state.not_in(_SPENT_NOTHING), and_(_I.c.watched, shallow))


OF_POSITION = _I.c.position == bindparam("at_position")
OF_KEY = and_(OF_POSITION, _I.c.seq == bindparam("at_seq"))
ON_CHAIN = _I.c.chain_id == bindparam("at_chain")
OPEN = _I.c.state.in_(OPEN_STATES)
FOLLOWED = and_(_I.c.watched, _I.c.state.not_in(OPEN_STATES))
EVERY = _I.c.id > 0


def intents(where: ColumnElement[bool]) -> Any:
    """Matching intents, the newest ``at_limit`` of them, newest first."""
    return select(_I).where(where).order_by(_I.c.id.desc()).limit(bindparam("at_limit"))


INTENT = intents(OF_KEY)
INTENTS = intents(EVERY)
INTENTS_OF_POSITION = intents(OF_POSITION)
INTENTS_ON_CHAIN = intents(ON_CHAIN)
INTENTS_OPEN = intents(OPEN)
INTENTS_OPEN_ON_CHAIN = intents(and_(OPEN, ON_CHAIN))
INTENTS_FOLLOWED = intents(FOLLOWED)
INTENTS_FOLLOWED_ON_CHAIN = intents(and_(FOLLOWED, ON_CHAIN))
_LISTED = func.json_each(bindparam("at_intents")).table_valued("value")
ATTEMPTS = select(_A).where(_A.c.intent_id.in_(select(_LISTED.c.value))).order_by(_A.c.n)
"""Of intents whose ids ``at_intents`` lists as JSON: one statement however many they are."""
INTENT_ROW = select(_I.c.id, _I.c.state, _I.c.watched).where(OF_KEY)
BUSY = select(_I.c.seq, _I.c.state).where(OF_POSITION, OPEN)
TOP_SEQ = select(func.max(_I.c.seq)).where(OF_POSITION)
TOP_SEQS = select(_I.c.position, func.max(_I.c.seq).label("seq")).group_by(_I.c.position)
INCLUSION = select(_I.c.included_block, _I.c.included_hash).where(OF_KEY)
LAST_INCLUSION = select(func.max(_I.c.included_block)).where(OF_POSITION)
REVERTED = select(_I.c.included_block).where(
    OF_POSITION, _I.c.state == IntentState.REVERTED.value, _I.c.included_block > bindparam("at_block")
)
REVERTED_EACH = select(_I.c.position, _I.c.included_block).where(
    ON_CHAIN, _I.c.state == IntentState.REVERTED.value, _I.c.included_block > bindparam("at_block")
)
TOP_NONCE = select(func.max(_A.c.nonce).label("top")).where(
    _A.c.chain_id == bindparam("at_chain"), _A.c.signer == bindparam("at_signer")
)
ADOPTED = select(_N.c.adopted).where(
    _N.c.chain_id == bindparam("at_chain"), _N.c.signer == bindparam("at_signer")
)
TAKEN_NONCE = (
    select(func.max(_A.c.nonce).label("taken"))
    .join(_I, _A.c.intent_id == _I.c.id)
    .where(
        _I.c.state == IntentState.REPLACED.value,
        _A.c.chain_id == bindparam("at_chain"),
        _A.c.signer == bindparam("at_signer"),
        _A.c.nonce >= ADOPTED.scalar_subquery(),
    )
)
"""Under which somebody else's transaction was mined although we had signed one, since the last adoption."""
OTHER_NONCE = (
    select(_A.c.nonce, _A.c.signer)
    .where(
        _A.c.intent_id == bindparam("at_intent"),
        or_(_A.c.nonce != bindparam("at_nonce"), _A.c.signer != bindparam("at_signer")),
    )
    .limit(1)
)
OTHER_INTENT = select(func.count()).where(
    _A.c.chain_id == bindparam("at_chain"),
    _A.c.signer == bindparam("at_signer"),
    _A.c.nonce == bindparam("at_nonce"),
    _A.c.intent_id != bindparam("at_intent"),
)
_SPENT = and_(_I.c.at_s >= bindparam("at_since_s"), _may_have_spent())
SPENT = select(func.sum(_I.c.spend_usd)).where(OF_POSITION, _SPENT)
SPENT_EACH = (
    select(_I.c.position, func.sum(_I.c.spend_usd).label("usd")).where(_SPENT).group_by(_I.c.position)
)
SPEND = select(_I.c.spend_usd).where(OF_KEY)
CONTROL = select(table("control")).where(table("control").c.key == bindparam("at_key"))
CONTROLS = select(table("control"))
UPDATE_INTENT = update(_I).where(_I.c.id == bindparam("at_id"))


@cache
def entries(*, kind: bool, subject: bool, newest: bool) -> Any:
    """Diary entries above ``at_since``, at most ``at_limit``; of ``at_kind`` and ``at_subject`` where asked."""
    where = [_E.c.id > bindparam("at_since")]
    if kind:
        where.append(_E.c.kind == bindparam("at_kind"))
    if subject:
        where.append(_E.c.subject == bindparam("at_subject"))
    order = _E.c.id.desc() if newest else _E.c.id
    return select(_E).where(and_(*where)).order_by(order).limit(bindparam("at_limit"))


@cache
def into(name: str) -> Any:
    """A row into that table."""
    return insert(table(name))


@cache
def put(name: str, unique: tuple[str, ...], fresh: tuple[str, ...]) -> Any:
    """A row into that table, or over the one with the same ``unique`` columns, of which ``fresh`` change."""
    statement = upsert(table(name))
    changed = {column: statement.excluded[column] for column in fresh}
    return statement.on_conflict_do_update(index_elements=unique, set_=changed)
