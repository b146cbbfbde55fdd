"""What is wrong with an answer: each fault has a name that is stable, and a reason that a person can read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keeper.model import Refusal
from keeper.oracle.feeds import Answer
from keeper.oracle.updates import Update
from keeper.seams import Severity

LATE = 1.5
"""A feed is stale when it is silent for its heartbeat and half as long again: congestion delays an update."""
LATE_LEAST_S = 900
JUMP_BPS = 1_000
"""A single update of more than ten per cent is said, whatever it does to health."""
AHEAD_S = 60
"""A feed's clock may be this much before the block's."""
APART_BPS = 200
"""Oracle and market further apart than this and than twice the feed's own threshold is said."""
CODES = (
    "feed_unread",
    "feed_decimals",
    "feed_unlooked",
    "feed_not_positive",
    "feed_at_bound",
    "feed_stale",
    "feed_from_future",
    "feed_jump",
    "feed_updates_unread",
    "market_unread",
    "ticker_refused",
    "oracle_apart",
    "oracle_moved_alone",
    "capo_capped",
    "capo_headroom",
    "price_capped",
    "osm_ahead",
    "osm_unread",
    "osm_stopped",
    "svr_margin",
    "predicted",
    "sequencer_down",
    "sequencer_grace",
    "sequencer_unread",
)
"""Every name that this room alarms under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a person must hear of."""

    severity: Severity
    code: str
    subject: str
    why: str


def of_answer(
    now: Answer, before: Answer | None, now_s: int, step: tuple[float, Update] | None = None
) -> tuple[Fault, ...]:
    """Everything wrong with one answer at a block of ``now_s``; ``before``: the last one seen.

    ``step``: the largest single move since then, bps, where the feed's logs were read.
    """
    return (*_of_answer(now, before, now_s), *_jump(now, before, step))


def _jump(now: Answer, before: Answer | None, step: tuple[float, Update] | None) -> Iterator[Fault]:
    if step is not None:
        move, update = step
        where = f"round {update.round}" + (f", block {update.block}" if update.block is not None else "")
        if abs(move) >= JUMP_BPS:
            yield _warning("feed_jump", now, f"moved {move / 100:+.1f} % in one update ({where})")
        return
    move = moved_bps(before, now)
    if abs(move) >= JUMP_BPS and not now.why and now.units > 0:
        yield _warning("feed_jump", now, f"moved {move / 100:+.1f} % in one update")


def _of_answer(now: Answer, before: Answer | None, now_s: int) -> Iterator[Fault]:
    feed = now.feed
    if feed.decimals is not None and feed.decimals != feed.expected_decimals:
        yield _critical(
            "feed_decimals",
            now,
            f"has {feed.decimals} decimals, its venue counts in {feed.expected_decimals}",
        )
    if now.why:
        yield _critical(
            "feed_unread", now, f"{now.why}: its price is unknown, nothing that it prices is healthy"
        )
        return
    if now.units <= 0:
        yield _critical("feed_not_positive", now, f"answers {now.units}")
        return
    if not now.timed and not now.updated_s and not feed.bases:
        why = (
            "its price is computed, and tells no time and no feed behind it: age and bounds are not looked at"
        )
        yield _fault(Severity.INFO, "feed_unlooked", now, why)
    bound = stuck_at(now)
    if bound:
        yield _critical(
            "feed_at_bound", now, f"answers {now.price:g}, its {bound}: the market may be far beyond it"
        )
    if now.timed and not now.updated_s:
        yield _critical(
            "feed_stale", now, "tells a round that is not complete (updatedAt 0): its age is unknown"
        )
    age_s = now_s - now.updated_s
    if now.updated_s and age_s < -AHEAD_S:
        yield _warning("feed_from_future", now, f"was updated {-age_s} s after the block's timestamp")
    if now.updated_s and age_s > late_s(now):
        guess = " (assumed)" if feed.assumed else ""
        yield _critical("feed_stale", now, f"is {age_s} s old, its heartbeat is {feed.heartbeat_s} s{guess}")


def late_s(now: Answer) -> float:
    """Age from which an answer is stale."""
    return max(LATE * now.feed.heartbeat_s, now.feed.heartbeat_s + LATE_LEAST_S)


def stuck_at(now: Answer) -> str:
    """Which bound of its aggregator an answer stands at (within a hundredth of a per cent); empty for none."""
    low, high = now.feed.low, now.feed.high
    if low is not None and now.units * 10_000 <= low * 10_001:
        return "minAnswer"
    return "maxAnswer" if high is not None and now.units * 10_001 >= high * 10_000 else ""


def moved_bps(before: Answer | None, now: Answer) -> float:
    """How far an update went, bps; 0 where there is nothing to compare."""
    if before is None or before.why or before.units <= 0 or now.units <= 0 or before.round == now.round:
        return 0.0
    return (now.units / before.units - 1.0) * 10_000


def unseen(feed: str, why: str, severity: Severity = Severity.WARNING) -> Fault:
    """A market price that is not believed: nothing is predicted by it."""
    return Fault(severity=severity, code="market_unread", subject=feed, why=f"the market's price: {why}")


def refused(asset: str, why: Refusal) -> Fault:
    """An exchange that is not believed: the others count without it."""
    return Fault(
        severity=Severity.INFO,
        code="ticker_refused",
        subject=f"{why.who}:{asset}",
        why=f"{why.who} on {asset}: {why.code}: {why.why}",
    )


def apart(now: Answer, market: float | None) -> tuple[Fault, ...]:
    """Whether oracle and market disagree by more than the feed's own threshold explains."""
    if market is None or market <= 0.0 or now.price <= 0.0:
        return ()
    gap_bps = (market / now.price - 1.0) * 10_000
    if abs(gap_bps) <= max(APART_BPS, 2 * now.feed.deviation_bps):
        return ()
    return (
        _warning("oracle_apart", now, f"says {now.price:g}, the market {market:g} ({gap_bps / 100:+.1f} %)"),
    )


def moved_alone(
    before: Answer | None, now: Answer, market_before: float | None, market: float | None
) -> tuple[Fault, ...]:
    """Whether the oracle moved by itself: what a misconfigured cap looks like, and no fall of the price."""
    move = moved_bps(before, now)
    if not market or not market_before or abs(move) < max(APART_BPS, 2 * now.feed.deviation_bps):
        return ()
    same = (market / market_before - 1.0) * 10_000
    if abs(same) * 2 > abs(move):
        return ()
    why = f"moved {move / 100:+.2f} % while the market moved {same / 100:+.2f} %"
    return (_critical("oracle_moved_alone", now, f"{why}: topping up is safer than selling on it"),)


def _critical(code: str, now: Answer, why: str) -> Fault:
    return _fault(Severity.CRITICAL, code, now, why)


def _warning(code: str, now: Answer, why: str) -> Fault:
    return _fault(Severity.WARNING, code, now, why)


def _fault(severity: Severity, code: str, now: Answer, why: str) -> Fault:
    return Fault(severity=severity, code=code, subject=_subject(now), why=f"{now.feed.symbol}: {why}")


def _subject(now: Answer) -> str:
    return now.feed.id
