"""A loan and its hedge in the loop: lines in force, waits that end, what is told, and one view of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.cli.watch import pair_line
from keeper.config import PositionSettings, VenueSettings
from keeper.daemon.joint import adl_rows, joined, joint_figures, joint_rows, pair_rows
from keeper.daemon.pairs import KIND, Pairs, say_adl
from keeper.daemon.stops import PAUSE
from keeper.daemon.watched import Blind
from keeper.decision.legs import HEDGE_PROFIT, short_usd
from keeper.model import Block, Position, SideProfit, Snapshot
from keeper.seams import Severity
from tests import build, hedged
from tests.hedge_relief import SHORT, short
from tests.loop_double import Heard, settings
from tests.unit_pairs import HELPED, LINK, LOAN, PAYS, paired, shown

pytestmark = pytest.mark.unit

TOLD = settings(Path("/nowhere"))
UNSEEN = Blind(why="no endpoint answers", since_s=0.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("gone", ["read", "closed"])
async def test_tick__when_the_hedge_is_gone__then_the_loan_is_planned_anew_in_that_block(
    tmp_path: Path, gone: str
) -> None:
    made = paired(tmp_path)
    calm = await made.running.tick(shown(made, "1700", short(1700)))
    assert [p.key.position for p in calm.plans] == []
    assert [a.code for a in made.alarms.standing] == ["watch"]
    # it acted a moment ago, and would rest for fifty blocks
    made.running._memory = made.running._memory.with_action(LOAN, made.number)
    left = None if gone == "read" else hedged.short(None)
    lost = replace(left, id=SHORT) if left is not None else None
    tick = await made.running.tick(shown(made, "1700", lost))
    assert [(p.key.position, p.strategy) for p in tick.plans] == [(LOAN, "repay")]
    rows = [e for e in made.journal.entries(KIND) if e.block_number == made.number]
    assert [(r.subject, r.data["replanned"], r.data["holds"]) for r in rows] == [(str(LOAN), "repay", False)]
    assert ("CRITICAL", "hedge_lost") in made.said
    back = await made.running.tick(shown(made, "1700", short(1700)))
    assert back.plans == ()
    assert ("CLEARED", "hedge_lost") in made.said
    assert pair_rows(made)[0]["covered"] is True


@pytest.mark.asyncio
async def test_tick__when_a_hedge_is_gone_over_a_calm_loan__then_it_is_said_once_and_not_loudly(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path)
    for _ in range(3):
        await made.running.tick(shown(made, "2600", replace(hedged.short(None), id=SHORT)))
    assert [s for s in made.said if s[1] == "hedge_lost"] == [("WARNING", "hedge_lost")]
    (row,) = made.journal.entries(KIND)
    # which leg, of which loan, and why
    assert all(word in row.why for word in (str(SHORT), str(LOAN), "the short is gone"))


@pytest.mark.asyncio
async def test_tick__when_the_hedge_pays__then_the_loan_waits_and_after_its_patience_helps_itself(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path, PAYS, HELPED)
    first = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert [(p.key.position, p.strategy) for p in first.plans] == [(SHORT, HEDGE_PROFIT)]
    whys = {e.subject: e.why for e in made.journal.entries("decision")}
    assert "the hedge pays" in whys[str(LOAN)]
    second = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert second.plans == ()
    assert "waits for the profit" in next(d.why for d in second.decisions if d.id == LOAN)
    for _ in range(5):
        last = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert "NOTHING CAN BE DONE" in next(d.why for d in last.decisions if d.id == LOAN)
    assert all(p.strategy != HEDGE_PROFIT for p in last.plans)


@pytest.mark.asyncio
async def test_tick__when_the_loan_itself_is_paused__then_no_part_of_its_hedge_is_closed(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path, PAYS, HELPED)
    end_s = made.running.parts.clock.now_s() + 600
    made.journal.set_control(f"{PAUSE}:{LOAN}", str(end_s), "the owner", "hands off")
    tick = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert tick.plans == ()
    (told,) = [r for d in tick.decisions if d.id == LOAN for r in d.rejected if r.strategy == HEDGE_PROFIT]
    assert (told.code, "paused by the owner" in told.why) == ("stopped", True)
    made.journal.set_control(f"{PAUSE}:{LOAN}", None, "the owner", "go on")
    again = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert [p.strategy for p in again.plans] == [HEDGE_PROFIT]


@pytest.mark.asyncio
async def test_tick__when_the_order_came_to_nothing__then_nobody_waits_for_it(tmp_path: Path) -> None:
    made = paired(tmp_path, PAYS, HELPED)
    await made.running.tick(shown(made, "1700", short(1700), pays=True))
    made.running.undone({SHORT})
    tick = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert "NOTHING CAN BE DONE" in next(d.why for d in tick.decisions if d.id == LOAN)
    # the danger over, the next one may ask the hedge again
    await made.running.tick(shown(made, "2000", short(2000), pays=True))
    again = await made.running.tick(shown(made, "1700", short(1700), pays=True))
    assert [p.strategy for p in again.plans] == [HEDGE_PROFIT]


@pytest.mark.asyncio
async def test_tick__when_the_order_cannot_be_planned__then_the_next_block_helps_the_loan_alone(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path, PAYS, HELPED)

    def poor() -> Block:
        """Enough for the order's fee, and not for the gas of giving it, which the guard alone adds up."""
        at = shown(made, "1700", short(1700), pays=True)
        assert isinstance(made.facts.next, Snapshot)
        broke = replace(made.facts.next.means, native_wei=2 * 10**15)
        made.facts.next = replace(made.facts.next, means=broke)
        return at

    tick = await made.running.tick(poor())
    assert [(id, r.code) for id, r in tick.refusals] == [(SHORT, "gas_tank")]
    again = await made.running.tick(poor())
    assert "NOTHING CAN BE DONE" in next(d.why for d in again.decisions if d.id == LOAN)


