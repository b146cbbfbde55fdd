"""SIGKILL again and again: real signatures, sockets, node and disk; each action happens once.

The parent has everything imported and forks a worker for each life. A worker recovers, follows heads and acts
on the first action that the chain does not show as done; it dies at a named point, or at a random moment.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from keeper import eventloop
from keeper.errors import Raced, Transient
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.ground import BLOCK_S, SHARDS, Ground, hands, of_the_shard, one_a_shard

POINTS = ("planned", "signed", "journaled", "broadcast", "sent")
KILLS_A_UNIT = 25
KILLS = 10_000
LIFE_S_MAX = 0.6
SETTLE_BLOCKS = 14
RESUMED_S_MAX = 12.0


def kills(on: Ground, many: int) -> Verdict:
    """So many lives that end by SIGKILL, then one that may finish; what was doubled, what was missed."""
    done_before = on.first
    counts = {"kills": 0, "doubled": 0, "missed": 0, "slow": 0, "waited_for": 0}
    for _ in range(many):
        point = on.rng.choice((*POINTS, ""))
        after_s = on.rng.uniform(0.02, LIFE_S_MAX) if not point else 5.0
        status = _life(on, point, on.rng.choice((1, 1, 1, 2, 3)), after_s)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return Verdict(counts=counts, failure=f"a worker ended by itself: {_why(on)}")
        counts["kills"] += 1
    # the next block's life may finish what was open: an action more than before, at least
    last = on.first_open()
    started_s = time.monotonic()
    pid = fork(on, "", 0)
    resumed_s = None
    for _ in range(400):
        time.sleep(BLOCK_S)
        on.mine()
        if on.times(last) and resumed_s is None:
            resumed_s = time.monotonic() - started_s
        if resumed_s is not None and on.times(last + SETTLE_BLOCKS // 7):
            break
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for _ in range(3):
        on.mine()
    on.first = on.first_open()
    tallies = [on.times(k) for k in range(done_before, on.first + 5)]
    counts["actions"] = on.first - done_before
    counts["doubled"] = sum(1 for t in tallies if t > 1)
    # one life of so many may finish: how soon an intent moves on is seen once for all that were killed before it
    counts["waited_for"] = 1
    counts["missed"] = 0 if resumed_s is not None else 1
    counts["slow"] = int(resumed_s is None or resumed_s > RESUMED_S_MAX)
    bad = counts["doubled"] or counts["missed"] or counts["slow"]
    return Verdict(counts=counts, failure=f"{tallies}, resumed after {resumed_s} s" if bad else "")


def _life(on: Ground, point: str, nth: int, after_s: float) -> int:
    """One worker until it is dead; the chain goes on meanwhile. Its wait status."""
    pid = fork(on, point, nth)
    started_s = time.monotonic()
    while True:
        time.sleep(BLOCK_S)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() - started_s > after_s:
            os.kill(pid, signal.SIGKILL)
        on.mine()


def warm(on: Ground) -> None:
    """Act once in the parent: what a life imports, compiles and caches is there for all that are forked from it."""
    eventloop.run(_once(on))
    on.first = on.first_open()


async def _once(on: Ground) -> None:
    async with hands(on) as keeper:
        while not on.times(on.first):
            await keeper.tick()
            on.mine()
        await keeper.tick()


@contextmanager
def _warm_shard() -> Iterator[None]:
    with one_a_shard():
        warm(of_the_shard(0))
        yield


def fork(on: Ground, point: str = "", nth: int = 0) -> int:
    """A worker that dies when it comes to ``point`` for the ``nth`` time; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with (on.folder / "worker.log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            eventloop.run(_worker(on, point, nth))
    except BaseException:
        # told by hand: the copy of the parent must not unwind into the parent's own frames
        (on.folder / "worker.log").write_text(traceback.format_exc())
    finally:
        os._exit(3)


def _why(on: Ground) -> str:
    return (on.folder / "worker.log").read_text()[-600:]


async def _worker(on: Ground, point: str, left: int) -> None:
    """A keeper of one position, until it is killed."""

    def probe(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    async with hands(on, probe=probe) as keeper:
        while True:
            try:
                await keeper.tick()
            except (Transient, Raced) as error:
                # the chain moves every 50 ms: a block may be gone before it was read
                print(type(error).__name__, error, flush=True)


def record_kills(counts: Counts, done: int, failures: list[str]) -> None:
    """kill9_runs, kill9_doubled, kill9_missed, and of the lives that might finish kill9_resumed_late."""
    n, evidence, ends = counts.get("kills", 0), "own_double", counts.get("waited_for", 0)
    doubled, missed, late = (counts.get(name, 0) for name in ("doubled", "missed", "slow"))
    record("kill9_runs", n, bound=f">= {KILLS}", holds=n >= KILLS, evidence=evidence, n=n)
    record("kill9_doubled", doubled, bound="= 0", holds=doubled == 0, evidence=evidence, n=n)
    record("kill9_missed", missed, bound="= 0", holds=missed == 0, evidence=evidence, n=ends)
    record("kill9_resumed_late", late, bound="= 0", holds=late == 0, evidence=evidence, n=ends)


def _unit(number: int) -> Verdict:
    return kills(of_the_shard(number), KILLS_A_UNIT)


KILL9 = Campaign(
    name="kill9",
    units=KILLS // KILLS_A_UNIT,
    run=_unit,
    record=record_kills,
    around=_warm_shard,
    shards=SHARDS,
    also=(),
)
__all__ = ["KILL9", "POINTS", "fork", "kills", "warm"]
