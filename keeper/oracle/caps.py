"""Adapters that cap: a staked token's ratio that may grow only so fast, a stablecoin's price that has a lid. Pure.

Source: PriceCapAdapterBase (CAPO) of the Aave markets: price = base price x min(ratio, snapshotRatio +
maxRatioGrowthPerSecond x (now - snapshotTimestamp)). While the true ratio is above the cap the oracle reads low, and
a cap set wrong cuts the price of a healthy token at once. PriceCapAdapterStable: price = min(ASSET_TO_USD_AGGREGATOR,
getPriceCap()); a market above that lid is never followed. What an adapter does not tell (a lid in euros, the first
stablecoin adapters, which keep theirs to themselves) stays unknown, and no lid is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.model import Call
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import Feed, selector, signed
from keeper.seams import Severity
from keeper.words import Words

QUESTIONS = tuple(
    selector(f"{name}()")
    for name in ("getRatio", "getSnapshotRatio", "getSnapshotTimestamp", "getMaxRatioGrowthPerSecond")
)
LID_QUESTIONS = tuple(selector(f"{name}()") for name in ("getPriceCap", "isCapped"))
NEAR_BPS = 50
"""Headroom below which a cap is said to be near: half of what a loop at 1.03 loses its calm over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """One ratio and its cap at one block."""

    feed: Feed
    ratio: int
    ratio_max: int

    @property
    def headroom_bps(self) -> float:
        """How far the ratio may grow before the cap binds, bps; negative where it binds already."""
        return (self.ratio_max / self.ratio - 1.0) * 10_000

    @property
    def cut(self) -> float:
        """Share of the price that the cap leaves: 1 where it does not bind."""
        return min(1.0, self.ratio_max / self.ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lid:
    """The price above which an adapter's answer does not rise, at one block."""

    feed: Feed
    units: int
    """As the adapter answers."""
    binds: bool | None
    """Whether what is behind it says more; None where it does not tell."""

    @property
    def price(self) -> float:
        """In dollars."""
        return self.units / 10.0**self.feed.expected_decimals


def probes(feeds: Sequence[Feed]) -> tuple[Call, ...]:
    """Asked once: which feeds are capped ratios, and which have a lid."""
    return tuple(Call(target=f.address, data=d) for d in (QUESTIONS[1], LID_QUESTIONS[0]) for f in feeds)


def capped(feeds: Sequence[Feed], words: Words) -> tuple[Feed, ...]:
    """Those that answered ``probes`` as a capped ratio does."""
    return _told(feeds, words, 0)


def lidded(feeds: Sequence[Feed], words: Words) -> tuple[Feed, ...]:
    """Those that answered ``probes`` with a lid."""
    return _told(feeds, words, len(feeds))


def _told(feeds: Sequence[Feed], words: Words, at: int) -> tuple[Feed, ...]:
    places = enumerate(feeds, at)
    return tuple(f for i, f in places if words.ok[i] and words.count[i] and words.uint(i))


def lid_calls(feeds: Sequence[Feed]) -> tuple[Call, ...]:
    """What one batch asks of adapters with a lid: risk stewards move it at once."""
    return tuple(Call(target=f.address, data=d) for f in feeds for d in LID_QUESTIONS)


def lids(feeds: Sequence[Feed], words: Words) -> tuple[Lid, ...]:
    """Lids at a block; one that could not be read, or is none, is left out: unknown."""
    found = []
    for i, feed in enumerate(feeds):
        at, flag = len(LID_QUESTIONS) * i, len(LID_QUESTIONS) * i + 1
        units = signed(words.uint(at)) if words.ok[at] and words.count[at] else 0
        if units > 0:
            told = words.ok[flag] and words.count[flag]
            found.append(Lid(feed=feed, units=units, binds=bool(words.uint(flag)) if told else None))
    return tuple(found)


def lid_faults(lid: Lid) -> tuple[Fault, ...]:
    """What a person must hear of a lid: that it is reached."""
    if not lid.binds:
        return ()
    why = (
        f"{lid.feed.symbol}: its feed says more than {lid.price:g}, where the adapter stops: "
        "collateral and debt of it count less than the market pays"
    )
    return (Fault(severity=Severity.WARNING, code="price_capped", subject=lid.feed.id, why=why),)


def calls(feeds: Sequence[Feed]) -> tuple[Call, ...]:
    """What one batch asks of capped ratios."""
    return tuple(Call(target=f.address, data=d) for f in feeds for d in QUESTIONS)


def caps(feeds: Sequence[Feed], words: Words, now_s: int) -> tuple[Cap, ...]:
    """Caps at a block of ``now_s``; one that could not be read is left out (its feed says so itself)."""
    found, n = [], len(QUESTIONS)
    for i, feed in enumerate(feeds):
        at = range(n * i, n * i + n)
        if not all(words.ok[k] and words.count[k] for k in at):
            continue
        ratio, snapshot, since_s, growth = (words.uint(k) for k in at)
        if signed(ratio) > 0:
            most = snapshot + growth * max(0, now_s - since_s)
            found.append(Cap(feed=feed, ratio=ratio, ratio_max=most))
    return tuple(found)


def faults(cap: Cap) -> tuple[Fault, ...]:
    """What a person must hear of a cap."""
    name = cap.feed.symbol
    if cap.headroom_bps < 0:
        cut = (1.0 - cap.cut) * 100
        why = f"{name}: the ratio's cap binds and cuts its price by {cut:.2f} %: the oracle reads low, not the market"
        return (Fault(severity=Severity.CRITICAL, code="capo_capped", subject=cap.feed.id, why=why),)
    if cap.headroom_bps < NEAR_BPS:
        why = f"{name}: the ratio is {cap.headroom_bps / 100:.2f} % below its cap"
        return (Fault(severity=Severity.WARNING, code="capo_headroom", subject=cap.feed.id, why=why),)
    return ()
