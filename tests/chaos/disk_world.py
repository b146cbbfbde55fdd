"""A keeper's loop, lane, confirmation and journal over a chain in memory, and a disk that a test may break.

One vault falls below its trigger again and again; each need must be met by exactly one transaction on the
chain, and nothing may be broadcast before a reader of the file finds its bytes there.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop, Parts
from keeper.errors import Broken, Unwritable
from keeper.journal.recover import recover
from keeper.journal.whole import refuse_damaged
from keeper.journal.write import Journal
from keeper.model import Block, Outcome, Plan, Snapshot
from keeper.notify.alarm import Alarms
from keeper.seams import Venue
from keeper.transaction.send import Live
from strategies.registry import SHIPPED
from tests import build
from tests.build import ALICE, USDC, WETH, amount, collateral, debt, position, position_id
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.fakes import LendingDouble
from tests.loop_double import CHAIN, DIGEST

Files = dict[str, bytes]


class DurableChain(ChainDouble):
    """The chain double, which looks into the journal's file before it takes anything."""

    path: Path
    violations: list[str]
    held: bool = False
    """No transaction is mined for now."""

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """As the double, after the look."""
        tx_hash = read_tx(raw)[1]
        reader = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            found = reader.execute("SELECT raw FROM attempt WHERE hash = ?", (tx_hash,)).fetchone()
        except sqlite3.Error as error:
            found = None
            self.violations.append(f"broadcast while the file cannot be read: {error}")
        finally:
            reader.close()
        if found != (raw,):
            self.violations.append(f"broadcast before the journal's file held {tx_hash[:10]}")
        return await super().broadcast(raw, timeout_s=timeout_s)


class Shown:
    """What the loop asks of the facts: the vault as the chain and the needs have it, and confirmation."""

    def __init__(self, world: DiskWorld) -> None:
        self._world = world

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """The photograph and what became of everything sent."""
        world = self._world
        price = "1700" if world.effects < world.needs else "2400"
        vault = position([collateral(WETH, "10", price=price)], [debt(USDC, "12000")], account=ALICE)
        wallet = replace(build.means([amount(USDC, "90000"), amount(WETH, "90")]), nonce=world.chain.nonce)
        taken = build.snapshot([replace(vault, block_number=block.number)], wallet=wallet, at=block)
        taken = replace(taken, prices={**taken.prices, "WETH": float(price)})
        try:
            return taken, await world.confirmation.tend(block, taken)
        except Broken as error:  # as the daemon's own facts take it
            world.loop.stop_acting(error)
            return taken, ()

    def acted(self, plan: Plan) -> None:
        """Nothing to fill."""


class DiskWorld:
    """A daemon's life after life on one folder and one chain."""

    def __init__(self, folder: Path, chain: DurableChain | None = None, needs: int = 0) -> None:
        self.path = folder / "journal.sqlite"
        self.needs = needs
        self.clock = ManualClock(1_000_000.0)
        self.chain = chain or DurableChain()
        self.chain.path, self.chain.violations = self.path, []
        self.signer = FakeSigner(build.WALLET)
        self.journal: Journal | None = None
        self.number = self.chain.head.number
        self.whole = False
        """The last start took the journal for one to build on: what breaks behind that leaves a chain unwatched."""

    @property
    def effects(self) -> int:
        """Rescues that the chain has seen."""
        return len(self.chain.effects(build.POOL))

    @property
    def stopped(self) -> str:
        """Why the loop does not act for good; empty while it may."""
        return self.loop.broken

    @property
    def standing(self) -> set[str]:
        """Codes of the alarms that stand."""
        return {a.code for a in self.alarms.standing}

    def start(self) -> None:
        """Open and recover as ``keeper run`` does. Raises Broken or ConfigError: then nothing was signed."""
        self.whole = False
        self.journal = Journal.open(self.path, self.clock)
        refuse_damaged(self.journal)
        self.whole = True
        live = Live(self.journal, self.chain, self.signer)
        self.confirmation = Confirmation(self.journal, self.chain, live, build.WALLET)
        self.alarms = Alarms(self.journal.record, self.clock, build.CHAIN_ID)
        venue = LendingDouble()
        policy = replace(build.policy(), cooldown_blocks=0)
        self.loop = ChainLoop(
            Parts(
                chain=CHAIN,
                facts=Shown(self),
                guarded=(Guarded(label="vault", policy=policy, venue_id=venue.id, id=position_id(ALICE)),),
                journal=self.journal,
                sender=live,
                dry=False,
                alarms=self.alarms,
                clock=self.clock,
                strategies=SHIPPED,
                shocks=(),
                armed_digest=DIGEST,
            ),
            {venue.id: venue},
        )
        live.may_send = self.loop.may_send
        try:
            asyncio.run(recover(self.journal, self.chain, self.clock, build.CHAIN_ID, build.WALLET))
        except Broken as error:
            self.loop.stop_acting(error)
        if self.journal.control("armed") is None:
            self.journal.set_control("armed", DIGEST, "test", "from the start")

    def stop(self) -> None:
        """Let the files go, as a crash would."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    def blocks(self, many: int = 1) -> None:
        """Blocks judged and acted on, errors handled as the service handles them."""
        for _ in range(many):
            self.clock.advance(12.0)
            header = self.chain.mine(empty=self.chain.held)
            asyncio.run(self._block(header))

    async def _block(self, header: Block) -> None:
        try:
            tick = await self.loop.tick(header)
            for plan in self.loop.hand(tick):
                self.loop.lane.waiting.pop(plan.key.position, None)
                await self.loop.act(plan, tick.snapshot)
        except Broken as error:  # Unwritable is one of them
            self.loop.stop_acting(error)

    def files(self) -> Files:
        """The journal's files as they are now."""
        names = (self.path.name, f"{self.path.name}-wal")
        return {n: p.read_bytes() for n in names if (p := self.path.with_name(n)).exists()}

    def put(self, files: Files) -> None:
        """Exactly these files in the folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for old in self.path.parent.glob(f"{self.path.name}*"):
            old.unlink()
        for name, content in files.items():
            self.path.with_name(name).write_bytes(content)


__all__ = ["DiskWorld", "DurableChain", "Files", "Unwritable"]
