"""Latency as an invariant: over a healthy endpoint a crossed trigger leads to bytes on the wire in its tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeper.seams import TxFields
from tests.chaos.sim.chain import BLOCK_S
from tests.chaos.sim.market import ACCOUNTS, policy

if TYPE_CHECKING:
    from tests.chaos.sim.world import World

SETTLE_S = 80.0
"""After the storm an endpoint may rest for a minute and a fifth; from then on all are healthy."""
RESUME_S = 12.0
"""A daemon that was killed has its open plans on the wire again, or new ones, within this time."""


class Promptness:
    """When each account came to need something, and when bytes for it last arrived at a node."""

    def __init__(self, world: World, healthy_from_s: float) -> None:
        self._world = world
        self._from_s = healthy_from_s + SETTLE_S
        self._needed_s: dict[str, float] = {}
        self._wired_s: dict[str, float] = {}
        self.started_s = 0.0
        """When the running process was started."""
        self.slowest_s = 0.0
        self.served = 0

    def on_wire(self, tx: TxFields, now_s: float) -> None:
        """Bytes of an act arrived at a node."""
        for account in ACCOUNTS:
            since_s = self._needed_s.get(account)
            if tx.data and bytes.fromhex(account[2:]) in tx.data:
                self._wired_s[account] = now_s
                if since_s is not None and since_s >= self._from_s:
                    self.slowest_s = max(self.slowest_s, now_s - max(since_s, self.started_s))

    def check(self, now_s: float) -> None:
        """Every second of a life: what is needed is on the wire by the next block, or RESUME_S after a start."""
        chain = self._world.chain
        for account in ACCOUNTS:
            if chain.health_wad(account) >= policy().trigger_wad:
                self.served += self._needed_s.pop(account, 0.0) >= self._from_s
                continue
            since_s = self._needed_s.setdefault(account, self._world.block_at_s)
            begun_s = max(since_s, self.started_s)
            late = now_s - begun_s > (RESUME_S if self.started_s > since_s else BLOCK_S)
            if since_s >= self._from_s and late and self._wired_s.get(account, 0.0) < begun_s:
                self._world.violated(f"{account[:6]} in need, nothing sent within {now_s - begun_s:.0f} s")
                self._needed_s[account] = now_s
