"""The largest single oracle step that a guarded position survives: bisected with the real keeper on snapshots.

One probe: from the state before the fall, every volatile price falls by the same share in one block; the keeper
ticks on that block; a liquidator that pays more is ahead of it in the next one. The position survives when the
pool did not liquidate it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from anvil import shock
from anvil.stage import Stage
from keeper.clock import SystemClock
from keeper.config import load
from keeper.journal.write import Journal

PRECISION = 0.001
"""Bisect to a tenth of a per cent."""
AHEAD_WEI = 10**12
"""The liquidator's tip: far above the keeper's, so that it is ahead in the block."""


class Gap:
    """Probes of one stage; the chain is put back after each."""

    def __init__(self, on: Stage) -> None:
        self._on = on
        self._settings = load(on.config)
        self._snapshot = on.chain.snapshot()
        self._prices = on.scenario.prices_usd8(-1)

    def rewind(self) -> None:
        """The chain as it was when this was made; a snapshot serves once, so another is taken."""
        self._on.chain.revert(self._snapshot)
        self._snapshot = self._on.chain.snapshot()

    def largest(self, account: str, moving: tuple[str, ...]) -> float:
        """The largest survived fall of the prices of ``moving``, as a share, rounded down to PRECISION."""
        low, high = 0, round(0.9 / PRECISION)
        while high - low > 1:
            middle = (low + high) // 2
            if account in self.survivors(middle * PRECISION, moving):
                low = middle
            else:
                high = middle
        return low * PRECISION

    def survivors(self, fall: float, moving: tuple[str, ...]) -> frozenset[str]:
        """Guarded accounts that one fall of that size leaves unliquidated."""
        self.rewind()
        on, chain = self._on, self._on.chain
        prices = {s: int(self._prices[s] * (1 - fall)) for s in moving}
        chain.rpc("evm_setAutomine", False)
        shock.set_prices(chain, on.market, prices, wait=False)
        chain.mine()
        self._tick(on.folder / f"gap-{fall:.4f}-{'-'.join(moving)}")
        on.liquidator.tip_wei = AHEAD_WEI
        lost = {x.user for x in on.liquidator.act([p.guarded for p in on.pairs], mine=True)}
        chain.mine()
        return frozenset(p.guarded for p in on.pairs) - lost

    def _tick(self, home: Path) -> None:
        """One armed tick of the real daemon, with a journal of its own."""
        from keeper.daemon.running import run

        alone = replace(self._settings, state_dir=home)
        wallet = alone.wallet.address or ""
        used = int(self._on.chain.rpc("eth_getTransactionCount", wallet, "latest"), 16)
        home.mkdir(mode=0o700)
        with Journal.open(alone.journal_path, SystemClock()) as journal:
            journal.set_control("armed", alone.digest, "demo", "a probe on a snapshot")
            journal.adopt_nonce(self._on.market.chain_id, wallet, used, "a probe on a snapshot", "demo")
        asyncio.run(run(alone, once=True, dry_run=False))
