"""A finalized block that stands still while heads come is told once, and its end too."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from keeper.daemon.chores import Chores
from keeper.daemon.finality import CODE, STALL_BLOCKS, STALL_S, Finalizing
from keeper.errors import Rejected, Transient
from keeper.model import Block
from keeper.seams import Severity
from tests.chain_double import ChainDouble
from tests.plans import block
from tests.virtual_time import run

pytestmark = pytest.mark.unit
LATE = 100 + STALL_S // 12


class Bell:
    def __init__(self) -> None:
        self.rung: dict[str, tuple[Severity, str]] = {}
        self.cleared = 0

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        assert code == CODE
        self.rung[subject] = severity, why

    def clear(self, code: str, subject: str) -> None:
        assert code == CODE
        self.rung.pop(subject, None)
        self.cleared += 1


class Watch:
    def __init__(self) -> None:
        self.chain, self.bell = ChainDouble(), Bell()
        self.look_at = Finalizing("mainnet", self.chain, self.bell)

    def look(self, finalized: int, head: int | Block) -> bool:
        """Whether it stands as an alarm after a look at that head."""
        self.chain.finalized = finalized
        run(self.look_at.look(block(head) if isinstance(head, int) else head))
        return bool(self.bell.rung)


def test_look__when_the_finalized_block_stands_still_for_half_an_hour__then_told_until_it_moves() -> None:
    watch = Watch()
    assert not watch.look(40, 100)
    assert not watch.look(40, LATE - 1)
    assert watch.look(40, LATE)
    severity, why = watch.bell.rung["mainnet"]
    assert severity is Severity.WARNING
    assert why.startswith("block 40 has been the newest final one for 30 minutes, in which 150 blocks came")
    # an endpoint that lags says less, which is no movement
    assert watch.look(39, LATE + 10)
    assert watch.bell.cleared == 0
    assert not watch.look(41, LATE + 20)
    assert watch.bell.cleared == 1
    assert not watch.look(41, LATE + 20 + STALL_S // 12 - 1)
    assert watch.look(41, LATE + 20 + STALL_S // 12)


def test_look__when_it_moves_every_time__then_calm() -> None:
    watch = Watch()
    assert not any(watch.look(n - 70, n) for n in range(100, 2_000, 32))


def test_look__when_no_heads_come_or_the_clock_jumps__then_calm() -> None:
    watch = Watch()
    watch.look(40, 100)
    jumped = replace(block(100 + STALL_BLOCKS - 1), timestamp_s=block(100).timestamp_s + 100 * STALL_S)
    assert not watch.look(40, jumped)
    fast = replace(block(100 + 10 * STALL_BLOCKS), timestamp_s=block(100).timestamp_s + STALL_S - 1)
    assert not watch.look(40, fast)
    assert watch.look(40, replace(jumped, number=100 + STALL_BLOCKS))


def test_look__when_the_chain_names_none__then_calm_and_nothing_is_over() -> None:
    watch = Watch()
    assert not any(watch.look(-1, n) for n in (100, LATE, 10 * LATE))
    watch.look(40, 100)
    assert watch.look(40, LATE)
    assert watch.look(-1, LATE + 1)
    assert watch.bell.cleared == 0


@pytest.mark.parametrize("seen", [True, False])
def test_chores__when_the_job_is_due__then_the_last_block_judged_is_looked_at(seen: bool) -> None:
    watch, chores = Watch(), object.__new__(Chores)
    chores._finalizing = watch.look_at
    watch.chain.finalized = 40
    for number in (100, LATE):
        last = SimpleNamespace(block=block(number)) if seen else None
        run(chores.do("finality", SimpleNamespace(last=last), None))  # type: ignore[arg-type]
    assert bool(watch.bell.rung) is seen


@pytest.mark.parametrize(
    "fault, calm", [(Transient("timed out"), False), (Rejected(-39001, "Unknown block"), True)]
)
def test_look__when_it_cannot_be_asked__then_the_job_has_failed(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, calm: bool
) -> None:
    watch = Watch()

    async def failing(*_: object, **__: object) -> object:
        raise fault

    monkeypatch.setattr(watch.chain, "request", failing)
    if calm:
        assert not watch.look(40, 100)
    else:
        with pytest.raises(Transient):
            watch.look(40, 100)
