"""Whose health is low, told from a batch's words before any of them is decoded.

The pool's own ``getUserAccountData`` stands in the batch, and a position whose health differs from it by one wei is
Unreadable: so the pool's word is the health that decoding would tell, or decoding tells none. Exact integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keeper.words import Flags, Words

ANSWER_WORDS, HEALTH = 6, 5
"""Words of ``getUserAccountData``, and which of them is the health factor."""
_EVERY = np.uint64(2**64 - 1)


def below(
    accounts: Sequence[str], start: int, words: Words, lines_wad: npt.NDArray[np.uint64]
) -> tuple[int, ...]:
    """Indices of the accounts below their line, or of which the pool did not tell; its words begin at ``start``."""
    n = len(accounts)
    if not n:
        return ()
    told: Flags = words.ok[start : start + n] & (words.count[start : start + n] >= ANSWER_WORDS)
    low = ~told | (lines_wad == _EVERY)
    (asked,) = told.nonzero()
    if told.all():
        health = words.column(start, start + n, HEALTH)
    else:
        health = words.part(start, start + n).taken(asked).column(0, len(asked), HEALTH)
    # a health of 2**64 and more is above every line that is not above them all
    low[asked] |= ~health[:, :3].any(axis=1) & (health[:, 3] < lines_wad[asked])
    return tuple(low.nonzero()[0].tolist())


def told(words: Words) -> int | None:
    """The health of the one account that ``getUserAccountData`` alone was asked about; None where it told none."""
    return (
        words.uint(0, HEALTH) if len(words) == 1 and words.ok[0] and words.count[0] >= ANSWER_WORDS else None
    )
