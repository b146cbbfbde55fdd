"""One night of a real crash on real accounts: whoever one sale would have saved is saved, and for less."""

from __future__ import annotations

import pytest

from keeper.replay import compare, levels, rescue, run
from keeper.replay.fleet import Fleet
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
