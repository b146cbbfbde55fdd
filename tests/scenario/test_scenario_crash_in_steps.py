"""A crash in steps through the pure rooms: one action per crossing, never two, and quiet afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from keeper.decision import Memory, Options, decide
from keeper.model import Allowance, Amount, Decision, Level, Means, Plan, Position, Repay, Step
from keeper.plan import Case, compile_plan
from keeper.units import wad_from
from strategies.registry import SHIPPED
from tests import build
from tests.build import ALICE, BOB, USDC, WETH, amount, collateral, debt, means, position, repriced
from tests.fakes import LendingDouble

pytestmark = pytest.mark.scenario


@dataclass
class Story:
    """A chain of positions and a wallet; a plan made at block n takes effect at n + delay."""

    positions: dict[str, Position]
    wallet: Means
    delay: int = 1
    armed: bool = True
    number: int = 100
    memory: Memory = field(default_factory=Memory)
    waiting: list[tuple[int, Plan]] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    said: list[Decision] = field(default_factory=list)
    venue: LendingDouble = field(default_factory=LendingDouble)

    def block(self, price: str) -> tuple[Decision, ...]:
        """One block at a WETH price: due plans take effect, then everything is judged anew."""
        self.number += 1
        self.positions = {a: repriced(p, {"WETH": price}) for a, p in self.positions.items()}
        for due, plan in list(self.waiting):
            if self.number >= due:
                self.waiting.remove((due, plan))
                self._effect(plan.key.position.account, plan.steps)
        everyone = tuple(replace(p, block_number=self.number) for p in self.positions.values())
        snapshot = build.snapshot(everyone, wallet=self.wallet, at=build.block(self.number))
        options = Options(
            venues={self.venue.id: self.venue},
            strategies=SHIPPED,
            open_intents=frozenset(plan.key.position for _, plan in self.waiting),
            promised=tuple(s.amount for _, plan in self.waiting for s in plan.steps),
            armed=self.armed,
        )
        outlooks = [build.outlook(p) for p in everyone]
        policies = {p.id: build.policy() for p in everyone}
        decisions, self.memory = decide(snapshot, outlooks, policies, self.memory, options)
        for decision in decisions:
            for proposal in decision.chosen:
                of = snapshot.position(decision.id)
                assert of is not None
                made = Case(
                    position=of,
                    venue=self.venue,
                    policy=policies[of.id],
                    snapshot=snapshot,
                    seq=len(self.plans) + 1,
                )
                built = compile_plan(proposal, made)
                assert isinstance(built, Plan), built
                if self.armed:
                    self.plans.append(built)
                    self.waiting.append((self.number + self.delay, built))
        self.said += decisions
        return decisions

    def health(self, account: str = ALICE) -> int:
        """Health now."""
        return self.positions[account].health_wad or 0

    def level(self, account: str = ALICE) -> Level:
        """Level after hysteresis."""
        return self.memory.of(build.position_id(account)).level

    def _effect(self, account: str, steps: Sequence[Step]) -> None:
        before = self.positions[account]
        self.positions[account] = self.venue.after(steps, before)
        for step in steps:
            owed = sum(h.amount.units for h in before.debt if h.amount.token == step.amount.token)
            taken = min(step.amount.units, owed) if isinstance(step, Repay) else step.amount.units
            self.wallet = _less(self.wallet, Amount(token=step.amount.token, units=taken))


def _less(wallet: Means, spent: Amount) -> Means:
    def rest(units: int) -> int:
        assert units >= spent.units, "spent more than there was"
        return units - spent.units

    def granted(a: Allowance) -> Allowance:
        return replace(a, units=rest(a.units)) if a.token == spent.token else a

    balances = (replace(b, units=rest(b.units)) if b.token == spent.token else b for b in wallet.balances)
    return replace(wallet, balances=tuple(balances), allowances=tuple(granted(a) for a in wallet.allowances))


def alice(price: str = "2400", account: str = ALICE) -> Position:
    """Ten WETH against 12,000 USDC: trigger 1.25 is crossed below 1,807.23."""
    return position([collateral(WETH, "10", price=price)], [debt(USDC, "12000")], account=account)


def test_crash__when_price_falls_in_steps__then_one_action_per_crossing_and_target_each_time() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "9000")]))
    crossings = 0
    for price in ("2400", "2100", "1900", "1800", "1600", "1500", "1300", "1200"):
        before = len(story.plans)
        for _ in range(10):
            story.block(price)
        acted = len(story.plans) - before
        assert acted <= 1
        crossings += acted
        assert story.health() >= wad_from("1.25")
        if acted:
            assert wad_from("1.45") <= story.health() < wad_from("1.451")
            assert story.level() is Level.SAFE
    assert crossings == len(story.plans) == 3
    assert [p.key.seq for p in story.plans] == [1, 2, 3]


def test_crash__when_the_action_takes_blocks_to_land__then_it_is_not_done_twice() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "9000")]), delay=8)
    for _ in range(30):
        story.block("1500")
    assert len(story.plans) == 1
    assert sum("an intent is open" in d.why for d in story.said) == 7


def test_crash__when_over__then_the_hysteresis_keeps_quiet_around_the_thresholds() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "9000")]))
    story.block("1800")
    story.block("1800")
    assert story.level() is Level.SAFE
    spoken = len(story.said)
    for price in ("1801", "1799", "1802", "1798") * 10:
        assert story.block(price) == ()
    assert len(story.said) == spoken
    assert len(story.plans) == 1
    # warn is 1.35: one wobbling line around it is one change of level, not forty
    for price in ("1676", "1675", "1677", "1674") * 10:
        story.block(price)
    assert len(story.said) <= spoken + 1


def test_crash__when_the_wallet_runs_dry__then_partial_then_loud_refusals_and_rescue_when_refilled() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "1000")]))
    story.block("1700")
    assert "PARTIAL" in story.said[-1].why
    for _ in range(6):
        story.block("1550")
    assert len(story.plans) == 1
    assert "NOTHING CAN BE DONE" in story.said[-1].why
    assert {r.code for r in story.said[-1].rejected} == {"empty_wallet"}
    refilled = means([amount(USDC, "9000")])
    story.wallet = refilled
    story.block("1550")
    story.block("1550")
    assert len(story.plans) == 2
    assert story.health() >= wad_from("1.45")


def test_crash__when_below_emergency__then_cooldown_is_one_block_and_the_plan_is_urgent() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "9000")]))
    story.block("1800")
    story.block("1300")
    story.block("1300")
    assert [p.urgent for p in story.plans] == [False, True]
    assert story.plans[1].block.number - story.plans[0].block.number == 1
    assert story.health() >= wad_from("1.45")


def test_crash__when_two_positions_share_a_wallet__then_both_live_and_no_unit_is_promised_twice() -> None:
    both: dict[str, Position] = {ALICE: alice(), BOB: alice(account=BOB)}
    story = Story(positions=both, wallet=means([amount(USDC, "6000")]), delay=2)
    for _ in range(12):
        story.block("1700")
    assert len(story.plans) == 2
    assert {p.key.position.account for p in story.plans} == {ALICE, BOB}
    assert min(story.health(ALICE), story.health(BOB)) >= wad_from("1.45")


def test_crash__when_disarmed__then_it_says_what_it_would_do_every_block_and_does_nothing() -> None:
    story = Story(positions={ALICE: alice()}, wallet=means([amount(USDC, "9000")]), armed=False)
    for _ in range(5):
        (decision,) = story.block("1700")
        assert [p.strategy for p in decision.chosen] == ["repay"]
    assert story.plans == []
    story.armed = True
    story.block("1700")
    assert len(story.plans) == 1
