"""The ground of kills, races, hosts and reorganisations: a node with a tally, and a keeper without its daemon.

The keeper is endpoints, journal, sender and confirmation, joined as the daemon joins them; its next action is the
first that the chain does not show as done, and the tally counts how often each was.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import Attempt, Block, Call, Plan, Refusal, Snapshot
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.transaction.nobody import silent
from keeper.transaction.send import Live
from keeper.units import WAD
from tests.keystores import CANARY, address_of
from tests.plans import CHAIN_ID, plan, position_id, snapshot

TALLY = to_checksum_address("0x" + "c1" * 20)
COUNT_BY_ID = bytes.fromhex("60043580546001019055" + "00")
"""PUSH1 4 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE STOP: slot ``id`` counts how often it was done."""
CALL = AllowedCall(target=TALLY, name="act", arguments=(Argument(kind="uint256", at_most=2**64),))
MEMORY = Path("/dev/shm")
"""A killed process loses nothing that it wrote, on whatever disk; without one, ten thousand lives pass sooner."""
SHARDS = 4
"""More than cores: most of a life is waiting for blocks."""
BLOCK_S = 0.05


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

    def first_open(self) -> int:
        """The first action that is not done."""
        action = self.first
        while self.times(action):
            action += 1
        return action


@contextmanager
def ground(seed: int, *, history: bool = False) -> Iterator[Ground]:
    """A fresh node without automatic mining; ``history`` keeps old states, which a reorganisation needs."""
    folder = Path(tempfile.mkdtemp(prefix="keeper-ground-", dir=MEMORY if MEMORY.is_dir() else None))
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


_OF_THE_SHARD: list[Ground] = []


@contextmanager
def one_a_shard(*, history: bool = False) -> Iterator[None]:
    """A ground for all units of a campaign's shard."""
    with ground(os.getpid(), history=history) as made:
        _OF_THE_SHARD.append(made)
        try:
            yield
        finally:
            _OF_THE_SHARD.remove(made)


def of_the_shard(unit: int) -> Ground:
    """The shard's ground, with that unit's chances."""
    _OF_THE_SHARD[-1].rng.seed(unit)
    return _OF_THE_SHARD[-1]


@dataclass(kw_only=True)
class Hands:
    """A keeper of one position."""

    endpoints: Endpoints
    journal: Journal
    live: Live
    confirmation: Confirmation
    first: int
    """Before this action everything is done."""
    final: bool = True
    """False where a reorganisation may take back what was done."""
    seen: str = ""

    async def tick(self, *, act: bool = True) -> Attempt | Refusal | None:
        """Tend what was sent and, where nothing is open, act. Raises Transient, Raced, Broken."""
        block = await latest(self.endpoints)
        if block.hash == self.seen:
            await asyncio.sleep(0.01)
            return None
        self.seen = block.hash
        taken = await snapshot_at(self.endpoints, block)
        await self.confirmation.tend(block, taken)
        if not act or self.journal.open_intents(CHAIN_ID):
            return None
        action = await next_action(self.endpoints, block, self.first)
        self.first = action if self.final else self.first
        return await self.live.act(plan_of(self.journal.next_seq(position_id()), block, action), taken)


@asynccontextmanager
async def hands(
    on: Ground,
    name: str = "journal",
    *,
    adopted: int = 0,
    probe: Callable[[str], None] = silent,
    final: bool = True,
) -> AsyncIterator[Hands]:
    """A keeper on its own journal, which answers from nonce ``adopted`` on; recovered."""
    clock, address = SystemClock(), address_of()
    endpoints = await Endpoints.open(settings_of(on.node.url), clock, lambda event: None)
    try:
        with Journal.open(on.folder / f"{name}.sqlite", clock) as journal:
            if journal.next_nonce(CHAIN_ID, address) is None:
                journal.adopt_nonce(CHAIN_ID, address, adopted, "accepted when this was set up")
            live = Live(journal, endpoints, signer(), probe=probe)
            confirmation = Confirmation(journal, endpoints, live, address)
            await recover(journal, endpoints, clock, CHAIN_ID, address)
            yield Hands(
                endpoints=endpoints,
                journal=journal,
                live=live,
                confirmation=confirmation,
                first=on.first,
                final=final,
            )
    finally:
        await endpoints.close()


def signer() -> LocalSigner:
    """The key, which may call the tally and nothing else."""
    policy = SigningPolicy(chain_id=CHAIN_ID, address=address_of(), calls=(CALL,), fee_wei_max=10**20)
    return LocalSigner(Key(CANARY), policy)


def settings_of(url: str) -> ChainSettings:
    """The node as the only endpoint."""
    endpoint = EndpointSettings(name="anvil", url=url, ws_url=None, rate_per_s=1e6, concurrency=16)
    return ChainSettings(
        name="anvil",
        chain_id=CHAIN_ID,
        block_time_s=BLOCK_S,
        multicall="0x" + "ca" * 20,
        native_token=None,
        endpoints=(endpoint,),
    )


async def snapshot_at(endpoints: Endpoints, block: Block) -> Snapshot:
    """The wallet as the chain has it at ``block``, and a position in need of nothing more."""
    address, at = address_of(), {"blockHash": block.hash}
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


async def next_action(endpoints: Endpoints, block: Block, first: int) -> int:
    """The first action that is not done in the state of ``block``."""
    while True:
        told = await endpoints.request("eth_getStorageAt", [TALLY, hex(first), {"blockHash": block.hash}])
        if int(str(told), 16) == 0:
            return first
        first += 1


def plan_of(seq: int, block: Block, action: int) -> Plan:
    """A plan that does ``action``."""
    made = plan(seq, at=block, urgent=action % 3 == 0)
    call = Call(target=TALLY, data=CALL.selector + action.to_bytes(32))
    bounds = replace(made.bounds, gas_limit=100_000, fee_wei_max=10**20, deadline_block=block.number + 10)
    return replace(made, call=call, bounds=bounds)
