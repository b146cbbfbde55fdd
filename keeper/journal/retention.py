"""What the diary may forget: rows that say nothing happened, and photographs that no plan was made from.

Every plan, decision, refusal, alarm, level, control and outcome stays, and with each intent the photograph
and the tick that it came from: what was done can be explained for ever.
"""

from __future__ import annotations

from sqlalchemy import Connection, Exists, delete, exists, not_, or_, select

from keeper.journal.direct import Direct
from keeper.journal.tables import APPEND_ONLY, table

KEEP_S = 30 * 86_400.0
ROWS_MAX = 2_000
"""At most so many at a time: the loop waits meanwhile."""
_FORGETTABLE = ("tick", "head")
_GUARD = "entry_is_not_deleted"


def forget(connection: Connection | Direct, before_s: float) -> int:
    """Delete up to ROWS_MAX old rows of each table inside the open transaction; how many went.

    The trigger that keeps the diary append-only is lifted for these statements only; a crash between leaves
    the transaction undone, and the trigger where it was.
    """
    gone = 0
    connection.exec_driver_sql(f"DROP TRIGGER {_GUARD}")
    for name, extra in (("entry", table("entry").c.kind.in_(_FORGETTABLE)), ("snapshot", None)):
        t = table(name)
        old = select(t.c.id).where(t.c.at_s < before_s, not_(_explains(name)))
        old = old if extra is None else old.where(extra)
        found = delete(t).where(t.c.id.in_(old.order_by(t.c.id).limit(ROWS_MAX)))
        gone += int(connection.execute(found).rowcount)
    connection.exec_driver_sql(next(t for t in APPEND_ONLY if _GUARD in t))
    return gone


def _explains(name: str) -> Exists:
    """Whether an intent was planned, or included, in the row's block."""
    t, i = table(name), table("intent")
    same_block = or_(i.c.planned_block == t.c.block_number, i.c.included_block == t.c.block_number)
    return exists().where(i.c.chain_id == t.c.chain_id, same_block)
