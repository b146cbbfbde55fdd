"""One endpoint says that a nonce is used while our transaction is pending: two must, before another's is believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.errors import Rejected, Transient
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState
SILENT = Transient("timed out")
PRUNED = Rejected(-32000, "missing trie node")


class Counted(ChainDouble):
    """Endpoints that each tell a count of their own; of receipts they all tell the truth."""

    def __init__(self, *told: object) -> None:
        super().__init__()
        self.told: Sequence[object] = told
        self.chain = SimpleNamespace(endpoints=told)

    def _count(self, tag: object) -> int:
        return self.told[0] if isinstance(self.told[0], int) else super()._count(tag)

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """Each endpoint's own word."""
        if method == "eth_getTransactionReceipt":
            return tuple(self._receipt(params[0]) for _ in self.told)
        return tuple(hex(n) if isinstance(n, int) else n for n in self.told)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


def watched(journal: Journal, chain: Counted, blocks: int) -> tuple[list[IntentState], list[str]]:
    """A plan is pending, and photographs show its nonce as used: its state and troubles, block by block."""
    live = Live(journal, chain, FakeSigner())
    confirmation = Confirmation(journal, chain, live, WALLET)
    told, chain.told = chain.told, tuple(0 for _ in chain.told)
    run(live.act(plan(at=chain.head), snapshot(chain.head)))
    chain.told = told
    states, troubles = [], []
    for _ in range(blocks):
        at = chain.mine(empty=True)
        run(confirmation.tend(at, snapshot(at, nonce=1)))
        found = journal.intent(plan().key)
        assert found is not None
        states.append(found.state)
        troubles.append(confirmation.troubles.get(plan().key, ""))
    return states, troubles


@pytest.mark.parametrize("told", [(1, 0), (1, 0, 0), (1, SILENT, 0), (9, 0, PRUNED)])
def test_missing__when_one_endpoint_calls_a_pending_nonce_used__then_the_key_goes_on(
    journal: Journal, told: tuple[object, ...]
) -> None:
    states, troubles = watched(journal, Counted(*told), 12)
    assert states == [S.SENT] * 12
    assert journal.taken_nonce(CHAIN_ID, WALLET) is None
    assert all("endpoints disagree" in t for t in troubles[1:])


@pytest.mark.parametrize("told", [(1, 1), (1, 0, 1), (2, 1, SILENT)])
def test_missing__when_two_say_that_it_is_used__then_believed_as_before(
    journal: Journal, told: tuple[object, ...]
) -> None:
    states, _ = watched(journal, Counted(*told), 3)
    assert states == [S.SENT, S.REPLACED, S.REPLACED]
    assert journal.taken_nonce(CHAIN_ID, WALLET) == 0


@pytest.mark.parametrize("told", [(1, SILENT), (1, PRUNED, SILENT)])
def test_missing__when_no_other_says_anything__then_believed_after_a_minute(
    journal: Journal, told: tuple[object, ...]
) -> None:
    states, troubles = watched(journal, Counted(*told), 8)
    assert states == [S.SENT] * 5 + [S.REPLACED] * 3
    assert all("not every endpoint says so" in t for t in troubles[1:5])


def test_missing__when_nobody_tells_any_count__then_it_stays_open_and_is_said(journal: Journal) -> None:
    states, troubles = watched(journal, Counted(SILENT, PRUNED), 8)
    assert states == [S.SENT] * 8
    assert "no endpoint tells the wallet's nonce" in troubles[-1]
