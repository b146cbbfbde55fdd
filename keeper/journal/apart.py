"""The journal as another key sees it: one file, lock and writer, and no intent of the one among the other's."""

from __future__ import annotations

from copy import copy

from keeper.journal.write import Journal
from keeper.model import HEDGE, PositionId


def of_hedges(journal: Journal, id: PositionId) -> Journal:
    """``journal``, of which the open and followed intents are those of the hedge ``id`` alone; closed with it.

    A rescue's sender, confirmation and recovery never meet an intent of a hedge, nor a hedge's theirs or another
    hedge's: each key has nonces of its own, and none may conclude, wait for, raise, or cancel what another signed.
    Raises ValueError for a position that is no hedge's.
    """
    if id.venue != HEDGE:
        raise ValueError(f"{id}: is no hedge's position; the rescue sees its intents by the journal itself")
    twin = copy(journal)
    twin.hedge = id
    return twin
