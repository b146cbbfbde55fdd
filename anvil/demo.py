"""``keeper demo``: a story played twice at once, for guarded borrowers and for their unprotected twins."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anvil import shock
from anvil.gap import Gap
from anvil.guard import START_S, Guard, GuardFailed
from anvil.liquidator import Liquidation
from anvil.node import AnvilFailed
from anvil.report import Played, Report, build, keep, show
from anvil.scenario import ScenarioError, load_scenario, submit_step
from anvil.stage import Stage, forget_key, stage
from anvil.tools import ToolMissing
from keeper.config import load
from keeper.errors import EXIT_FINDINGS, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE
from keeper.granting import grant
from keeper.notify import log

STEP_S = 1.5
"""Between two steps when somebody looks."""


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
        story = load_scenario(scenario)
    except ScenarioError as e:
        print(e, file=sys.stderr)
        return EXIT_USAGE
    clock = Clock()
    # the daemon logs to a file of its own; what probes on snapshots would log is noise here
    log.configure(json_lines=False, level=logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory(prefix="keeper-demo-") as folder:
            clock.say("a fresh chain, the Aave v3.6 market, borrowers and their twins")
            with stage(story, Path(folder), mode="dry-run" if dry_run else "live") as on:
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


def tell(on: Stage, clock: Clock, *, dry_run: bool, url: str = "") -> Report:
    """Grants, the story, and (live) how large a single step each position would have survived."""
    clock.lap("chain and market")
    tokens = {s: str(amount) for s, amount in on.scenario.keeper.tokens.items()}
    asyncio.run(grant(load(on.config), tokens, True))
    clock.lap("grants")
    if dry_run:
        forget_key(on.folder)  # a dry-run that loads a key ends here
    gap = Gap(on)
    played = play(on, clock, dry_run=dry_run, url=url)
    report = build(on, played)
    clock.lap("the fall")
    if dry_run:
        return report
    clock.say("how large a single oracle step would each position have survived? (bisected on snapshots)")
    steps = {p.label: gap.largest(p.guarded, tuple(p.borrower.collateral)) for p in on.pairs}
    clock.lap("largest steps")
    return replace(report, largest_step=steps)


def page_url(on: Stage) -> str:
    """Where the daemon of this stage is told to serve its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    with on.config.open("a") as config:
        config.write(f"[page]\nlisten = '{at}'\n")
    return f"http://{at}"


def stay(on: Stage, clock: Clock, url: str) -> None:
    """The page stays up, over quiet blocks, until somebody has seen enough."""
    clock.say(f"the story is over; its page stays at {url} until you press Enter")
    # without new blocks the daemon would be BLIND, and say so
    while not select.select([sys.stdin], [], [], STEP_S)[0]:
        on.chain.mine()


def play(on: Stage, clock: Clock, *, dry_run: bool, url: str = "") -> Played:
    """The whole story, block by block, against a real daemon in a process of its own."""
    health: dict[str, list[int]] = {account: [] for account in on.accounts}
    liquidations: list[Liquidation] = []
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
        for index, step in enumerate(on.scenario.step):
            if step.why:
                clock.say(f"block {on.chain.block().number + 1}: {step.why}")
            submit_step(on.chain, on.market, on.scenario, index)
            number = on.chain.mine().number
            reactions.mined()
            guard.caught_up(number)
            reactions.idle()
            look(on, guard, health, number)
            shock.set_base_fee(on.chain, on.scenario.base_fee_wei(index))
            liquidations += race(on)
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


def race(on: Stage) -> tuple[Liquidation, ...]:
    """The block after an oracle update: the liquidator takes what it may, beside whatever the keeper sent."""
    before = on.chain.block().number
    done = on.liquidator.act(on.accounts, mine=True)
    if on.chain.block().number == before:
        on.chain.mine()
    return done


def look(on: Stage, guard: Guard, health: dict[str, list[int]], block_number: int) -> None:
    """Health after a block: guarded positions as the keeper sees them, twins as the pool does."""
    view = guard.caught_up(block_number)
    seen = {p["label"]: p["health_wad"] for p in view["positions"]}
    for pair in on.pairs:
        told = seen.get(pair.label)
        health[pair.guarded].append(0 if told is None else int(told))
        health[pair.twin].append(on.actors.account(pair.twin, block=block_number).health_wad)


def nonce(on: Stage) -> int:
    """Transactions that the keeper's wallet has sent."""
    wallet = load(on.config).wallet.address
    return int(on.chain.rpc("eth_getTransactionCount", wallet, "latest"), 16)
