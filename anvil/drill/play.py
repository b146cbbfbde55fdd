"""One course on the fork, block by block: an update, whoever reacts, the competitor, and what is left afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from anvil import shock
from anvil.client import Chain
from anvil.drill import feeds, pools
from anvil.drill.course import Course, Update
from anvil.drill.feeds import Feed
from anvil.drill.fork import Market, Purse, equity_usd
from anvil.drill.home import Home
from anvil.drill.pools import Pool
from anvil.drill.rival import Rival
from anvil.guard import START_S, Guard, GuardFailed
from keeper.cli.policy import policy_text
from keeper.clock import SystemClock
from keeper.config import Settings, load
from keeper.journal.write import Journal
from keeper.model import Position
from keeper.signer.store import Store
from keeper.units import WAD

CALM = 3
"""Blocks after the last update in which nothing moves: what was begun may end."""
AHEAD_S = 3.0
"""A daemon looks for delayed prices every two seconds; the hour that Maker gives it is not waited for."""
SIGNER_S = 30.0
WHO = "drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The fork as both runs find it: market, oracle, pools, competitor, and whose money counts."""

    chain: Chain
    market: Market
    feeds: tuple[Feed, ...]
    pools: tuple[Pool, ...]
    rival: Rival
    purse: Purse
    base_fee_wei: int

    @property
    def delayed(self) -> bool:
        """Whether a price is known one update before it counts."""
        return any(f.poked is not None for f in self.feeds)

    def land(self, update: Update) -> None:
        """Feeds answer, and pools stand, as ``update`` says from the next block on."""
        feeds.submit(self.chain, self.feeds, update)
        symbols = {t.address: t.symbol for t in self.purse.tokens}
        multiples = {address: update.multiple(symbol) for address, symbol in symbols.items()}
        pools.bring(self.chain, self.pools, multiples)

    def mine(self) -> int:
        """The next block, at the drill's price of gas; its number."""
        shock.set_base_fee(self.chain, self.base_fee_wei)
        return self.chain.mine().number


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The position and the money around it at one block."""

    block: int
    health: float
    """Infinite without debt."""
    equity_usd: float
    purse_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One update and the block after it."""

    update: Moment
    after: Moment
    liquidated: bool
    sent: int
    """Transactions of the keeper's that were mined since the update."""

    @property
    def drop_usd(self) -> float:
        """What became less between the two blocks, in which no price moved: fees, slippage, gas, or a penalty."""
        before = max(self.update.equity_usd, 0.0) + self.update.purse_usd
        return before - max(self.after.equity_usd, 0.0) - self.after.purse_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way through the course."""

    start: Moment
    turns: tuple[Turn, ...]

    @property
    def liquidations(self) -> int:
        """Blocks in which the competitor took its part."""
        return sum(t.liquidated for t in self.turns)

    @property
    def lost_usd(self) -> float:
        """Bonus and fees that liquidations took; a rescue in the same block counts with them."""
        return sum(t.drop_usd for t in self.turns if t.liquidated)

    @property
    def cost_usd(self) -> float:
        """What the keeper's own actions cost: gas, swap fees, slippage, loans."""
        return sum(t.drop_usd for t in self.turns if t.sent and not t.liquidated)

    @property
    def sent(self) -> int:
        """The keeper's transactions."""
        return sum(t.sent for t in self.turns)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Every block looked at."""
        return (self.start, *(m for t in self.turns for m in (t.update, t.after)))

    @property
    def lowest(self) -> float:
        """The least health of any block."""
        return min(m.health for m in self.moments)


def play(
    on: Scene,
    course: Course,
    *,
    wait: Callable[[int], object],
    said: Callable[[str], None],
    ahead_s: float = 0.0,
) -> Run:
    """Run the course; ``wait`` returns when the keeper has judged a block and is idle (nobody: at once).

    ``ahead_s``: what a keeper is given to look for prices that are known before they count.
    """
    start, turns, left_usd = look(on), list[Turn](), 0.0
    rests = [Update(shock=course.updates[-1].shock)] * CALM
    for n, update in enumerate((*course.updates, *rests), 1):
        on.land(update)
        nonce = _nonce(on)
        wait(on.mine())
        if on.delayed:
            time.sleep(ahead_s)
            wait(on.mine())
        position, moment = _seen(on)
        struck = on.rival.strike(position)
        wait(on.mine())
        ended, after = _seen(on)
        taken, moment = on.rival.took(struck), _beside(moment, left_usd)
        left_usd += on.rival.left_usd(position, ended) if taken else 0.0
        after = _beside(after, left_usd)
        turns.append(Turn(update=moment, after=after, liquidated=taken, sent=_nonce(on) - nonce))
        for _ in range(update.rest):
            wait(on.mine())
        said(
            f"update {n} of {len(course.updates) + CALM}: health {moment.health:.4f}, then {after.health:.4f}"
        )
    return Run(start=start, turns=tuple(turns))


def _beside(moment: Moment, left_usd: float) -> Moment:
    """The moment with what former liquidations left to the owner beside the position."""
    return replace(moment, equity_usd=moment.equity_usd + left_usd)


def look(on: Scene) -> Moment:
    """The newest block."""
    return _seen(on)[1]


def _seen(on: Scene) -> tuple[Position, Moment]:
    position, snapshot = on.market.seen()
    health = position.health_wad
    moment = Moment(
        block=snapshot.block.number,
        health=health / WAD if health is not None and health < 2**200 else float("inf"),
        equity_usd=equity_usd(position),
        purse_usd=on.purse.usd(on.chain, snapshot),
    )
    return position, moment


def _nonce(on: Scene) -> int:
    return int(on.chain.rpc("eth_getTransactionCount", on.purse.wallet, "latest"), 16)


@contextmanager
def guarded(on: Scene, home: Home) -> Iterator[Guard]:
    """``keeper run`` and its signer, each a process of its own, armed; both end with the block."""
    settings = load(home.config)
    armed(settings, on)
    with _signing(on, home), Guard(home.config) as guard:
        guard.caught_up(on.chain.block().number, within_s=START_S)
        yield guard


def armed(settings: Settings, on: Scene) -> None:
    """Arm the configuration in a journal of its own, for the wallet as it stands."""
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", settings.digest, WHO, "a drill on a fork")
        if _nonce(on):
            wallet = settings.wallet.address or ""
            journal.adopt_nonce(settings.chains[0].chain_id, wallet, _nonce(on), "approvals on the fork", WHO)


@contextmanager
def _signing(on: Scene, home: Home) -> Iterator[None]:
    """``python -m keeper.signer``: the process that holds the throwaway key."""
    policy, store = home.folder / "policy.json", home.folder / "signer.sqlite"
    policy.touch(0o600)
    policy.write_text(asyncio.run(policy_text(load(home.config))))
    keys = [
        "--keystore",
        str(home.folder / "keystore.json"),
        "--password-file",
        str(home.folder / "password"),
    ]
    where = ["--socket", str(home.socket), "--policy", str(policy), "--store", str(store)]
    with closing(Store.create(store)) as fresh:
        fresh.adopt(load(home.config).chains[0].chain_id, _nonce(on), "a drill", SystemClock().now_s())
    with (home.folder / "signer.log").open("ab") as log:
        line = [sys.executable, "-m", "keeper.signer", "run", *where, *keys]
        process = subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + SIGNER_S
        while not home.socket.exists():
            if process.poll() is not None or time.monotonic() > deadline_s:
                tail = (home.folder / "signer.log").read_text(errors="replace")[-600:]
                raise GuardFailed(f"the signer did not start: {tail}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
