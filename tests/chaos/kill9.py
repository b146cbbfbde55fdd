"""SIGKILL again and again: real signatures, sockets, node and disk; each action happens once.

The parent has everything imported and forks a worker for each life. A worker recovers, follows heads and acts
on the first action that the chain does not show as done; it dies at a named point, or at a random moment.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eth_utils.address import to_checksum_address

from anvil.client import Chain
from anvil.node import Anvil, AnvilSettings
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings
from keeper.confirmation import Confirmation
from keeper.errors import Raced, Transient
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import Block, Call, Plan, Snapshot
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.transaction.send import Live
from keeper.units import WAD
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.keystores import CANARY, address_of
from tests.plans import CHAIN_ID, plan, position_id, snapshot

TALLY = to_checksum_address("0x" + "c1" * 20)
COUNT_BY_ID = bytes.fromhex("60043580546001019055" + "00")
"""PUSH1 4 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE STOP: slot ``id`` counts how often it was done."""
CALL = AllowedCall(target=TALLY, name="act", arguments=(Argument(kind="uint256", at_most=2**64),))
POINTS = ("planned", "signed", "journaled", "broadcast", "sent")
MEMORY = Path("/dev/shm")
"""A killed process loses nothing that it wrote, on whatever disk; without one, ten thousand lives pass sooner."""
KILLS_A_UNIT = 25
KILLS = 10_000
SHARDS = 4
"""More than cores: most of a life is waiting for blocks."""
BLOCK_S = 0.05
LIFE_S_MAX = 0.6
SETTLE_BLOCKS = 14
RESUMED_S_MAX = 12.0


@dataclass(kw_only=True)
class Ground:
    """A node with the tally on it, and a disk, for as many lives as wanted."""

    node: Anvil
    chain: Chain
    folder: Path
    rng: random.Random
    first: int = 1

    def mine(self) -> None:
        """One block, sometimes at a higher base fee so that fees must rise."""
        if self.rng.random() < 0.1:
            wei = self.rng.choice((1, 3, 9, 20)) * 10**9
            self.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))
        self.chain.rpc("evm_mine")

    def times(self, action: int) -> int:
        """How often an action was done."""
        return int(self.chain.rpc("eth_getStorageAt", TALLY, hex(action), "latest"), 16)


@contextmanager
def ground(seed: int, *, history: bool = False) -> Iterator[Ground]:
    """A fresh node without automatic mining; ``history`` keeps old states, which a reorganisation needs."""
    folder = Path(tempfile.mkdtemp(prefix="keeper-kill9-", dir=MEMORY if MEMORY.is_dir() else None))
    with Anvil(AnvilSettings(mining=False, prune_history=not history)) as node:
        chain = Chain(node.url)
        try:
            chain.rpc("anvil_setCode", TALLY, "0x" + COUNT_BY_ID.hex())
            chain.rpc("anvil_setBalance", address_of(), hex(10**24))
            made = Ground(node=node, chain=chain, folder=folder, rng=random.Random(seed))
            made.mine()
            yield made
        finally:
            chain.close()
            shutil.rmtree(folder, ignore_errors=True)


def kills(on: Ground, many: int) -> Verdict:
    """So many lives that end by SIGKILL, then one that may finish; what was doubled, what was missed."""
    done_before = on.first
    counts = {"kills": 0, "doubled": 0, "missed": 0, "slow": 0}
    for _ in range(many):
        point = on.rng.choice((*POINTS, ""))
        after_s = on.rng.uniform(0.02, LIFE_S_MAX) if not point else 5.0
        status = _life(on, point, on.rng.choice((1, 1, 1, 2, 3)), after_s)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return Verdict(counts=counts, failure=f"a worker ended by itself: {_why(on)}")
        counts["kills"] += 1
    # the next block's life may finish what was open: an action more than before, at least
    last = _first_open(on)
    started_s = time.monotonic()
    pid = _fork(on, "", 0)
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
    on.first = _first_open(on)
    tallies = [on.times(k) for k in range(done_before, on.first + 5)]
    counts["actions"] = on.first - done_before
    counts["doubled"] = sum(1 for t in tallies if t > 1)
    counts["missed"] = 0 if resumed_s is not None else 1
    counts["slow"] = int(resumed_s is None or resumed_s > RESUMED_S_MAX)
    bad = counts["doubled"] or counts["missed"] or counts["slow"]
    return Verdict(counts=counts, failure=f"{tallies}, resumed after {resumed_s} s" if bad else "")


def _first_open(on: Ground) -> int:
    action = on.first
    while on.times(action):
        action += 1
    return action


def _life(on: Ground, point: str, nth: int, after_s: float) -> int:
    """One worker until it is dead; the chain goes on meanwhile. Its wait status."""
    pid = _fork(on, point, nth)
    started_s = time.monotonic()
    while True:
        time.sleep(BLOCK_S)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() - started_s > after_s:
            os.kill(pid, signal.SIGKILL)
        on.mine()


def _fork(on: Ground, point: str, nth: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        with (on.folder / "worker.log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            asyncio.run(_worker(on.node.url, on.folder / "journal.sqlite", on.first, (point, nth)))
    except BaseException:
        # told by hand: the copy of the parent must not unwind into the parent's own frames
        (on.folder / "worker.log").write_text(traceback.format_exc())
    finally:
        os._exit(3)


def _why(on: Ground) -> str:
    return (on.folder / "worker.log").read_text()[-600:]


async def _worker(url: str, path: Path, first: int, die: tuple[str, int]) -> None:
    """A keeper of one position whose next action is the first that the chain does not show."""
    left = die[1]

    def probe(point: str) -> None:
        nonlocal left
        if point == die[0]:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    clock, address = SystemClock(), address_of()
    endpoints = await Endpoints.open(_settings(url), clock, lambda event: None)
    journal = Journal.open(path, clock)
    if journal.next_nonce(CHAIN_ID, address) is None:
        journal.adopt_nonce(CHAIN_ID, address, 0, "nobody else uses this key")
    policy = SigningPolicy(chain_id=CHAIN_ID, address=address, calls=(CALL,), fee_wei_max=10**20)
    live = Live(journal, endpoints, LocalSigner(Key(CANARY), policy), probe=probe)
    confirmation = Confirmation(journal, endpoints, live, address)
    await recover(journal, endpoints, clock, CHAIN_ID, address)
    seen = ""
    while True:
        try:
            block = await latest(endpoints)
            if block.hash == seen:
                await asyncio.sleep(0.01)
                continue
            seen = block.hash
            taken = await _snapshot(endpoints, block, address)
            await confirmation.tend(block, taken)
            if not journal.open_intents(CHAIN_ID):
                first = await _next_action(endpoints, block, first)
                await live.act(_plan(journal.next_seq(position_id()), block, first), taken)
        except (Transient, Raced) as error:
            # the chain moves every 50 ms: a block may be gone before it was read
            print(type(error).__name__, error, flush=True)


def _settings(url: str) -> ChainSettings:
    endpoint = EndpointSettings(name="anvil", url=url, ws_url=None, rate_per_s=1e6, concurrency=16)
    return ChainSettings(
        name="anvil",
        chain_id=CHAIN_ID,
        block_time_s=BLOCK_S,
        multicall="0x" + "ca" * 20,
        native_token=None,
        endpoints=(endpoint,),
    )


async def _snapshot(endpoints: Endpoints, block: Block, address: str) -> Snapshot:
    at = {"blockHash": block.hash}
    nonce, native = await asyncio.gather(
        endpoints.request("eth_getTransactionCount", [address, at]),
        endpoints.request("eth_getBalance", [address, at]),
    )
    return snapshot(
        block,
        nonce=int(str(nonce), 16),
        native_wei=int(str(native), 16),
        wallet=address,
        health_wad=WAD * 13 // 10,
    )


async def _next_action(endpoints: Endpoints, block: Block, first: int) -> int:
    """The first action that is not done in the state of ``block``."""
    while True:
        told = await endpoints.request("eth_getStorageAt", [TALLY, hex(first), {"blockHash": block.hash}])
        if int(str(told), 16) == 0:
            return first
        first += 1


def _plan(seq: int, block: Block, action: int) -> Plan:
    made = plan(seq, at=block, urgent=action % 3 == 0)
    call = Call(target=TALLY, data=CALL.selector + action.to_bytes(32))
    bounds = replace(made.bounds, gas_limit=100_000, fee_wei_max=10**20, deadline_block=block.number + 10)
    return replace(made, call=call, bounds=bounds)


def record_kills(counts: Counts, done: int, failures: list[str]) -> None:
    """kill9_runs, kill9_doubled, kill9_missed."""
    n, evidence = counts.get("kills", 0), "own_double"
    doubled, missed = counts.get("doubled", 0), counts.get("missed", 0) + counts.get("slow", 0)
    record("kill9_runs", n, bound=f">= {KILLS}", holds=n >= KILLS, evidence=evidence, n=n)
    record("kill9_doubled", doubled, bound="= 0", holds=doubled == 0, evidence=evidence, n=n)
    record("kill9_missed", missed, bound="= 0", holds=missed == 0, evidence=evidence, n=n)


_GROUND: list[Ground] = []


@contextmanager
def _on_ground() -> Iterator[None]:
    with ground(os.getpid()) as made:
        _GROUND.append(made)
        yield


def _unit(number: int) -> Verdict:
    _GROUND[-1].rng.seed(number)
    return kills(_GROUND[-1], KILLS_A_UNIT)


KILL9 = Campaign(
    name="kill9",
    units=KILLS // KILLS_A_UNIT,
    run=_unit,
    record=record_kills,
    around=_on_ground,
    shards=SHARDS,
)
__all__ = ["KILL9", "ground", "kills"]
