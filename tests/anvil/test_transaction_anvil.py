"""The money path over a real node and real signatures: raised, cancelled, reorganised, killed; mined once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from anvil.client import Chain
from anvil.node import Anvil, AnvilSettings
from anvil.transport import ChainTransport
from keeper.clock import SystemClock
from keeper.confirmation import Confirmation
from keeper.errors import Broken, KeeperError
from keeper.journal.recover import Remedy, recover
from keeper.journal.write import Journal
from keeper.model import Attempt, Block, Call, IntentState, Outcome, Plan, Snapshot
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.transaction.send import Live
from keeper.units import GWEI, WAD
from tests.keystores import CANARY, address_of
from tests.plans import CHAIN_ID, plan, snapshot

pytestmark = pytest.mark.anvil
S = IntentState
COUNTER = to_checksum_address("0x" + "c0" * 20)
COUNT_UP = bytes.fromhex("5f546001015f5500")
"""PUSH0 SLOAD PUSH1 1 ADD PUSH0 SSTORE STOP: every call adds one to slot 0, so that effects are counted."""
CALL = AllowedCall(target=COUNTER, name="poke", arguments=(Argument(kind="uint256", at_most=9),))


class NodeTransport(ChainTransport):
    """The same, which sends too."""

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """One endpoint."""
        try:
            return (str(self.chain.rpc("eth_sendRawTransaction", "0x" + raw.hex())),)
        except KeeperError as error:
            return (error,)


def poke(seq: int, at: Block, *, urgent: bool = False) -> Plan:
    """A plan whose effect is one count."""
    made = plan(seq, at=at, urgent=urgent)
    call = Call(target=COUNTER, data=CALL.selector + (1).to_bytes(32))
    bounds = replace(made.bounds, gas_limit=100_000, fee_wei_max=10**18)
    return replace(made, call=call, bounds=bounds)


@dataclass
class Keeper:
    """Real node, real key, real journal."""

    chain: Chain
    journal: Journal

    def __post_init__(self) -> None:
        self.transport = NodeTransport(self.chain)
        address = address_of()
        policy = SigningPolicy(chain_id=CHAIN_ID, address=address, calls=(CALL,), fee_wei_max=10**18)
        self.live = Live(self.journal, self.transport, LocalSigner(Key(CANARY), policy))
        self.confirmation = Confirmation(self.journal, self.transport, self.live, address)

    def head(self) -> Block:
        """The newest block."""
        found = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        return Block(
            chain_id=CHAIN_ID,
            number=int(found["number"], 16),
            hash=found["hash"],
            parent_hash=found["parentHash"],
            timestamp_s=int(found["timestamp"], 16),
            base_fee_wei=int(found["baseFeePerGas"], 16),
        )

    def snapshot(self) -> Snapshot:
        """The wallet at the newest block."""
        at, address = self.head(), address_of()
        nonce = int(self.chain.rpc("eth_getTransactionCount", address, hex(at.number)), 16)
        native = int(self.chain.rpc("eth_getBalance", address, hex(at.number)), 16)
        health = WAD * 13 // 10
        return snapshot(at, nonce=nonce, native_wei=native, wallet=address, health_wad=health)

    def recover(self) -> list[Remedy]:
        """Start-up."""
        found = recover(self.journal, self.transport, SystemClock(), CHAIN_ID, address_of())
        return [f.remedy for f in asyncio.run(found)]

    def act(self, seq: int = 1, *, urgent: bool = False) -> Attempt:
        """Plan at the head and send."""
        taken = self.snapshot()
        made = asyncio.run(self.live.act(poke(seq, taken.block, urgent=urgent), taken))
        assert isinstance(made, Attempt)
        return made

    def tend(self) -> tuple[Outcome, ...]:
        """One tending at the head."""
        taken = self.snapshot()
        return asyncio.run(self.confirmation.tend(taken.block, taken))

    def mine(self, *, base_fee_wei: int | None = None) -> None:
        """One block."""
        if base_fee_wei is not None:
            self.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        self.chain.rpc("evm_mine")

    @property
    def effects(self) -> int:
        """How often the counter was poked."""
        return int(self.chain.rpc("eth_getStorageAt", COUNTER, "0x0", "latest"), 16)

    @property
    def state(self) -> IntentState:
        """Of the first intent."""
        found = self.journal.intent(plan().key)
        assert found is not None
        return found.state


@pytest.fixture
def node(anvil_binary: None) -> Iterator[Anvil]:
    with Anvil(AnvilSettings(mining=False)) as running:
        yield running


@pytest.fixture
def keeper(node: Anvil, tmp_path: Path) -> Iterator[Keeper]:
    chain = Chain(node.url)
    chain.rpc("anvil_setBalance", address_of(), hex(100 * 10**18))
    chain.rpc("anvil_setCode", COUNTER, "0x" + COUNT_UP.hex())
    chain.rpc("evm_mine")
    chain.rpc("evm_mine")
    with Journal.open(tmp_path / "journal.sqlite", SystemClock()) as journal:
        made = Keeper(chain, journal)
        assert made.recover() == [Remedy.ADOPTED]
        yield made
    chain.close()


def test_live__when_all_is_well__then_mined_confirmed_and_free_for_the_next(keeper: Keeper) -> None:
    made = keeper.act()
    assert keeper.state is S.SENT
    keeper.mine()
    (outcome,) = keeper.tend()
    assert (outcome.state, outcome.tx_hash, outcome.surprise) == (S.INCLUDED, made.hash, "")
    assert outcome.gas_used > 21_000
    assert keeper.act(2).nonce == 1
    keeper.mine()
    keeper.tend()
    assert keeper.effects == 2


def test_live__when_the_base_fee_rises_twentyfold_after_sending__then_raised_and_mined_exactly_once(
    keeper: Keeper,
) -> None:
    made = keeper.act()
    spike = 20 * keeper.head().base_fee_wei
    assert made.fee.max_fee_wei < spike
    # anvil forgets a transaction that a block's base fee passes over: a stuck pool and a lossy one at once
    keeper.mine(base_fee_wei=spike)
    assert keeper.effects == 0
    for _ in range(3):
        outcomes = keeper.tend()
        if outcomes:
            break
        keeper.mine(base_fee_wei=spike)
    assert [o.state for o in outcomes] == [S.INCLUDED]
    assert keeper.effects == 1
    found = keeper.journal.intent(plan().key)
    assert found is not None
    assert {a.nonce for a in found.attempts} == {made.nonce}
    assert len(found.attempts) >= 2
    # every byte string ever signed is thrown at the chain again: none can act a second time
    for attempt in found.attempts:
        asyncio.run(keeper.transport.broadcast(attempt.raw))
    keeper.mine(base_fee_wei=GWEI)
    assert keeper.effects == 1


def test_live__when_nobody_mines_until_the_deadline__then_cancelled_without_effect(keeper: Keeper) -> None:
    keeper.act()
    blocks = 0
    while keeper.state is not S.CANCELLING:
        keeper.chain.rpc("anvil_dropAllTransactions")
        keeper.mine(base_fee_wei=GWEI)
        keeper.tend()
        blocks += 1
    assert blocks == 11
    keeper.mine(base_fee_wei=GWEI)
    assert [o.state for o in keeper.tend()] == [S.CANCELLED]
    assert keeper.effects == 0
    assert keeper.act(2).nonce == 1


def test_live__when_the_inclusion_is_reorganised_away__then_sent_again_and_mined_once(keeper: Keeper) -> None:
    keeper.act()
    keeper.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    keeper.chain.rpc("anvil_reorg", 1, [])
    assert keeper.effects == 0
    keeper.mine()
    assert [o.state for o in keeper.tend()] == [S.SENT]
    keeper.mine()
    assert [o.state for o in keeper.tend()] == [S.INCLUDED]
    assert keeper.effects == 1


def test_live__when_the_call_reverts__then_refused_before_anything_is_signed(keeper: Keeper) -> None:
    keeper.chain.rpc("anvil_setCode", COUNTER, "0x5f5ffd")
    taken = keeper.snapshot()
    refusal = asyncio.run(keeper.live.act(poke(1, taken.block), taken))
    assert getattr(refusal, "code", None) == "simulation_reverted"
    # its intent may have been journaled while the node was asked
    assert all((i.state, i.attempts) == (S.ABANDONED, ()) for i in keeper.journal.intents())


def test_live__when_somebody_else_uses_the_key__then_broken_and_nothing_signed(keeper: Keeper) -> None:
    keeper.chain.rpc("anvil_setNonce", address_of(), "0x3")
    keeper.mine()
    with pytest.raises(Broken, match="foreign nonce"):
        keeper.act()
    with pytest.raises(Broken, match="foreign nonce"):
        keeper.recover()


WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from anvil.client import Chain
from keeper.clock import SystemClock
from keeper.journal.write import Journal
from tests.anvil.test_transaction_anvil import Keeper
url, path, point = sys.argv[1:]
def probe(at):
    if at == point:
        os.kill(os.getpid(), signal.SIGKILL)
with Journal.open(Path(path), SystemClock()) as journal:
    keeper = Keeper(Chain(url), journal)
    keeper.live._probe = probe
    keeper.recover()
    keeper.act()
"""


@pytest.mark.parametrize("point", ["planned", "signed", "journaled", "broadcast", "sent"])
def test_kill__when_at_any_point__then_the_restart_leaves_exactly_one_effect(
    keeper: Keeper, node: Anvil, tmp_path: Path, point: str
) -> None:
    path = tmp_path / "killed.sqlite"
    died = subprocess.run(
        [sys.executable, "-c", WORKER, node.url, str(path), point],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    started = time.monotonic()
    with Journal.open(path, SystemClock()) as journal:
        again = Keeper(keeper.chain, journal)
        signed = point not in ("planned", "signed")
        assert again.recover() == [Remedy.RESENT if signed else Remedy.ABANDONED]
        if not signed:
            again.act(2)
        again.mine()
        assert [o.state for o in again.tend()] == [S.INCLUDED]
        assert journal.open_intents() == ()
    assert again.effects == 1
    assert time.monotonic() - started < 12
