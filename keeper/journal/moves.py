"""The life of an intent: which state may follow which, and which of them only the chain can give."""

from __future__ import annotations

from collections.abc import Mapping

from keeper.model import IntentState

S = IntentState
NEXT: Mapping[IntentState, frozenset[IntentState]] = {
    S.PLANNED: frozenset({S.SIGNED, S.ABANDONED, S.EXPIRED}),
    S.SIGNED: frozenset({S.SENT, S.INCLUDED, S.REVERTED, S.REPLACED, S.CANCELLING, S.CANCELLED}),
    S.SENT: frozenset({S.INCLUDED, S.REVERTED, S.REPLACED, S.CANCELLING, S.CANCELLED}),
    S.CANCELLING: frozenset({S.INCLUDED, S.REVERTED, S.REPLACED, S.CANCELLED}),
    S.INCLUDED: frozenset({S.SETTLED, S.FINAL, S.SENT, S.REVERTED, S.REPLACED, S.CANCELLED}),
    S.SETTLED: frozenset({S.FINAL, S.SENT, S.INCLUDED, S.REVERTED, S.REPLACED, S.CANCELLED}),
    # the chain may take these back while they are followed
    S.REVERTED: frozenset({S.SENT, S.CANCELLING, S.INCLUDED, S.REPLACED, S.CANCELLED}),
    S.REPLACED: frozenset({S.SENT, S.CANCELLING, S.INCLUDED, S.REVERTED, S.CANCELLED}),
    S.CANCELLED: frozenset({S.SENT, S.CANCELLING, S.INCLUDED, S.REVERTED, S.REPLACED}),
    S.FINAL: frozenset(),
    S.EXPIRED: frozenset(),
    S.ABANDONED: frozenset(),
    S.DRY: frozenset(),
}
BY_CHAIN = frozenset({S.INCLUDED, S.SETTLED, S.REVERTED, S.REPLACED, S.CANCELLED})
"""Told by the chain, which may take them back while the intent is watched."""
