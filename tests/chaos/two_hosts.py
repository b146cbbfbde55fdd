"""One key on two hosts: two journals, two signers, nothing shared but the chain.

Promised: under one nonce one transaction is mined, so what both would do at the same time is done once; and whoever
finds that the chain has used a nonce which his journal does not know signs nothing more. Two hosts in step find that
a little later: each has signed under the very nonce that the other's transaction took, and when that is believed, two
blocks deep, the next signature is refused as well. Not promised without a sequence number on the chain: when each
host has sent several different actions before either sees the other's, an action may be done under two nonces. So a
second host is a mistake that is noticed, not a standby.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from functools import partial

from keeper import eventloop
from keeper.confirmation.missing import AGREED_S
from keeper.errors import Broken, Raced, Transient
from keeper.model import Attempt
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.ground import BLOCK_S, SHARDS, Ground, hands, of_the_shard, one_a_shard
from tests.keystores import address_of

RACES = 1_000
A_UNIT = 10
PAUSED = 7
"""Exit status of a host that found a foreign nonce."""
PAUSED_S_MAX = 2.0 * AGREED_S
"""A second is usual; of hosts in step one has signed under the very nonce that the other's transaction took, signs
nothing more, and stops once it believes that."""
QUIET_BLOCKS = 4


def races(on: Ground, many: int) -> Verdict:
    """So many pairs of hosts started together, each with a journal of its own."""
    counts: Counts = {"races": 0, "doubles": 0, "noticed": 0}
    whys: list[str] = []
    for number in range(many):
        counts["races"] += 1
        counts["noticed"] += int(_race(on, number) > 0)
        first = on.first
        on.first = on.first_open()
        twice = [k for k in range(first, on.first + 5) if on.times(k) > 1]
        counts["actions"] = counts.get("actions", 0) + on.first - first
        counts["doubles"] += len(twice)
        whys += [f"race {number}: action {k} was done {on.times(k)} times" for k in twice]
    return Verdict(counts=counts, failure="; ".join(whys[:3]))


def _race(on: Ground, number: int) -> int:
    """How many of two hosts stopped because of the other; the rest is killed."""
    used = int(on.chain.rpc("eth_getTransactionCount", address_of(), "latest"), 16)
    alive = {_fork(on, f"host-{number}-{i}-{used}", used) for i in range(2)}
    started_s, paused = time.monotonic(), 0
    try:
        while alive and not paused and time.monotonic() - started_s < PAUSED_S_MAX:
            time.sleep(BLOCK_S)
            on.mine()
            for pid in tuple(alive):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    alive.discard(pid)
                    assert os.waitstatus_to_exitcode(status) == PAUSED, _why(on)
                    paused += 1
        for _ in range(QUIET_BLOCKS):
            time.sleep(BLOCK_S)
            on.mine()
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    on.mine()
    return paused


def _why(on: Ground) -> str:
    return (on.folder / "host.log").read_text()[-600:]


def _fork(on: Ground, name: str, used: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 3
    try:
        status = eventloop.run(_host(on, name, used))
    except BaseException:
        # told by hand: the copy of the parent must not unwind into the parent's own frames
        (on.folder / "host.log").write_text(traceback.format_exc())
    finally:
        os._exit(status)


async def _host(on: Ground, name: str, used: int) -> int:
    """A keeper that acts on the first action that the chain does not show, until it finds another's nonce."""
    try:
        async with hands(on, name, adopted=used) as keeper:
            while True:
                try:
                    made = await keeper.tick()
                    assert made is None or isinstance(made, Attempt)
                except (Transient, Raced):
                    continue
    except Broken:
        return PAUSED


def record_hosts(counts: Counts, done: int, failures: list[str]) -> None:
    """race_doubles_two_hosts, race_two_hosts_noticed."""
    n, bad = counts.get("races", 0), counts.get("doubles", 0)
    record(
        "race_doubles_two_hosts",
        bad,
        bound=f"= 0 in {RACES}",
        holds=False if bad else True if n >= RACES else None,
        evidence="own_double",
        n=n,
    )
    noticed = counts.get("noticed", 0)
    record(
        "race_two_hosts_noticed",
        noticed,
        unit=f"of {n} races in which a host found a foreign nonce and stopped in {PAUSED_S_MAX:.0f} s",
        bound="all",
        holds=noticed == n,
        evidence="own_double",
        n=n,
    )


def _unit(number: int) -> Verdict:
    return races(of_the_shard(number), A_UNIT)


# whose nonce it was is asked two blocks back
HOSTS = Campaign(
    name="hosts",
    units=RACES // A_UNIT,
    run=_unit,
    record=record_hosts,
    around=partial(one_a_shard, history=True),
    shards=SHARDS,
    also=(),
)
__all__ = ["HOSTS", "races"]
