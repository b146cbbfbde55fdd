"""Heads that come and are old are judged, and never told as what is; a clock that is behind is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper import inspection
from keeper.cli.watch import head_lines
from keeper.clock import SystemClock
from keeper.daemon import service
from keeper.daemon.control import Controls
from keeper.daemon.head_time import AHEAD_S_MAX, ASKS_MAX, HeadTime
from keeper.daemon.loop import ChainLoop
from keeper.daemon.paging.headline import headline
from keeper.daemon.paging.sheet import moment, positions, state
from keeper.daemon.showing import figures, readiness
from keeper.errors import Rejected, Transient
from keeper.model import Block, Level
from keeper.notify.alarm import REPEAT_CRITICAL_S, Alarms
from keeper.notify.chat import status_text
from keeper.seams import Severity
from keeper.watchdog import fresh_limit_s
from tests import build
from tests.loop_double import CHAIN, vault
from tests.unit.test_pulse import Watched

pytestmark = pytest.mark.unit
LIMIT_S = fresh_limit_s(CHAIN.block_time_s)
GETH, ANVIL = "Geth/v1.14.0-stable", "anvil/v1.2.3"


class Nodes:
    """Endpoints that tell what they are."""

    def __init__(self, *told: object) -> None:
        self.told: tuple[object, ...] = told
        self.asked = 0

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        assert method == "web3_clientVersion"
        self.asked += 1
        if not self.told:
            raise Transient("nobody serves the chain")
        return self.told


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched(tmp_path, monkeypatch)
    # the machine's clock stands at the chain's time, as far as a test does not move it
    made.clock.advance(build.block(made.under.number).timestamp_s - made.clock.now_s())
    made.daemon.alarms._clock = made.clock
    made.daemon._begun_s = made.daemon._judged_s = made.clock.monotonic_s()
    made.endpoints.request_each = Nodes(GETH).request_each  # type: ignore[attr-defined]
    return made


async def head(watched: Watched, *, age_s: float) -> None:
    """The next head, so old when it is delivered; judged, and the pulse felt."""
    watched.under.lay(vault())
    block = replace(build.block(watched.under.number), timestamp_s=int(watched.clock.now_s() - age_s))
    watched.endpoints.probed_s = watched.clock.monotonic_s()
    watched.endpoints.head = block.number
    assert watched.daemon.heads is not None
    watched.daemon.heads._line._deliver(block)
    await watched.daemon._tick(block)
    await watched.pulse()


def standing(watched: Watched, code: str) -> list[Severity]:
    return [a.severity for a in watched.daemon.alarms.standing if a.code == code]


def ready(watched: Watched) -> bool:
    return readiness([watched.daemon], {CHAIN.name: 0.0})["ok"] is True


@pytest.mark.asyncio
async def test_head__when_it_is_old__then_it_is_judged_and_told_as_blind(watched: Watched) -> None:
    await head(watched, age_s=5_400)
    loop, blind = watched.daemon.loop, watched.daemon.blind
    assert loop is not None
    assert loop.last is not None
    assert [o.level for o in loop.last.outlooks] == [Level.SAFE]
    assert blind is not None
    for words in ("is 5400 s old", "behind or still syncing", "clock is wrong", "NTP", "explorer"):
        assert words in blind.why
    assert standing(watched, "blind") == [Severity.CRITICAL]
    assert not ready(watched)
    # the process is well: a restart would mend neither cause
    assert "PING" in watched.told.said


@pytest.mark.asyncio
@pytest.mark.parametrize(("age_s", "blind"), [(LIMIT_S, False), (LIMIT_S + 1, True)])
async def test_head__when_it_is_at_the_limit__then_it_is_fresh_and_beyond_old(
    watched: Watched, age_s: float, blind: bool
) -> None:
    await head(watched, age_s=age_s)
    assert (watched.daemon.blind is not None) is blind
    assert ready(watched) is not blind


@pytest.mark.asyncio
async def test_head__when_one_of_now_comes_after_old_ones__then_blind_ends_by_itself(
    watched: Watched,
) -> None:
    await head(watched, age_s=5_400)
    await head(watched, age_s=3.0)
    assert watched.daemon.blind is None
    assert standing(watched, "blind") == []
    assert ready(watched)


@pytest.mark.asyncio
async def test_head__when_the_daemon_before_was_blind__then_a_head_of_now_ends_its_alarm(
    watched: Watched,
) -> None:
    watched.daemon.alarms.raise_alarm(Severity.CRITICAL, "blind", CHAIN.name, "said before a reload")
    await head(watched, age_s=3.0)
    assert standing(watched, "blind") == []


@pytest.mark.asyncio
async def test_head__when_old_ones_go_on__then_it_is_said_again_with_their_age_and_since_the_first(
    watched: Watched,
) -> None:
    await head(watched, age_s=5_400)
    assert watched.daemon.blind is not None
    since_s = watched.daemon.blind.since_s
    watched.clock.advance(REPEAT_CRITICAL_S)
    await head(watched, age_s=900)
    assert "is 900 s old" in watched.daemon.blind.why
    assert watched.daemon.blind.since_s == since_s
    assert "is 900 s old" in next(a.why for a in watched.daemon.alarms.standing if a.code == "blind")


@pytest.mark.asyncio
async def test_head__when_old_ones_stop_too__then_that_is_what_is_said(watched: Watched) -> None:
    await head(watched, age_s=5_400)
    watched.clock.advance(LIMIT_S + 1)
    watched.endpoints.probed_s = watched.clock.monotonic_s()
    await watched.pulse()
    assert watched.daemon.blind is not None
    assert "no new head" in watched.daemon.blind.why
    await head(watched, age_s=5_400)
    assert "s old" in watched.daemon.blind.why


@pytest.mark.asyncio
async def test_head__when_an_old_one_shows_that_all_is_well__then_no_alarm_of_a_position_ends(
    watched: Watched,
) -> None:
    loop = watched.daemon.loop
    assert loop is not None
    loop.parts = replace(loop.parts, old_head=lambda: watched.daemon._time.old)
    await head(watched, age_s=1.0)
    subject = str(loop.parts.guarded[0].id)
    loop.parts.alarms.raise_alarm(Severity.CRITICAL, "urgent", subject, "health is below emergency")
    await head(watched, age_s=5_400)
    assert [a.code for a in loop.parts.alarms.standing if a.subject == subject] == ["urgent"]
    await head(watched, age_s=1.0)
    assert [a.code for a in loop.parts.alarms.standing if a.subject == subject] == []


@pytest.mark.asyncio
async def test_parts__when_a_head_is_old__then_the_stops_and_the_peaks_of_the_daemon_know_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, held = watched.under.facts, list[Any]()

    async def sending(*_: object) -> object:
        outgoing = SimpleNamespace(stage=None)
        return SimpleNamespace(facts=facts, sender=None, signer_address=build.WALLET, outgoing=outgoing)

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(service, "sending", sending)
    monkeypatch.setattr(service, "with_offers", lambda acting, *_: acting)
    monkeypatch.setattr(service, "with_orders", lambda facts, *_: facts)
    monkeypatch.setattr(service, "with_agreed", lambda facts, *given: held.append(given[-1]) or facts)
    monkeypatch.setattr(watched.daemon, "_hang_up", nothing)
    monkeypatch.setattr(watched.daemon, "_recovery", SimpleNamespace(run=nothing))
    here = SimpleNamespace(endpoints=watched.endpoints, guarded=(), block=build.block(100))
    parts = await watched.daemon._parts(cast(Any, here))
    loop = ChainLoop(parts, {})
    assert (parts.address, loop.stops.address) == (build.WALLET, build.WALLET)
    assert [parts.old_head(), *(old() for old in held)] == ["", ""]
    await watched.daemon._time.see(build.block(101), 5_400, None)
    assert all("5400 s old" in old() for old in (parts.old_head, *held))
    stop = loop.stops._doubt()
    assert stop is not None
    assert "5400 s old" in stop.why


@pytest.mark.asyncio
@pytest.mark.parametrize(("ahead_s", "told"), [(AHEAD_S_MAX, []), (AHEAD_S_MAX + 1, [Severity.WARNING])])
async def test_head__when_it_is_ahead_of_the_clock__then_the_clock_is_named_and_nothing_is_blind(
    watched: Watched, ahead_s: float, told: list[Severity]
) -> None:
    await head(watched, age_s=-ahead_s)
    assert standing(watched, "clock_skew") == told
    assert watched.daemon.blind is None
    await head(watched, age_s=1.0)
    assert standing(watched, "clock_skew") == []


def time_of() -> HeadTime:
    return HeadTime(CHAIN, Alarms(lambda _: None, Watch(), CHAIN.chain_id))


class Watch:
    """A clock that stands."""

    def now_s(self) -> float:
        return 0.0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("told", "old"),
    [
        ((ANVIL,), False),
        (("HardhatNetwork/2.22.0/@nomicfoundation/ethereumjs-vm",), False),
        ((ANVIL, Transient("did not answer in time")), False),
        ((GETH,), True),
        ((ANVIL, GETH), True),
        ((ANVIL, Rejected(-32601, "the method does not exist")), True),
        ((ANVIL, 7), True),
        ((Transient("did not answer in time"),), True),
        ((), True),
    ],
)
async def test_head__when_every_node_that_answers_makes_its_own_time__then_its_age_says_nothing(
    told: tuple[object, ...], old: bool
) -> None:
    nodes = Nodes(*told)
    time = time_of()
    await time.see(build.block(100), 1e7, nodes)
    assert bool(time.old) is old
    await time.see(build.block(101), -1e7, nodes)
    assert bool(time._alarms.standing) is old


@pytest.mark.asyncio
async def test_head__when_it_lies_where_it_should__then_no_node_is_asked_anything() -> None:
    nodes = Nodes(GETH)
    time = time_of()
    for age_s in (-AHEAD_S_MAX, 0.0, LIMIT_S):
        await time.see(build.block(100), age_s, nodes)
    assert nodes.asked == 0


@pytest.mark.asyncio
async def test_head__when_nodes_do_not_say_what_they_are__then_they_are_asked_a_few_times_and_no_more() -> (
    None
):
    nodes = Nodes()
    time = time_of()
    for _ in range(2 * ASKS_MAX):
        await time.see(build.block(100), 1e7, nodes)
    assert nodes.asked == ASKS_MAX
    known = Nodes(GETH)
    time = time_of()
    for _ in range(3):
        await time.see(build.block(100), 1e7, known)
    assert known.asked == 1


@pytest.mark.asyncio
async def test_told__when_the_newest_head_is_old__then_page_watch_chat_and_figures_call_nothing_well(
    watched: Watched,
) -> None:
    daemon, given = watched.daemon, watched.daemon.settings
    courier, ages = cast(Any, SimpleNamespace(routes=())), {CHAIN.name: 0.0}
    at = moment(watched.clock, ages, (), (daemon.alarms, courier))

    async def told() -> tuple[str, str, str, str, float, list[float | None]]:
        """Page, its rows, watch, chat; the metric of a blind chain, every health that is measured."""
        (rows,) = positions(given, daemon)
        top = headline(state(given, [daemon], at), rows, 0.0)
        body = await Controls(given, watched.under.journal, [daemon]).answer({"do": "status"})
        shown = figures(given, [daemon], ages, courier)
        healths = [p.health for chain in shown.chains for p in chain.positions]
        page = (f"{top['tone']}: {top['text']}", str(rows[0]["level"]))
        return *page, head_lines(body)[0], status_text(body), float(shown.chains[0].blind), healths

    await head(watched, age_s=5_400)
    page, row, watch, chat, blind, healths = await told()
    assert page.startswith("danger: local is BLIND: the newest head (101) is 5400 s old")
    assert row == Level.UNKNOWN.value
    assert "BLIND: the newest head (101) is 5400 s old" in watch
    assert "0 of 1 positions SAFE" in chat
    assert "CRITICAL blind local" in chat
    assert (blind, healths) == (1.0, [None])

    await head(watched, age_s=3)
    page, row, watch, chat, blind, healths = await told()
    assert (row, blind) == (Level.SAFE.value, 0.0)
    assert "BLIND" not in page + watch + chat
    assert None not in healths


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("age_s", "found"),
    [(3.0, []), (5_400.0, [(Severity.CRITICAL, "blind")]), (-60.0, [(Severity.WARNING, "clock_skew")])],
)
async def test_check__when_the_newest_head_is_not_of_now__then_that_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, age_s: float, found: list[tuple[Severity, str]]
) -> None:
    async def latest(_: object) -> Block:
        return replace(build.block(100), timestamp_s=int(SystemClock().now_s() - age_s))

    monkeypatch.setattr("keeper.daemon.head_time.latest", latest)
    told = await inspection._time(CHAIN, cast(Any, SimpleNamespace(endpoints=Nodes(GETH))))
    assert [(f.severity, f.code) for f in told] == found
