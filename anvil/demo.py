"""``keeper demo``: a story played twice at once, for guarded borrowers and for their unprotected twins."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from anvil.client import Chain
from anvil.gap import Gap
from anvil.guard import START_S, Guard, GuardFailed
from anvil.node import AnvilFailed
from anvil.perp_scenario import PerpScenario, load_perp_scenario
from anvil.perp_stage import perp_stage
from anvil.report import Loss, Played, Report, Told, build, keep, show
from anvil.scenario import Scenario, ScenarioError, load_scenario
from anvil.stage import Stage, forget_key, stage
from anvil.tools import ToolMissing
from keeper.config import load
from keeper.errors import EXIT_FINDINGS, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE
from keeper.granting import grant
from keeper.notify import log

STEP_S = 1.5
"""Between two steps when somebody looks."""


class Playable(Told, Protocol):
    """A stage on which a story is played, update by update."""

    @property
    def folder(self) -> Path:
        """Where the keeper lives."""
        ...

    @property
    def chain(self) -> Chain:
        """Whose blocks are made by hand."""
        ...

    @property
    def steps(self) -> Sequence[str]:
        """Why each update comes; empty where nothing is said."""
        ...

    @property
    def tokens(self) -> dict[str, str]:
        """What the keeper grants, whole tokens by symbol."""
        ...

    def submit(self, index: int) -> None:
        """Hand in the update of step ``index`` for the next block."""
        ...

    def race(self, index: int, *, dry_run: bool) -> Sequence[Loss]:
        """Mine the block after it, in which others take what they may."""
        ...


class Reactions:
    """How long the daemon took from a mined block to being idle again; the largest decides a race."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._mined_s = now_s()
        self.slowest_s = 0.0

    def mined(self) -> None:
        """A block was mined at this moment."""
        self._mined_s = self._now_s()

    def idle(self) -> None:
        """The daemon has judged that block and has nothing under way."""
        self.slowest_s = max(self.slowest_s, self._now_s() - self._mined_s)


class Clock:
    """Says what is being done, and afterwards where the time went."""

    def __init__(self) -> None:
        self._start_s = self._last_s = time.monotonic()
        self.spent: list[tuple[str, float]] = []

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        print(f"[{time.monotonic() - self._start_s:6.1f} s] {text}", file=sys.stderr, flush=True)

    def lap(self, name: str) -> None:
        """Everything since the last lap was ``name``."""
        now_s = time.monotonic()
        self.spent.append((name, now_s - self._last_s))
        self._last_s = now_s


def run(scenario: str, json_out: bool, dry_run: bool = False, page: bool = False) -> int:
    """Play a shipped scenario, print what came of it, and exit non-zero unless every promise was kept."""
    try:
        story = load_perp_scenario(scenario) or load_scenario(scenario)
    except ScenarioError as e:
        print(e, file=sys.stderr)
        return EXIT_USAGE
    clock = Clock()
    # the daemon logs to a file of its own; what probes on snapshots would log is noise here
    log.configure(json_lines=False, level=logging.CRITICAL)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="keeper-demo-") as folder,
            staged(story, Path(folder), clock, "dry-run" if dry_run else "live") as on,
        ):
            url = page_url(on) if page else ""
            report = tell(on, clock, dry_run=dry_run, url=url)
    except (ToolMissing, AnvilFailed, GuardFailed) as e:
        print(e, file=sys.stderr)
        return EXIT_UNREACHABLE
    show(report, clock.spent, json_out=json_out)
    try:
        keep(report, clock.spent)
    except OSError as e:
        clock.say(
            f"the figures could not be kept: {e}"
        )  # a checkout that is not ours to write: no part of the story
    return EXIT_OK if report.ok else EXIT_FINDINGS


@contextmanager
def staged(story: Scenario | PerpScenario, folder: Path, clock: Clock, mode: str) -> Iterator[Playable]:
    """The stage that the story needs."""
    if isinstance(story, PerpScenario):
        clock.say("a fresh chain, our own double of GMX v2 (not GMX's code), positions and their twins")
        with perp_stage(story, folder, mode=mode) as perps:
            yield perps
        return
    clock.say("a fresh chain, the Aave v3.6 market, borrowers and their twins")
    with stage(story, folder, mode=mode) as on:
        yield on