def test_few__when_a_loan_is_hedged__then_it_is_judged_with_the_whole_block() -> None:
    links = Pairs((LINK,), _NoJournal())
    other = build.position([], [], account=build.BOB)
    seen = build.snapshot([hedged.loan("1700"), other])
    assert [p.id for p in links.without_loans(seen).positions] == [other.id]


class _NoJournal:
    def intents(self, *_: object, **__: object) -> tuple[object, ...]:
        return ()


def winning(left: float) -> Position:
    found = short(1700)
    assert found.perp is not None
    usd = 10**30
    side = SideProfit(won_usd=int((1 - left) * 850 * usd), pool_usd=1000 * usd, factor_adl=85 * usd // 100)
    return replace(found, perp=replace(found.perp, side=side))


def test_adl__when_little_of_the_way_is_left__then_told_and_louder_when_the_venue_may() -> None:
    heard = Heard()
    for left in (0.5, 0.2, -0.01):
        say_adl(build.snapshot([winning(left)]), heard)
    assert heard.cleared == [("adl_near", str(SHORT))]
    assert [(s, c) for s, c, *_ in heard.raised] == [
        (Severity.WARNING, "adl_near"),
        (Severity.CRITICAL, "adl_near"),
    ]
    heard = Heard()
    say_adl(build.snapshot([hedged.loan("1700")]), heard)
    assert (heard.raised, heard.cleared) == ([], [])


@pytest.mark.asyncio
async def test_joint__when_a_leg_cannot_be_read__then_nothing_together_is_told(tmp_path: Path) -> None:
    made = paired(tmp_path)
    await made.running.tick(shown(made, "1700", winning(0.2)))
    (whole,) = joint_rows(TOLD, [made])
    assert whole["owner"] == build.ALICE
    assert whole["weakest"] == "loan"
    assert whole["worth_usd"] == pytest.approx(17_000 - 12_000 + 2_000 + 8 * 300)
    (near,) = adl_rows(made)
    assert (near["position"], near["enabled"], near["left"]) == ("hedge", False, 0.2)
    await made.running.tick(shown(made, "1700", None))
    figures = joint_figures(TOLD, [made])
    assert (figures.worth_usd, figures.adl_left) == ((), ())
    assert [(at[1:], covered) for at, _, covered in figures.cover] == [(("loan", "hedge"), False)]
    (half,) = joint_rows(TOLD, [made])
    assert half["worth_usd"] is None
    assert [x.label for x in joined(TOLD, [made])[0].legs if x.why] == ["hedge"]


@pytest.mark.asyncio
async def test_joint__when_legs_are_on_two_chains__then_one_view_holds_both(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "two")]
    made = []
    for home in homes:
        home.mkdir()
        made.append(paired(home))
    made[1].chain = replace(made[1].chain, name="other")
    for each in made:
        await each.running.tick(shown(each, "2000", short(2000)))
    (whole,) = joined(TOLD, made)
    assert [(x.chain, x.label) for x in whole.legs] == [
        ("local", "loan"),
        ("local", "hedge"),
        ("other", "loan"),
        ("other", "hedge"),
    ]
    assert whole.worth_usd == pytest.approx(2 * (20_000 - 12_000 + 2_000))
    made[1].blind = UNSEEN
    (half,) = joint_rows(TOLD, made)
    assert half["worth_usd"] is None
    assert [r["covered"] for r in pair_rows(made[1])] == [None]


