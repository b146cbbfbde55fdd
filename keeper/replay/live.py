"""What venues themselves say of how positions that were read from them are liquidated, as terms of a replay."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.model import WHOLE_BPS_AVERAGE, Position
from keeper.replay import seizure
from keeper.replay.terms import Terms

WHOLE = 10_000
FLOORED = "aave_v3_0"
"""The rule of a pool whose average threshold is floored to whole basis points: the lines before v3.3."""


def terms(positions: Sequence[Position]) -> tuple[Terms, ...]:
    """Of each position, its collateral in the order of its row: the bonus that was read, to a basis point, in the
    word by which its venue's rule goes. None where the venue names none, and where the rule is the threshold's."""
    return tuple(_of(p) for p in positions)


def _of(position: Position) -> Terms:
    bonuses = tuple(_bonus(position, feed) for feed in position.row.feeds)
    nothing = (None,) * len(bonuses)
    word = seizure.WORDS.get(position.id.venue, "bonus")
    known = [b for b in bonuses if b is not None]
    return Terms(
        place="",
        venue=FLOORED if WHOLE_BPS_AVERAGE in position.row.flags else position.id.venue,
        bonuses=bonuses if word == "bonus" else nothing,
        # read as the bonus that it is one over
        factors=tuple(None if b is None else 1.0 / (1.0 + b) for b in bonuses)
        if word == "liquidation_factor"
        else nothing,
        penalty=max(known) if word == "penalty" and known else None,
    )


def _bonus(position: Position, feed: str) -> float | None:
    """Liquidators' share on top of what they repay, of the dearest collateral that counts at one price."""
    counted = [h.bonus_bps for h in position.collateral if h.threshold_wad > 0 and h.feed == feed]
    dearest = max(counted, default=0)
    return dearest / WHOLE - 1.0 if dearest >= WHOLE else None
