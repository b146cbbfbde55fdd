"""Whether a rollup's sequencer runs, by Chainlink's uptime feed; and the grace that follows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.model import Call
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import LATEST_ROUND
from keeper.seams import Severity
from keeper.words import Words

UPTIME = {
    10: "0x371EAD81c9102C9BF4874A9075FFFf170F2Ee389",
    8453: "0xBCF85224fc0756B9Fa45aA7892530B47e10b6433",
    42161: "0xFdB631F5EE196F0ed6FAa767959853A9F217697D",
}
"""Chain id -> uptime feed; docs.chain.link, L2 sequencer uptime feeds, as quoted by public sources, 2026-11-21."""
GRACE_S = 3_600
"""So long a restart is said at the least: what Chainlink's example waits, and what a market may be believed to."""
AT_ONCE_BELOW = 0.95
"""Health below which Aave's market liquidates during its grace as well (ValidationLogic of v3.0 to 3.6)."""

SLOWER = 1.25
STALL_TOLD_S = 600
"""So long a stall that is over is said: whoever wakes must still find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequencer:
    """The feed at one block; ``up`` is None where it could not be read."""

    up: bool | None
    since_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """How long a market's own sentinel holds liquidations back after a restart."""

    market: str
    wait_s: int | None
    """0: it has none; None: it could not be read."""


def calls(chain_id: int, address: str | None = None) -> tuple[Call, ...]:
    """One call on a rollup, none elsewhere."""
    target = address or UPTIME.get(chain_id)
    return () if target is None else (Call(target=target, data=LATEST_ROUND),)


def state(words: Words) -> Sequencer:
    """Answer 0: up; 1: down, since ``startedAt``; anything else is unknown."""
    if not words.ok[0] or words.count[0] < 5:
        return Sequencer(up=None)
    answer, since_s = words.uint(0, 1), words.uint(0, 2)
    return Sequencer(up={0: True, 1: False}.get(answer), since_s=since_s) if since_s else Sequencer(up=None)


def faults(chain: str, now: Sequencer, now_s: int, graces: Sequence[Grace] = ()) -> tuple[Fault, ...]:
    """What a person must hear: standing still, or running again and when liquidations begin, market by market."""
    if now.up is None:
        why = "the sequencer's uptime feed could not be read"
        return (Fault(severity=Severity.WARNING, code="sequencer_unread", subject=chain, why=why),)
    age_s = now_s - now.since_s
    if not now.up:
        why = f"the sequencer is down for {age_s} s: nothing can be sent, prices stand still"
        return (Fault(severity=Severity.CRITICAL, code="sequencer_down", subject=chain, why=why),)
    if age_s < max([GRACE_S, *(g.wait_s or 0 for g in graces)]):
        by_text: dict[str, list[str]] = {}
        for g in graces:
            by_text.setdefault(_begin(g, age_s), []).append(g.market)
        told = "; ".join(f"{', '.join(markets)}: {text}" for text, markets in by_text.items())
        why = f"the sequencer runs again for {age_s} s: liquidations may begin at once" + (
            told and f" ({told})"
        )
        return (Fault(severity=Severity.CRITICAL, code="sequencer_grace", subject=chain, why=why),)
    return ()


def _begin(grace: Grace, age_s: int) -> str:
    if grace.wait_s is None:
        return "its grace could not be read"
    left_s = grace.wait_s - age_s
    if left_s <= 0:
        return "its grace has passed" if grace.wait_s else "it has no grace"
    return f"in {left_s} s, below health {AT_ONCE_BELOW} at once"


def gap_s(elapsed_s: int, blocks: int, block_time_s: float) -> int:
    """The longest gap that must lie between two looks, seconds: what is left when every other block came at its pace.

    A mean would hide an hour behind the twenty blocks that followed it; a chain may be ``SLOWER`` than it says.
    """
    return int(max(elapsed_s / blocks, elapsed_s - SLOWER * block_time_s * (blocks - 1)))


def stalled(chain: str, gap_s: int, block_time_s: float) -> tuple[Fault, ...]:
    """What the blocks themselves tell: the chain stood still before its newest block, and the world did not."""
    if gap_s <= max(300.0, 20 * block_time_s):
        return ()
    why = f"no block for {gap_s} s, then this one: prices may have moved, liquidations begin at once"
    return (Fault(severity=Severity.CRITICAL, code="sequencer_grace", subject=chain, why=why),)
