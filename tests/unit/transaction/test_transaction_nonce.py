"""A count that is ahead of the journal: two endpoints must say so, and while one alone does nothing is signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Disputed, Transient
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import Attempt
from keeper.transaction.send import Live
from keeper.voices import counts
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
SILENT = Transient("timed out")
Said = int | object


class Voices(ChainDouble):
    """The chain of the double as several endpoints tell its nonce: each by itself, the first one to everybody."""

    def __init__(self, *told: Said, configured: int = 0) -> None:
        super().__init__()
        self.told = told
        self.chain = SimpleNamespace(endpoints=("endpoint",) * (configured or len(told)))
        self.asked_each = 0

    def _count(self, tag: object) -> int:
        first = self.told[0]
        return first if isinstance(first, int) else super()._count(tag)

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """Each endpoint's own word."""
        assert method == "eth_getTransactionCount"
        assert params == [WALLET, "latest"]
        assert count >= len(self.told)
        self.asked_each += 1
        return tuple(hex(n) if isinstance(n, int) else n for n in self.told)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


class House:
    """One sender before several endpoints."""

    def __init__(self, journal: Journal, chain: Voices) -> None:
        self.chain, self.signer = chain, FakeSigner()
        self.live = Live(journal, chain, self.signer)
        self.journal = journal

    def act(self) -> str:
        """What became of a plan at the head."""
        head = self.chain.head
        seq = self.journal.next_seq(plan().key.position)
        try:
            made = run(self.live.act(plan(seq, at=head), snapshot(head)))
        except (Broken, Transient) as error:
            return type(error).__name__
        assert isinstance(made, Attempt)
        return f"signed {made.nonce}"

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.chain.mine(empty=True)


@pytest.mark.parametrize(
    ("told", "configured", "becomes"),
    [
        ((8,), 1, "Broken"),
        ((8, 8), 2, "Broken"),
        ((8, 9, SILENT), 3, "Broken"),
        ((8, 0, 8), 3, "Broken"),
        ((8, 0), 2, "Disputed"),
        ((8, 0, 0), 3, "Disputed"),
        ((8,), 2, "Disputed"),
        ((8, SILENT), 2, "Disputed"),
        ((8, "0xzz", None), 3, "Disputed"),
        ((8, "0x" + "f" * 4_000), 2, "Disputed"),
        ((0, 8), 2, "signed 0"),
    ],
)
def test_act__when_a_count_is_ahead__then_two_of_several_stop_the_key_and_one_alone_stops_this_plan(
    journal: Journal, told: tuple[Said, ...], configured: int, becomes: str
) -> None:
    house = House(journal, Voices(*told, configured=configured))
    assert house.act() == becomes
    assert len(house.signer.asked) == (becomes == "signed 0")
    assert journal.open_intents() == () or becomes == "signed 0"


def test_act__when_the_liar_tells_the_truth_again__then_signed_without_a_restart(journal: Journal) -> None:
    house = House(journal, Voices(8, 0))
    assert house.act() == "Disputed"
    house.mine(1)
    house.chain.told = (0, 0)
    assert house.act() == "signed 0"


def test_act__when_another_really_uses_the_key__then_never_a_signature_from_the_first_look_on(
    journal: Journal,
) -> None:
    """The first endpoint has the newest block; the others hear of it a block later."""
    house = House(journal, Voices(1, 0, 0))
    assert house.act() == "Disputed"
    house.mine(1)
    house.chain.told = (1, 1, 0)
    assert house.act() == "Broken"
    assert house.signer.asked == []


def test_act__when_two_deny_it_block_after_block__then_one_liar_cannot_keep_the_key_from_acting(
    journal: Journal,
) -> None:
    house = House(journal, Voices(8, 0, 0))
    found = []
    for _ in range(3):
        found.append(house.act())
        house.mine(1)
    assert found == ["Disputed", "Disputed", "signed 0"]


@pytest.mark.parametrize("told", [(8, 0), (8, 0, SILENT), (8, SILENT, SILENT)])
def test_act__when_fewer_than_two_deny_it__then_it_waits_however_long(
    journal: Journal, told: tuple[Said, ...]
) -> None:
    house = House(journal, Voices(*told))
    for _ in range(6):
        assert house.act() == "Disputed"
        house.mine(1)


def test_act__when_blocks_are_fast_or_the_doubt_is_old__then_it_must_have_stood_long_enough_lately(
    journal: Journal,
) -> None:
    house = House(journal, Voices(8, 0, 0))
    assert house.act() == "Disputed"
    house.mine(30)
    assert house.act() == "Disputed", "nobody asked for minutes: this may be a new one"
    house.mine(1)
    house.chain.told = (8, 0)
    assert house.act() == "Disputed"
    house.mine(1)
    house.chain.told = (8, 0, 0)
    assert house.act() == "Disputed", "only one denied it in between"
    house.mine(1)
    house.chain.told = (0, 0, 0)
    assert house.act() == "signed 0"


def test_act__when_the_words_are_read__then_they_say_what_is_wrong(journal: Journal) -> None:
    chain = Voices(8, 0, 0)
    with pytest.raises(
        Disputed, match=r"one of 3 endpoints says .* has sent 8 transactions; 2 say 0 or less"
    ):
        run(Live(journal, chain, FakeSigner()).act(plan(), snapshot(chain.head)))


@pytest.mark.parametrize(
    ("told", "configured", "starts"),
    [((8,), 1, False), ((8, 8), 2, False), ((8, 0), 2, True), ((8, 0, 0), 3, True), ((8, SILENT), 2, True)],
)
def test_recover__when_a_count_is_ahead_at_a_start__then_one_of_several_does_not_stop_the_key(
    journal: Journal, told: tuple[Said, ...], configured: int, starts: bool
) -> None:
    chain = Voices(*told, configured=configured)
    recovering = recover(journal, chain, ManualClock(1.0), CHAIN_ID, WALLET)
    if starts:
        assert run(recovering) == ()
        assert House(journal, chain).act() == "Disputed", "and nothing is signed while it says so"
        return
    with pytest.raises(Broken, match="foreign nonce"):
        run(recovering)


def test_counts__when_no_endpoint_serves_the_chain__then_nobody_told(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Voices(8, 0)

    async def nobody(*_: object, **__: object) -> tuple[object, ...]:
        raise SILENT

    monkeypatch.setattr(chain, "request_each", nobody)
    told = run(counts(chain, WALLET, "latest"))
    assert told is not None
    assert (told.told, told.agreed, told.above(0)) == ((), None, 0)
    assert run(counts(ChainDouble(), WALLET, "latest")) is None
