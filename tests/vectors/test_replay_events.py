"""A real crash on real accounts: whoever one sale would have saved is saved, and for less.

A price that one venue printed on another such day moves nobody.
"""

from __future__ import annotations

import re

import pytest

from keeper.replay import bars, compare, levels, rescue, run
from keeper.replay.fleet import Account, Fleet, Lot
from keeper.replay.market import Market
from keeper.replay.paths import Rates, project, with_interest
from keeper.units import wad_float
from tests.bench import replay_events

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.skipif(not replay_events.there(), reason="no histories beside the repository"),
]


def test_crash__when_the_night_of_may_2021_comes__then_none_is_lost_that_could_be_saved() -> None:
    event = next(e for e in replay_events.EVENTS if e.name == "2021-05")
    every = replay_events.accounts()
    near = [
        a
        for a in every.accounts
        if not replay_events.alike(a)
        and 1.4 < sum(x.value * x.threshold for x in a.collateral) / a.owed < 1.75
    ]
    crew = Fleet(path=every.path, unit=every.unit, accounts=tuple(near[:25]))
    read = replay_events.history(event).between(1_621_382_400.0, 1_621_447_200.0)
    moved = with_interest(
        project(read, crew.assets, ("low", "close"), {}, event.hold), Rates(borrow={"*": 0.04})
    )
    shop = Market()
    made = compare.makes(["nobody", "threshold", "ours"], None, crew.assets, shop)
    sailed = {name: run.voyage(crew, moved, make, shop) for name, make in made.items()}
    found = rescue.rescues(
        crew, moved, shop, lambda a: wad_float(levels.thrifty(a).target_wad), sailed["nobody"]
    )
    told = rescue.score(found, sailed["ours"])
    assert told.rescuable > 0
    assert not told.liquidated
    ours, other = compare.row(sailed["ours"]), compare.row(sailed["threshold"])
    assert ours.whole_usd < other.whole_usd < sailed["nobody"].lost_usd


def test_glitch__when_the_real_day_of_march_2020_has_one__then_no_keeper_acts_and_its_row_is_named() -> None:
    file = replay_events.DATA / "prices" / replay_events.HOURLY
    read = bars.read(file, ("LINK/USDT",)).between(bars.moment("2020-03-12"), bars.moment("2020-03-13"))
    glitch = int(read.low[:, 0].argmin())
    assert (bars.iso(float(read.times_s[glitch])), read.low[glitch, 0]) == ("2020-03-12 10:00", 0.0001)
    # LINK itself fell to less than half that day, which this loan survives above its trigger; 0.0001 it would not
    loan = Account(
        name="one",
        collateral=(Lot(asset="LINK", value=1_000.0, threshold=0.8),),
        debt=(Lot(asset="DAI", value=180.0),),
    )
    crew = Fleet(path="", unit="USD", accounts=(loan,))
    moved = project(read, crew.assets, ("low", "close"), {}, ())
    named = [n for n in moved.notes if "0.0001 of LINK/USDT at 2020-03-12 10:00" in n]
    assert len(named) == 1
    assert re.search(r"row \d+, column low: .* not taken for an oracle's price", named[0])
    made = compare.makes(compare.NAMES, compare.plain_policy(1.15, 1.30), crew.assets, Market())
    for name, make in made.items():
        (trip,) = run.voyage(crew, moved, make, Market()).trips
        assert (name, trip.events) == (name, [])
        assert 1.15 < trip.lowest < 2.5
