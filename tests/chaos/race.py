"""Two daemons on one key: one may hold the journal, the other must go; nothing is ever done twice."""

from __future__ import annotations

import os
import signal
import time

from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.ground import BLOCK_S, SHARDS, Ground, of_the_shard, one_a_shard
from tests.chaos.kill9 import fork

RACES = 1_000
RACES_A_UNIT = 10
SETTLED_S_MAX = 90.0
ACTS_S_MAX = 10.0


def races(on: Ground, many: int) -> Verdict:
    """So many pairs of workers started together on one journal; the one that stays is killed at work."""
    counts, whys, first = {"races": 0, "doubles": 0}, [], on.first
    for _ in range(many):
        why = _race(on)
        counts["races"] += 1
        if why:
            whys.append(why)
    on.first = on.first_open()
    twice = [k for k in range(first, on.first + 5) if on.times(k) > 1]
    counts["actions"], counts["doubles"] = on.first - first, len(twice) + len(whys)
    return Verdict(counts=counts, failure="; ".join([*whys[:2], *(f"action {k} done twice" for k in twice)]))


def _race(on: Ground) -> str:
    alive = {fork(on), fork(on)}
    started_s = time.monotonic()
    why = ""
    try:
        while len(alive) == 2 and not why:
            time.sleep(BLOCK_S / 2)
            on.mine()
            alive -= {pid for pid in alive if os.waitpid(pid, os.WNOHANG)[0]}
            if time.monotonic() - started_s > SETTLED_S_MAX:
                why = "both stayed"
        # a race in which nobody acts shows nothing: the one that stayed has to, and is killed a little later
        open_action, settled_s = on.first_open(), time.monotonic()
        while not on.times(open_action) and time.monotonic() - settled_s < ACTS_S_MAX:
            time.sleep(BLOCK_S)
            on.mine()
        for _ in range(on.rng.randint(0, 4)):
            time.sleep(BLOCK_S)
            on.mine()
        if not why and any(os.waitpid(pid, os.WNOHANG)[0] for pid in alive):
            alive, why = set(), f"the one that stayed ended: {(on.folder / 'worker.log').read_text()[-300:]}"
        return why or ("" if alive else "both went")
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def record_races(counts: Counts, done: int, failures: list[str]) -> None:
    """race_doubles."""
    n, bad = counts.get("races", 0), counts.get("doubles", 0)
    record(
        "race_doubles",
        bad,
        bound=f"= 0 in {RACES}",
        holds=False if bad else True if n >= RACES else None,
        evidence="own_double",
        n=n,
    )


def _unit(number: int) -> Verdict:
    return races(of_the_shard(number), RACES_A_UNIT)


RACE = Campaign(
    name="race",
    units=RACES // RACES_A_UNIT,
    run=_unit,
    record=record_races,
    around=one_a_shard,
    shards=SHARDS,
    also=(),
)