def tell(on: Playable, clock: Clock, *, dry_run: bool, url: str = "") -> Report:
    """Grants, the story, and (live) how large a single step each position would have survived."""
    clock.lap("chain and market")
    asyncio.run(grant(load(on.config), on.tokens, True))
    clock.lap("grants")
    if dry_run:
        forget_key(on.folder)  # a dry-run that loads a key ends here
    # bisected on the lending market alone: an order in two steps has no single one
    gap = Gap(on) if isinstance(on, Stage) else None
    played = play(on, clock, dry_run=dry_run, url=url)
    report = build(on, played)
    clock.lap("the fall")
    if dry_run or gap is None or not isinstance(on, Stage):
        return report
    clock.say("how large a single oracle step would each position have survived? (bisected on snapshots)")
    steps = {p.label: gap.largest(p.guarded, tuple(p.borrower.collateral)) for p in on.pairs}
    clock.lap("largest steps")
    return replace(report, largest_step=steps)


def page_url(on: Playable) -> str:
    """Where the daemon of this stage is told to serve its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    with on.config.open("a") as config:
        config.write(f"[page]\nlisten = '{at}'\n")
    return f"http://{at}"


def stay(on: Playable, clock: Clock, url: str) -> None:
    """The page stays up, over quiet blocks, until somebody has seen enough."""
    clock.say(f"the story is over; its page stays at {url} until you press Enter")
    # without new blocks the daemon would be BLIND, and say so
    while not select.select([sys.stdin], [], [], STEP_S)[0]:
        on.chain.mine()


def play(on: Playable, clock: Clock, *, dry_run: bool, url: str = "") -> Played:
    """The whole story, block by block, against a real daemon in a process of its own."""
    health: dict[str, list[int]] = {pair.guarded: [] for pair in on.pairs}
    liquidations: list[Loss] = []
    nonce_before = nonce(on)
    reactions = Reactions()
    with Guard(on.config) as guard:
        guard.caught_up(on.chain.block().number, within_s=START_S)
        if not dry_run:
            guard.ask({"do": "arm", "actor": "demo", "why": "the demo"})
        clock.lap("daemon start")
        if url:
            clock.say(f"the status page: {url}")
        first = on.chain.block().number
        look(on, guard, health, first)
        on.chain.rpc("evm_setAutomine", False)
        for index, why in enumerate(on.steps):
            if why:
                clock.say(f"block {on.chain.block().number + 1}: {why}")
            on.submit(index)
            number = on.chain.mine().number
            reactions.mined()
            guard.caught_up(number)
            reactions.idle()
            look(on, guard, health, number)
            liquidations += on.race(index, dry_run=dry_run)
            reactions.mined()
            guard.caught_up(on.chain.block().number)
            reactions.idle()
            look(on, guard, health, on.chain.block().number)
            if url:
                time.sleep(STEP_S)
        on.chain.rpc("evm_setAutomine", True)
        last = on.chain.block().number
        if url:
            stay(on, clock, url)
    return Played(
        dry_run=dry_run,
        health={account: tuple(path) for account, path in health.items()},
        liquidations=tuple(liquidations),
        transactions=nonce(on) - nonce_before,
        first_block=first,
        last_block=last,
        slowest_s=reactions.slowest_s,
    )


def look(on: Playable, guard: Guard, health: dict[str, list[int]], block_number: int) -> None:
    """Health of guarded positions after a block, as the keeper sees them."""
    view = guard.caught_up(block_number)
    seen = {p["label"]: p["health_wad"] for p in view["positions"]}
    for pair in on.pairs:
        told = seen.get(pair.label)
        health[pair.guarded].append(0 if told is None else int(told))


def nonce(on: Playable) -> int:
    """Transactions that the keeper's wallet has sent."""
    wallet = load(on.config).wallet.address
    return int(on.chain.rpc("eth_getTransactionCount", wallet, "latest"), 16)
