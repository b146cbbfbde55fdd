"""Closes that no market made: one bar far from both its neighbours, and a price that changes its unit halfway."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keeper.risk.book import Floats

REVERTS = 2.0
"""A close beyond this factor of the closes on both sides is one bar's print: an oracle that asks several venues for
longer than a bar does not confirm it. No traded pair halved and doubled again within two bars of the histories."""
LASTS = 10.0
"""A rise by this factor from one bar to the next that stays is another unit, or another token. So is a fall by it of
a bar that opens where it closes: no trade lies between. The largest moves of one bar of the histories: 0.77, 1.54."""
NEVER = 1e4
"""A fall by this factor within one bar that stays is no market's, wherever the bar opens: some open each bar at the
close before it. A smaller fall that opens near that close is a collapse that was traded: it is kept, and said. So is
any move behind missing bars, up or down, that is smaller than this: there nobody wrote how it was traded."""


def reverted(close: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """bool[T]: closes beyond ``REVERTS`` times, or below its inverse of, both neighbours; the last one beyond the one
    before it that is none of these, for nothing after it confirms what it says."""
    found = np.zeros(len(close), np.bool_)
    if len(close) > 2:
        low = np.minimum(close[:-2], close[2:])
        high = np.maximum(close[:-2], close[2:])
        found[1:-1] = (close[1:-1] * REVERTS < low) | (close[1:-1] > high * REVERTS)
        before = close[np.flatnonzero(~found[:-1])[-1]]
        found[-1] = (close[-1] * REVERTS < before) | (close[-1] > before * REVERTS)
    return found


def settled(opened: Floats, close: Floats) -> tuple[Floats, Floats]:
    """Opens and closes without what reverts at once: the close before it stands in its place."""
    kept = close.copy()
    for i in np.flatnonzero(reverted(close)):
        kept[i] = kept[i - 1]
    before = np.concatenate([kept[:1], kept[:-1]])
    low, high = np.minimum(before, kept), np.maximum(before, kept)
    strays = (opened * REVERTS < low) | (opened > high * REVERTS)
    return np.where(strays, before, opened), kept


def absurd(opened: Floats, close: Floats, at: int, factor: float, behind_gap: bool) -> bool:
    """Whether a close that stays at ``factor`` times the one before it is no market's: see ``LASTS``, ``NEVER``.
    ``behind_gap``: bars are missing between the two."""
    if factor >= NEVER or factor * NEVER <= 1.0:
        return True
    if behind_gap:
        # what was traded meanwhile nobody wrote: every bar opens where the price then stands
        return False
    # the price of a collapse was traded on its way; another unit stands there from one bar to the next
    return factor >= LASTS or (factor * LASTS <= 1.0 and opened[at] * REVERTS < close[at] / factor)


def behind_gaps(ts: Floats, close: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """bool[T]: bars are missing between a bar and the one before it that is no print; T at least 2."""
    missing = np.cumsum(np.diff(ts, prepend=ts[0]) > 1.5 * beat(ts))
    sound = np.maximum.accumulate(np.where(reverted(close), 0, np.arange(len(ts))))
    before = np.concatenate([[0], sound[:-1]])
    return np.asarray(missing > missing[before])


def beat(ts: Floats) -> float:
    """Seconds that most bars stand apart; ``ts`` float64[T] ascending, T at least 2."""
    values, counts = np.unique(np.diff(ts), return_counts=True)
    return float(values[counts.argmax()])


def jumps(opened: Floats, close: Floats) -> Iterator[tuple[int, float]]:
    """Each bar whose close stays beyond ``REVERTS`` of the one before, and the factor."""
    _, kept = settled(opened, close)
    factor = kept[1:] / kept[:-1]
    for i in np.flatnonzero((factor >= REVERTS) | (factor * REVERTS <= 1.0)):
        yield int(i) + 1, float(factor[i])
