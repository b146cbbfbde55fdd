"""Does it grow? A day of blocks over a thousand accounts, with the page's and Prometheus' share of the work.

The real loop, journal, announcer, sheet, board and figures run in one process over doubles of the chain; the clock is
the doubles' own, so a day takes minutes. One block in twenty has positions in need: levels change, decisions and
whole snapshots are journaled, alarms come and go. What is not in it: sockets, endpoints, the act-lane's transactions.
Resident memory is read every 50 blocks; the slope is least squares over everything after the warm-up.
``SOAK_MINUTES`` ends it early, with a slope of what there was and no verdict.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.bench.figures import record
from tests.bench.page_crowd import VARIANTS, Speaking, speaking, variants
from tests.chaos.sim.quiet import hushed

BLOCKS = 7_200
WARM_UP = 1_200
ACCOUNTS = 1_000
EVERY = 50
BLOCKS_AN_HOUR = 300
SLOPE_MB_MAX = 1.0
TELL_EVERY, SCRAPE_EVERY = 4, 10
"""The page hears, and Prometheus reads, one block in so many: a day must fit into minutes."""
BLOCK_S = 12.0
KEPT_BYTES = 4 * 1024**3


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def written_mb(home: Path) -> float:
    """What the journal takes on the disk."""
    return sum(p.stat().st_size for p in home.glob("journal*")) / 1024**2


def slope(samples: Sequence[tuple[int, float]]) -> float:
    """MB an hour of blocks."""
    blocks, mb = zip(*samples, strict=True)
    return float(np.polyfit(np.array(blocks, float), np.array(mb), 1)[0]) * BLOCKS_AN_HOUR


async def soaked(on: Speaking, crowd: Sequence[tuple[object, ...]], blocks: int) -> list[tuple[int, float]]:
    """(block, RSS) every 50 blocks."""
    samples = []
    began_s = time.monotonic()
    for n in range(1, blocks + 1):
        await on.block(crowd[n % VARIANTS])  # type: ignore[arg-type]
        if n % TELL_EVERY == 0:
            on.told()
        if n % SCRAPE_EVERY == 0:
            on.scraped()
        on.announcer.escalate()
        on.on.clock.advance(BLOCK_S)
        if n % EVERY == 0:
            samples.append((n, rss_mb()))
        if time.monotonic() - began_s > 60 * float(os.environ.get("SOAK_MINUTES", "1e9")):
            break
        if n % 200 == 0:
            print(f"{n} blocks, {samples[-1][1]:.1f} MB, {time.monotonic() - began_s:.0f} s", flush=True)
    return samples


@pytest.mark.bench
@pytest.mark.timeout(3_600)
@pytest.mark.asyncio
async def test_soak__when_a_day_of_blocks_is_judged__then_memory_does_not_grow(tmp_path: Path) -> None:
    blocks = int(os.environ.get("SOAK_BLOCKS", BLOCKS))
    assert shutil.disk_usage(tmp_path).free > KEPT_BYTES, "the journal of a day needs room"
    with hushed():
        on = speaking(tmp_path, ACCOUNTS)
        samples = await soaked(on, variants(ACCOUNTS), blocks)
        on.on.journal.close()
    blocks = samples[-1][0]
    steady = [(n, mb) for n, mb in samples if n > min(WARM_UP, blocks // 2)]
    mb = slope(steady)
    journal_mb = written_mb(tmp_path)
    print(f"RSS {steady[0][1]:.1f} -> {steady[-1][1]:.1f} MB, {mb:+.3f} MB per {BLOCKS_AN_HOUR} blocks")
    print(f"journal {journal_mb:.0f} MB after {blocks} blocks")
    holds = mb < SLOPE_MB_MAX if blocks >= BLOCKS else None
    bound = f"< {SLOPE_MB_MAX:g} after the first {WARM_UP:,} of {BLOCKS:,} blocks"
    record(
        "soak_rss_mb_per_h",
        round(mb, 3),
        unit="MB/h",
        bound=bound,
        holds=holds,
        evidence="own_double",
        n=blocks,
    )
    assert holds is not False


@pytest.mark.scenario
@pytest.mark.asyncio
async def test_soak__when_it_is_short__then_no_kind_of_object_grows_with_the_blocks(tmp_path: Path) -> None:
    """The short form: counted are objects, for resident memory says nothing after forty blocks."""
    with hushed():
        on = speaking(tmp_path, 40)
        crowd = variants(40)
        # some of what is asked rarely fills its type caches once, after the fortieth block
        await soaked(on, crowd, 4 * VARIANTS)
        gc.collect()
        before = len(gc.get_objects())
        await soaked(on, crowd, 2 * VARIANTS)
        gc.collect()
        grown = len(gc.get_objects()) - before
        on.on.journal.close()
    # an object a block would be 40; what is counted per position would be 1,600
    assert grown < 2 * VARIANTS
