"""Each source of the market's word is as old as its oldest quote: what is minutes old confirms no depeg."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keeper.daemon.beside import Beside
from keeper.decision.depeg import off_peg
from keeper.model import Refusal
from keeper.oracle.exchanges import EXCHANGES, Heard, Quote, consensus, quoted
from keeper.oracle.feeds import Feed
from keeper.oracle.room import Room, Site
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt, position
from tests.scenario.test_scenario_limits_and_floors import DEPEG

pytestmark = pytest.mark.unit
NOW_S = 1_700_001_200
FEED = Feed(
    id="USDC",
    symbol="USDC",
    address="0x" + "cd" * 20,
    expected_decimals=8,
    source="0x" + "ab" * 20,
    description="USDC / USD",
)
LOAN = position([collateral(WETH, "10")], [debt(USDC, "8000")])


def said(name: str, age_s: int) -> Quote | Refusal:
    """One exchange's answer at 95 cents, so old."""
    at_s = NOW_S - age_s
    bodies: dict[str, object] = {
        "bitstamp": {"pair": "USDC/USD", "bid": "0.95", "ask": "0.951", "timestamp": str(at_s)},
        "gemini": {"bid": "0.95", "ask": "0.951", "volume": {"USDC": "1", "timestamp": at_s * 1_000}},
        "coinbase": {"bid": "0.95", "ask": "0.951", "time": datetime.fromtimestamp(at_s, UTC).isoformat()},
    }
    return quoted(EXCHANGES[name], "USDC", bodies[name], NOW_S)


def seen(heard: Heard, block_s: int = NOW_S) -> Beside:
    """What the loop holds after one look of the oracle room, in which a pool says the same."""
    site = Site(chain="c", chain_id=1, block_time_s=12.0, named=(), tokens={"USDC": build.USDC})
    room, beside = Room(site, (FEED,), (), {}), Beside()
    room.heard = {"USDC": heard}
    beside.see(room._each({"USDC": 0.951}, block_s))
    return beside


@pytest.mark.parametrize(("ages_s", "believed"), [((5, 9), True), ((5, 119), True), ((5, 290), False)])
def test_depeg__when_an_exchange_told_its_price_minutes_ago__then_it_confirms_nothing(
    ages_s: tuple[int, int], believed: bool
) -> None:
    heard = consensus([said("bitstamp", ages_s[0]), said("gemini", ages_s[1])])
    assert heard.price is not None
    assert heard.at_s == NOW_S - max(ages_s)
    beside = seen(heard)
    assert {q.source: q.at_s for q in beside.quoted} == {"pool": NOW_S, "exchanges": NOW_S - max(ages_s)}
    assert bool(off_peg(DEPEG, LOAN, beside.quoted, NOW_S)) is believed
    assert off_peg(DEPEG, LOAN, beside.quoted, NOW_S + 200) == {}, "nor does what was heard long ago"


def test_told__when_an_exchange_is_ahead_of_the_chain_or_knows_no_time__then_never_newer_than_the_block() -> (
    None
):
    heard = consensus([said("bitstamp", 1), said("coinbase", 2)])
    block_s = NOW_S - 12
    assert [q.at_s for q in seen(heard, block_s).quoted] == [block_s, block_s]
    assert bool(off_peg(DEPEG, LOAN, seen(heard, block_s).quoted, block_s))
    assert [q.at_s for q in seen(Heard(price=0.95)).quoted] == [NOW_S, 0]
    assert seen(Heard(price=0.95)).quoted[1].price_wad == 95 * WAD // 100
