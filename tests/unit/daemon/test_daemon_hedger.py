"""A hedge with a key: what it orders, what it waits for, and that its signer takes that and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from keeper.config.pairing import HedgeSettings
from keeper.daemon.hedger import Hedge, Hedger
from keeper.daemon.hedges import hedge_policy
from keeper.daemon.hedging import KIND
from keeper.executor import perp as orders
from keeper.journal.apart import of_hedges
from keeper.model import (
    AddMargin,
    Allowance,
    Amount,
    Attempt,
    Block,
    CancelOrder,
    Entry,
    Fee,
    GrowPerp,
    IntentState,
    Outcome,
    Perp,
    PerpOrder,
    Plan,
    ReducePerp,
    SideProfit,
    Snapshot,
    Step,
)
from keeper.seams import TxFields, Venue
from keeper.venues.gmx_v2.hedged import HedgedSlot
from tests import build, hedged
from tests.build import USDC
from tests.hedge_relief import ACTING, PERP, SLOT, short
from tests.unit_pairs import LINK, SETTINGS, paired, shown

pytestmark = pytest.mark.unit
KEY = "0x" + "77" * 20
ASKED = HedgeSettings(
    key=KEY,
    share_pct=100,
    band_pct=10,
    leverage=4,
    notional_usd_max=12_000,
    action_usd_max=5_000,
    day_usd_max=8_000,
    funding_year_max_pct=40,
    slip_bps=100,
)
VENUE = HedgedSlot(replace(SLOT, subaccount=KEY))
FEE = Fee(gas_limit=3_000_000, max_fee_wei=10**9, tip_wei=10**6)


def slot(eth: float) -> Perp:
    """The short as the hedge's key sees it; flat of 0."""
    return replace(
        hedged.perp(2000, eth=eth),
        side=SideProfit(won_usd=0, pool_usd=1, factor_adl=1, carry_year=0),
        acting=replace(ACTING, subaccount=KEY),
        increase_gas=100_000,
        decrease_gas=100_000,
    )


