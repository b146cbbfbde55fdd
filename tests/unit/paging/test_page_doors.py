"""Who may ask the page what: names, origins, the token; and nobody holds up anybody."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import make_mocked_request

from keeper.notify.page.fanout import Fanout
from keeper.notify.page.guard import FAILURES_MAX, LOCAL, WINDOW_S, Lock, foreign

pytestmark = pytest.mark.unit
TOKEN = "sixteen characters and more"


def why(path: str = "/api/state", **headers: str) -> str:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return foreign(make_mocked_request("GET", path, headers=given), LOCAL | {"keeper.example"})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8467", "localhost:8467", "[::1]:8467", "localhost", "[::1]", "keeper.example", "LOCALHOST:1"],
)
def test_host__when_it_is_one_of_ours__then_answered(host: str) -> None:
    assert why(Host=host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8467",
        "127.0.0.1.evil.example",
        "localhost.evil.example:1",
        "",
        "::",
        "0.0.0.0:1",
    ],
)
def test_host__when_it_is_foreign__then_refused(host: str) -> None:
    assert "foreign Host" in why(Host=host)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://localhost.evil.example:8467", ""]
)
def test_origin__when_it_is_foreign__then_refused(origin: str) -> None:
    assert why(Host="localhost:8467", Origin=origin) == "foreign Origin"


def test_origin__when_the_page_asks_itself__then_answered() -> None:
    assert why(Host="localhost:8467", Origin="http://localhost:8467") == ""
    assert why(Host="localhost:8467", Sec_Fetch_Site="same-origin") == ""


def test_fetch_site__when_another_site_asks__then_only_a_link_to_the_page_itself_opens() -> None:
    cross = {"Host": "localhost:8467", "Sec_Fetch_Site": "cross-site"}
    assert why(**cross, Sec_Fetch_Mode="no-cors") == "foreign Origin"
    assert why("/api/positions", **cross, Sec_Fetch_Mode="navigate") == "foreign Origin"
    assert why("/", **cross, Sec_Fetch_Mode="navigate") == ""


def test_lock__when_the_token_is_missing_wrong_or_right__then_only_the_right_one_opens() -> None:
    lock = Lock(TOKEN)
    assert lock.refusal(None, 0.0) == (401, "a token is needed")
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"bearer {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
    ):
        assert (lock.refusal(wrong, 0.0) or (0,))[0] == 401, wrong
    assert lock.refusal(f"Bearer {TOKEN}", 0.0) is None


def test_lock__when_there_is_no_token__then_nothing_opens_it() -> None:
    for given in (None, "Bearer ", "Bearer x"):
        assert (Lock("").refusal(given, 0.0) or (0,))[0] == 403


def test_lock__when_it_is_guessed_at__then_shut_for_a_minute_for_everybody() -> None:
    lock = Lock(TOKEN)
    for _ in range(FAILURES_MAX):
        lock.refusal("Bearer guess", 5.0)
    assert (lock.refusal(f"Bearer {TOKEN}", 6.0) or (0,))[0] == 429
    assert lock.refusal(f"Bearer {TOKEN}", 5.0 + WINDOW_S) is None


@pytest.mark.asyncio
async def test_fanout__when_a_viewer_does_not_read__then_it_holds_the_newest_of_each_kind_alone() -> None:
    fan = Fanout()
    slow, fast = fan.join(), fan.join()
    assert slow is not None
    assert fast is not None
    for n in range(1_000):
        fan.publish("state", b"%d" % n)
        assert await fast.take() == b"event: state\ndata: %d\n\n" % n
    fan.publish("positions", b"[]")
    assert await slow.take() == b"event: state\ndata: 999\n\n"
    assert await slow.take() == b"event: positions\ndata: []\n\n"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await slow.take()


def test_fanout__when_it_is_full__then_nobody_more_joins_until_one_leaves() -> None:
    fan = Fanout(viewers_max=2)
    first, second = fan.join(), fan.join()
    assert first is not None
    assert second is not None
    assert fan.join() is None
    fan.leave(first)
    fan.leave(first)
    assert fan.join() is not None


def test_fanout__when_a_viewer_comes_late__then_it_finds_what_was_said_last() -> None:
    fan = Fanout()
    fan.publish("state", b"{}")
    assert fan.newest("state") == b"{}"
    assert fan.newest("positions") is None
