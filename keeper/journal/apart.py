"""The journal as another key sees it: one file, lock and writer, and no intent of the one among the other's."""

from __future__ import annotations

from copy import copy

from keeper.journal.write import Journal


def of_hedges(journal: Journal) -> Journal:
    """``journal``, of which the open and followed intents are those of hedges' own keys; closed with it.

    A rescue's sender, confirmation and recovery never meet an intent of a hedge, nor a hedge's theirs: each key has
    nonces of its own, and neither may wait for, raise, or cancel what the other signed.
    """
    twin = copy(journal)
    twin.hedges = True
    return twin