@pytest.mark.asyncio
async def test_joint__when_a_chain_has_never_answered__then_its_legs_are_there_and_the_whole_is_not_known(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path)
    await made.running.tick(shown(made, "2000", short(2000)))
    asleep = replace(made, loop=None, chain=replace(made.chain, name="other"), blind=UNSEEN)
    venue = VenueSettings(name="afar", kind="aave_v3", chain="other", provider=build.POOL)
    third = PositionSettings(label="third", venue="afar", account=build.ALICE, policy="default")
    told = replace(TOLD, venues=(*TOLD.venues, venue), positions=(*TOLD.positions, third))
    (row,) = joint_rows(told, [made, asleep])
    assert [(leg["label"], leg["worth_usd"]) for leg in row["legs"]] == [  # type: ignore[attr-defined]
        ("loan", 8_000.0),
        ("hedge", 2_000.0),
        ("third", None),
    ]
    assert row["worth_usd"] is None
    assert "no endpoint answers" in joined(told, [made, asleep])[0].legs[2].why
    assert joint_figures(told, [made, asleep]).worth_usd == ()


@pytest.mark.asyncio
async def test_tick__when_a_block_is_unread__then_no_hedge_was_lost_and_the_loan_still_rests(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path)
    await made.running.tick(shown(made, "1700", short(1700)))
    made.running._memory = made.running._memory.with_action(LOAN, made.number)
    made.running.unseen(build.block(made.number + 1), "nobody answers")
    assert "hedge_lost" not in {code for _, code in made.said}
    assert pair_rows(made)[0]["covered"] is None
    assert made.running._memory.of(LOAN).last_action_block == made.number
    await made.running.tick(shown(made, "1700", short(1700)))
    assert len(list(made.journal.entries(KIND))) == 1
    assert pair_rows(made)[0]["covered"] is True


@pytest.mark.asyncio
async def test_rows__of_a_pair__say_what_is_left_uncovered_and_how_near_the_short_is_to_its_own_end(
    tmp_path: Path,
) -> None:
    made = paired(tmp_path)
    assert pair_rows(made)[0]["net_usd"] is None
    held = short(1700)
    await made.running.tick(shown(made, "1700", held))
    (row,) = pair_rows(made)
    assert held.perp is not None
    # ten ether less what the short has sold of it
    assert row["net_usd"] == pytest.approx(17_000 - short_usd(held.perp))
    assert row["short_health"] == pytest.approx((held.health_wad or 0) / 1e18, abs=1e-4)
    assert f"; net {row['net_usd']:,.0f} USD, the short's health {row['short_health']:.2f}" in pair_line(row)
    await made.running.tick(shown(made, "1700", replace(hedged.short(None), id=SHORT)))
    (bare,) = pair_rows(made)
    assert (bare["net_usd"], bare["short_health"]) == (pytest.approx(17_000), None)
    made.blind = Blind(why="no endpoint answers", since_s=0.0)
    (unseen,) = pair_rows(made)
    assert (unseen["net_usd"], unseen["short_health"], unseen["covered"]) == (None, None, None)
    assert "net" not in pair_line(unseen)
