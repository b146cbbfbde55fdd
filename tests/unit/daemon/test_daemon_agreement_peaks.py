"""What two endpoints say of an equity: a floor that follows gains follows none that one endpoint made up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import pytest

from keeper import exits
from keeper.chain.endpoints import Endpoints
from keeper.daemon.agreement import AgreedFacts, with_agreed
from keeper.daemon.facts import Guarded
from keeper.daemon.rehearsal import Stage
from keeper.decision.floor import reduces
from keeper.decision.memory import PositionMemory
from keeper.decision.standing import standing
from keeper.model import Block, Outcome, Plan, Position, Snapshot
from keeper.seams import Reading, Seen, Venue
from keeper.units import WAD
from keeper.words import Words
from tests import perps
from tests.perps import BLOCK, POLICY, perp, position
from tests.unit.daemon.test_daemon_agreement import Market, Two, stage

pytestmark = pytest.mark.unit
FLOOR = replace(
    POLICY, strategies=("floor",), floor_usd=500, floor_times_wad=60 * WAD, floor_ratchet_ppm=800_000
)
OWN = position(perp(2_000))
CLOSED = replace(OWN, perp=None, health_wad=2**256 - 1)
FRESH = PositionMemory(id=OWN.id)
GONE = 1
"""A price at which the market of these tests holds nothing for anybody."""


class Emptied(Market):
    """The same market, in which nothing is open at one price."""

    def decode(
        self, block: Block, accounts: Sequence[str], words: Words, seen: Seen, shadows: object
    ) -> Reading:
        if words.uint(0) != GONE:
            return super().decode(block, accounts, words, seen, shadows)
        nothing: Mapping[str, float] = {}
        return Reading(
            positions=(CLOSED,), unreadable=(), reserves=(), prices=nothing, seen=Seen(), again=False
        )


@dataclass
class Floors:
    """A floor's peak over blocks, as decision keeps it."""

    facts: AgreedFacts
    two: Two
    shown: Position = OWN
    kept: PositionMemory = FRESH
    old: str = ""

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """Facts: the position as one endpoint shows it."""
        return replace(perps.world(perp(2_000))[0], positions=(self.shown,)), ()

    def acted(self, plan: Plan) -> None:
        raise AssertionError("nothing acts here")

    def block(self, shown: Position, elsewhere: int | None, here: int = 2_000) -> int:
        """Dollars of the peak after two blocks in which one endpoint showed that, and another its own price."""
        self.shown, self.two.prices = shown, (here, elsewhere)
        stands = asyncio.run(self._stands())
        self.kept = replace(self.kept, peak_usd_wad=stands)
        return stands // WAD

    async def _stands(self) -> int:
        peak = self.kept.peak_usd_wad
        for _ in range(2):
            (at,) = (await self.facts.take(BLOCK, {}))[0].positions
            peak = standing(FLOOR, replace(self.kept, peak_usd_wad=peak), at, 0).peak_usd_wad
            for _ in range(20):
                await asyncio.sleep(0)
        return peak


def floors() -> Floors:
    market = cast(Venue, Emptied(True))
    there = Stage(venue_of=lambda _: market, seen=lambda _: Seen())
    guarded = (Guarded(label="long", policy=FLOOR, venue_id="gmx", id=OWN.id),)
    two = Two((2_000, 2_000))
    made = Floors(facts=cast(AgreedFacts, None), two=two)
    facts = with_agreed(made, cast(Endpoints, two), there, guarded, lambda: made.old)
    assert isinstance(facts, AgreedFacts), "a floor that follows gains asks two as a trailing stop does"
    made.facts = facts
    return made


def test_peak__a_price_that_one_endpoint_made_up__moves_no_floor_and_the_honest_block_sells_nothing() -> None:
    on = floors()
    assert on.block(OWN, None) == 0, "not even the first"
    assert on.block(OWN, 2_001) == 1_988
    assert on.block(position(perp(2_400)), 2_001, 2_400) == 1_988
    assert on.block(OWN, 2_001) == 1_988
    honest = standing(FLOOR, on.kept, OWN, 0)
    assert reduces(honest, OWN) == ()
    # had it been believed, the floor would stand at 80 % of 5,988 dollars, above all that is there
    lied = replace(honest, peak_usd_wad=5_988 * WAD)
    assert [r.targets for r in reduces(lied, OWN)] == [(2**256 - 1,)]
    assert on.block(position(perp(2_400)), 2_399, 2_400) == 5_988, "a gain that two see is followed"


def test_peak__an_equity_that_one_endpoint_made_up_at_the_true_price__moves_no_floor() -> None:
    on = floors()
    assert on.block(OWN, 2_001) == 1_988
    assert on.block(position(perp(2_000, margin=6_000)), 2_001) == 1_988
    assert on.block(position(perp(2_001, margin=2_010)), 2_001) == 2_008, "within what two may differ"


def test_peak__when_two_agree_on_what_is_long_past__moves_no_floor_until_a_head_of_now() -> None:
    on = floors()
    assert on.block(OWN, 2_001) == 1_988
    on.old = "the newest head (101) is 5400 s old"
    assert on.block(position(perp(2_400)), 2_400, 2_400) == 1_988
    on.old = ""
    assert on.block(OWN, 2_001) == 1_988, "nor was it kept for later"
    assert on.block(position(perp(2_400)), 2_400, 2_400) == 5_988


def test_peak__when_closed__then_forgotten_if_two_see_it_closed() -> None:
    on = floors()
    assert on.block(OWN, 2_001) == 1_988
    assert on.block(CLOSED, 2_001) == 1_988, "one endpoint alone does not make a floor forget"
    assert on.block(OWN, 2_001) == 1_988
    assert on.block(CLOSED, GONE, GONE) == 0
    assert on.block(position(perp(1_900)), 1_900, 1_900) == 988, "a later position is another one"


def test_peak__of_a_position_that_is_flagged__stays() -> None:
    flagged = replace(OWN, row=replace(OWN.row, flags=(*OWN.row.flags, exits.ALONE)))
    kept = PositionMemory(id=OWN.id, peak_usd_wad=7 * WAD)
    assert standing(FLOOR, kept, flagged, 0).peak_usd_wad == 7 * WAD
    assert standing(FLOOR, kept, OWN, 0).peak_usd_wad > 7 * WAD


def test_with_agreed__a_floor_that_stands_still__asks_nobody() -> None:
    still = replace(FLOOR, floor_ratchet_ppm=0)
    street, two = cast(AgreedFacts, object()), Two((2_000, 2_000))
    guarded = (Guarded(label="long", policy=still, venue_id="gmx", id=OWN.id),)
    assert with_agreed(street, cast(Endpoints, two), stage(), guarded) is street