@dataclass
class Shown:
    """The facts of the hedge's key."""

    perp: Perp
    units: int = 10_000 * 10**6

    async def take(self, block: Block, _: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        at = replace(short(2000, self.perp), id=VENUE.position_id(LINK.short.account), perp=self.perp)
        amount = Amount(token=USDC, units=self.units)
        granted = Allowance(token=USDC, spender=VENUE.spender, units=self.units)
        own = replace(build.means([amount]), wallet=KEY, allowances=(granted,))
        return build.snapshot([at], wallet=own, at=block), ()

    def acted(self, plan: Plan) -> None:
        """Not asked."""


@dataclass
class Sent:
    """A sender that keeps what it was asked for, as the journal would."""

    journal: Any
    plans: list[Plan] = field(default_factory=list)

    async def act(self, plan: Plan, _: Snapshot) -> Attempt:
        self.plans.append(plan)
        self.journal.open_intent(plan)
        return Attempt(key=plan.key, nonce=0, n=0, raw=b"", hash="0xaa", fee=FEE, sent_block=1)


class House:
    """One pair's loop, its hedge, and what it sent."""

    def __init__(self, folder: Path, eth: float = 0.0) -> None:
        link = replace(LINK, settings=replace(SETTINGS, hedge=ASKED), keyed=True)
        self.made = paired(folder, link)
        self.journal = of_hedges(self.made.journal, VENUE.position_id(link.short.account))
        self.hedge = Hedge(
            link=link,
            settings=ASKED,
            policy=PERP,
            venue=VENUE,
            camera=None,  # type: ignore[arg-type]
            journal=self.journal,
            alarms=self.made.running.parts.alarms,
        )
        self.facts, self.sent = Shown(slot(eth)), Sent(self.journal)
        self.hedger = Hedger(self.hedge, self.facts, self.sent)  # type: ignore[arg-type]

    async def look(self, price: str = "2000", *, armed: bool = True) -> Snapshot:
        loop = self.made.running
        tick = await loop.tick(shown(self.made, price, short(int(price))))
        return await self.hedger.look(tick, loop, armed=armed)

    def ended(self) -> None:
        """The last order's transaction is off the lane."""
        self.journal.set_state(self.sent.plans[-1].key, IntentState.ABANDONED, "test", 1)


@pytest.mark.asyncio
async def test_hedge__from_flat__is_opened_by_one_order_within_its_cap(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.look()
    (plan,) = house.sent.plans
    (step,) = plan.steps
    assert isinstance(step, GrowPerp)
    assert step.size_usd == 5_000 * 10**30
    assert step.amount.units == 1_250 * 10**6
    # while it is under way there is no other
    await house.look()
    assert len(house.sent.plans) == 1


@pytest.mark.asyncio
async def test_hedge__not_armed__is_told_and_signed_by_nobody(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.look(armed=False)
    assert house.sent.plans == []
    assert "signed by nobody" in house.journal.entries(KIND)[-1].why


@pytest.mark.asyncio
async def test_hedge__while_the_loan_is_below_its_trigger__waits(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.look("1500")
    assert house.sent.plans == []
    assert house.journal.entries(KIND)[-1].data["code"] == "waits"


@pytest.mark.asyncio
async def test_hedge__while_the_newest_head_is_old__waits_until_one_of_now(tmp_path: Path) -> None:
    house, old = House(tmp_path), ["the newest head (101) is 5400 s old"]
    house.made.running.parts = replace(house.made.running.parts, old_head=lambda: old[0])
    await house.look()
    assert house.sent.plans == []
    assert "5400 s old" in house.journal.entries(KIND)[-1].why
    old[0] = ""
    await house.look()
    assert len(house.sent.plans) == 1


@pytest.mark.asyncio
async def test_hedge__looking_at_a_block_that_was_dangerous__waits_though_a_newer_one_is_not(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    loop = house.made.running
    low = await loop.tick(shown(house.made, "1500", short(1500)))
    await loop.tick(shown(house.made, "2000", short(2000)))
    # as at a start, when the blocks go on while the hedge is opened
    await house.hedger.look(low, loop, armed=True)
    assert house.sent.plans == []
    assert house.journal.entries(KIND)[-1].data["code"] == "waits"
    await house.look()
    assert len(house.sent.plans) == 1


@pytest.mark.asyncio
async def test_hedge__not_mined_when_danger_comes__is_given_up(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.look()
    key = house.sent.plans[0].key
    sent = Attempt(key=key, nonce=0, n=0, raw=b"\1", hash="0x01", fee=FEE, sent_block=1)
    house.journal.add_attempt(sent, KEY)
    await house.look("1500")
    found = house.journal.intent(key)
    assert found is not None
    assert found.state is IntentState.CANCELLING


@pytest.mark.asyncio
async def test_hedge__too_large_for_the_loan__is_made_smaller(tmp_path: Path) -> None:
    house = House(tmp_path, eth=10.0)
    await house.look()
    (plan,) = house.sent.plans
    assert isinstance(plan.steps[0], ReducePerp)
    assert plan.steps[0].size_usd == 8_000 * 10**30


def waits(key: str, age_s: int) -> Perp:
    """Flat, with an order that waits."""
    order = PerpOrder(
        key=key, kind=2, size_usd=1, margin=1, trigger_price=0, age_s=age_s, resting=False, frozen=False
    )
    return replace(slot(0.0), orders=(order,), order_expires_s=300)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("age_s", "ours", "back"), [(300, True, True), (299, True, False), (900, False, False)]
)
async def test_hedge__whose_own_order_is_late_on_a_flat_slot__takes_it_back_and_nobody_else_s(
    tmp_path: Path, age_s: int, ours: bool, back: bool
) -> None:
    house = House(tmp_path)
    await house.look()
    house.ended()
    subject = str(house.sent.plans[0].key) if ours else "hedge:other"
    key = "0x" + "ab" * 32
    row = Entry(kind="order", chain_id=1, block_number=1, subject=subject, why="", data={"order": key})
    house.journal.record(row)
    house.facts.perp = waits(key, age_s)
    snapshot = await house.look()
    sent = [s for p in house.sent.plans[1:] for s in p.steps]
    assert [isinstance(s, CancelOrder) and (s.order, s.late) == (key, True) for s in sent] == [True] * back
    if back:
        assert house.journal.entries(KIND)[-1].data == {"takes_back": key}
        policy = hedge_policy(house.hedge, snapshot, 500)
        assert policy is not None
        assert policy.refuses(fields(sent[0], snapshot)) is None


def fields(step: Step, snapshot: Snapshot, **other: Any) -> TxFields:
    position = snapshot.position(VENUE.position_id(LINK.short.account))
    assert position is not None
    call = VENUE.encode(step, position)
    given = {
        "chain_id": SLOT.chain_id,
        "nonce": 0,
        "to": call.target,
        "data": call.data,
        "value_wei": call.value_wei,
        "gas_limit": 3_000_000,
        "max_fee_wei": 10**9,
        "tip_wei": 10**6,
    }
    return TxFields(**{**given, **other})


@pytest.mark.asyncio
async def test_signer_of_a_hedge__takes_its_orders_and_nothing_else(tmp_path: Path) -> None:
    house = House(tmp_path, eth=5.0)
    snapshot = await house.look()
    policy = hedge_policy(house.hedge, snapshot, 500)
    assert policy is not None
    (plan,) = house.sent.plans
    (step,) = plan.steps
    assert isinstance(step, GrowPerp)
    assert policy.refuses(fields(step, snapshot)) is None
    dollars = Amount(token=USDC, units=1_000 * 10**6)
    others = (
        fields(replace(step, size_usd=step.size_usd + 5_000 * 10**30), snapshot),
        fields(replace(step, worst_price=1), snapshot),
        fields(AddMargin(amount=dollars, fee_wei=step.fee_wei), snapshot),
        fields(step, snapshot, to=SLOT.router),
        fields(step, snapshot, data=orders.cancel("0x" + "11" * 32), value_wei=1),
        fields(step, snapshot, data=orders.cancel("0x" + "11" * 32), value_wei=0, to=SLOT.router),
        fields(step, snapshot, chain_id=SLOT.chain_id + 1),
    )
    assert all(policy.refuses(tx) is not None for tx in others)
