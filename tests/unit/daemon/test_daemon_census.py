"""Borrowers from logs on endpoints that limit the range of a search: all of them, each once, in order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keeper.daemon import census
from keeper.errors import ConfigError, Transient
from keeper.seams import LogFilter, Priority
from keeper.venues.aave_v3.events import BORROW

pytestmark = pytest.mark.unit
POOL = "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"


class Logs:
    """The Transport seam: one borrower every ten blocks, five in all, no search wider than ``widest``."""

    def __init__(self, widest: int) -> None:
        self.widest = widest
        self.asked: list[tuple[int, int]] = []

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        assert method == "eth_getLogs"
        (what,) = params
        assert isinstance(what, dict)
        first, last = int(what["fromBlock"], 16), int(what["toBlock"], 16)
        self.asked.append((first, last))
        if last - first + 1 > self.widest:
            raise Transient("query returned more than it may")
        return [
            {"topics": ["0x", "0x" + "0" * 64, "0x" + f"{block // 10 % 5 + 1:064x}"]}
            for block in range(first, last + 1)
            if block % 10 == 0
        ]

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise NotImplementedError


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of a pool, whatever the venue."""
    where = LogFilter(target=POOL, topics=(BORROW,))
    monkeypatch.setattr(census, "_events", lambda venue: (where, 2))


@pytest.mark.asyncio
@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("widest", [1, 7, 64, 10_000])
async def test_borrowers__endpoint_of_any_width__every_block_is_searched_once(widest: int) -> None:
    chain, told = Logs(widest), list[str]()
    found = await census.borrowers(chain, None, (100, 400), told.append)  # type: ignore[arg-type]
    assert len(found) == 5
    assert len(set(found)) == 5
    good = [(a, b) for a, b in chain.asked if b - a + 1 <= widest]
    assert [block for a, b in good for block in range(a, b + 1)] == list(range(100, 401))
    assert "block 400 of 400: 5 borrowers" in told[-1]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pool")
async def test_borrowers__endpoint_that_serves_no_logs__is_told_after_a_few_questions() -> None:
    chain = Logs(0)
    with pytest.raises(Transient, match="more than it may"):
        await census.borrowers(chain, None, (0, 1_000_000), print)  # type: ignore[arg-type]
    assert len(chain.asked) < 30


def test_events__of_a_venue_without_such_logs__asks_for_a_file() -> None:
    class Other:
        kind = "maker"

    with pytest.raises(ConfigError, match="--accounts"):
        census._events(Other())  # type: ignore[arg-type]
