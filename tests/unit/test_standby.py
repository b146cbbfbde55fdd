"""The second machine: when it steps in, in a model of a thousand deaths of the first; the daemons themselves live
through as many in ``tests/chaos/sim/standby.py``."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest

from keeper.config.records import StandbySettings
from keeper.daemon.standby import Standby
from keeper.model import Amount, Bounds, Call, Means, Plan, PlanKey, Repay, Snapshot, Step
from keeper.units import WAD
from tests import build, mandates

pytestmark = pytest.mark.unit
POLICY = build.policy(trigger="1.25")
POSITION = mandates.borrower()
SALES = {seq: mandates.sale(seq=seq) for seq in (3, 4, 5)}
BLOCKS, MARGIN_WAD = 3, WAD // 100
LOW_WAD, FINE_WAD, BETWEEN_WAD = 120 * WAD // 100, 145 * WAD // 100, 1_245 * WAD // 1_000
DEATHS = 1_000


def standby() -> Standby:
    return Standby(StandbySettings(blocks=BLOCKS, margin_wad=MARGIN_WAD), {build.position_id(): POLICY})


@lru_cache
def holding(seq: int) -> Means:
    """What the Executor says at that number of its own."""
    return mandates.means(mandates.mandate(terms=mandates.terms(seq=seq)))


def seen(number: int, health_wad: int | None, *, seq: int = 3) -> Snapshot:
    position = replace(POSITION, health_wad=health_wad)
    return build.snapshot([position], wallet=holding(seq), at=build.block(number))


def plan(number: int, *, seq: int = 3, step: Step | None = None) -> Plan:
    return Plan(
        key=PlanKey(position=build.position_id(), seq=1),
        strategy="deleverage",
        steps=(step or SALES[seq],),
        call=Call(target=mandates.EXECUTOR, data=b""),
        bounds=Bounds(
            health_after_min_wad=WAD,
            health_after_max_wad=2 * WAD,
            cost_usd_max=1,
            fee_wei_max=1,
            gas_limit=1,
            deadline_block=999,
        ),
        block=build.block(number),
        urgent=False,
        health_before_wad=LOW_WAD,
        why="",
    )


def waited(machine: Standby, healths: list[int | None], *, seqs: list[int] | None = None) -> str:
    """What it says of a plan after so many blocks."""
    for i, health_wad in enumerate(healths):
        machine.see(seen(100 + i, health_wad, seq=seqs[i] if seqs else 3))
    return machine.waits(plan(100 + len(healths) - 1))


@pytest.mark.parametrize(
    ("healths", "left"),
    [
        ([LOW_WAD], 3),
        ([LOW_WAD] * 2, 2),
        ([LOW_WAD] * 3, 1),
        ([FINE_WAD, LOW_WAD], 3),
        ([LOW_WAD, FINE_WAD, LOW_WAD], 3),
    ],
)
def test_waits__when_low_for_too_few_blocks__then_the_first_machine_has_the_rest(
    healths: list[int | None], left: int
) -> None:
    assert f"has {left} blocks more" in waited(standby(), healths)


def test_waits__when_low_for_long_enough__then_it_steps_in() -> None:
    assert waited(standby(), [LOW_WAD] * (BLOCKS + 1)) == ""


def test_waits__when_the_executor_counted_on__then_it_begins_anew() -> None:
    assert "has 3 blocks more" in waited(standby(), [LOW_WAD] * 4, seqs=[3, 3, 3, 4])


def test_waits__when_below_the_trigger_by_less_than_the_margin__then_it_is_the_first_machines() -> None:
    assert "not below the trigger by the margin" in waited(standby(), [BETWEEN_WAD] * 10)


def test_waits__when_a_block_could_not_be_read__then_what_was_counted_stands() -> None:
    machine = standby()
    for number, health_wad in ((100, LOW_WAD), (101, None), (102, LOW_WAD), (103, LOW_WAD)):
        machine.see(seen(number, health_wad))
    assert machine.waits(plan(103)) == ""


@pytest.mark.parametrize(("meanwhile_wad", "anew"), [(LOW_WAD, False), (None, False), (FINE_WAD, True)])
def test_waits__when_the_executor_could_not_be_read__then_what_was_counted_stands_unless_it_was_well(
    meanwhile_wad: int | None, anew: bool
) -> None:
    machine = standby()
    for number, health_wad in ((100, LOW_WAD), (101, meanwhile_wad), (102, LOW_WAD), (103, LOW_WAD)):
        shown = seen(number, health_wad)
        machine.see(replace(shown, means=build.means()) if number == 101 else shown)
    said = machine.waits(plan(103))
    assert ("has 2 blocks more" in said, said == "") == (anew, not anew)


def test_waits__when_the_chain_went_back__then_it_begins_anew() -> None:
    machine = standby()
    for number in (100, 101, 102, 99, 100):
        machine.see(seen(number, LOW_WAD))
    assert "has 2 blocks more" in machine.waits(plan(100))


def test_waits__when_the_wallet_would_pay__then_never() -> None:
    machine = standby()
    waited(machine, [LOW_WAD] * 10)
    paid = Repay(amount=Amount(token=build.USDC, units=1))
    assert "paid twice" in machine.waits(plan(109, step=paid))


@dataclass
class Chain:
    """One position and its Executor, as far as two bots can meet there: a double of what ``seq`` promises."""

    health_wad: int = FINE_WAD
    seq: int = 3
    acted: int = 0
    refused: int = 0
    number: int = 100

    def land(self, seqs: list[int]) -> None:
        """A block with the transactions of the bots, each with the number that it was signed for."""
        self.number += 1
        for seq in seqs:
            if seq == self.seq and self.health_wad < POLICY.trigger_wad:
                self.health_wad, self.seq, self.acted = FINE_WAD, seq + 1, self.acted + 1
            else:
                self.refused += 1


@dataclass(frozen=True)
class Death:
    """When prices fall, when the first machine dies, and how long what it sent lies around."""

    falls: int
    dies: int
    late: int


def lived(seed: int) -> tuple[int, int, int, int]:
    """(actions, refused transactions, blocks from fall to rescue, sent by the standby) of one death."""
    dice = random.Random(seed)
    death = Death(falls=dice.randint(3, 8), dies=dice.randint(1, 14), late=dice.randint(0, 6))
    chain, machine = Chain(), standby()
    on_the_way: list[tuple[int, int]] = []
    first_sent = second_sent = 0
    rescued_after = -1
    for block in range(40):
        if block == death.falls:
            chain.health_wad = LOW_WAD
        alive = block < death.dies
        if alive and chain.health_wad < POLICY.trigger_wad and not first_sent:
            # what has left the machine may be included long after it died
            on_the_way.append((block + death.late, chain.seq))
            first_sent += 1
        machine.see(seen(chain.number, chain.health_wad, seq=chain.seq))
        if chain.health_wad < POLICY.trigger_wad and machine.waits(plan(chain.number, seq=chain.seq)) == "":
            on_the_way.append((block + dice.randint(0, 2), chain.seq))
            second_sent += 1
        due = [seq for at, seq in on_the_way if at <= block]
        on_the_way = [(at, seq) for at, seq in on_the_way if at > block]
        dice.shuffle(due)
        chain.land(due)
        if rescued_after < 0 and block >= death.falls and chain.acted:
            rescued_after = block - death.falls
    return chain.acted, chain.refused, rescued_after, second_sent


def test_standby__when_the_first_machine_dies_a_thousand_times__then_nothing_is_missed_or_done_twice() -> (
    None
):
    nights = [lived(seed) for seed in range(DEATHS)]
    missed = sum(acted == 0 for acted, _, _, _ in nights)
    doubled = sum(acted > 1 for acted, _, _, _ in nights)
    assert (missed, doubled) == (0, 0)
    # never later than its own patience and what a transaction takes
    assert max(after for _, _, after, _ in nights) <= BLOCKS + 2
    stepped_in = [n for n in nights if n[3]]
    assert len(stepped_in) > DEATHS // 4, "the first machine hardly ever died in time: the test is idle"
    assert any(not n[3] for n in nights), "the first machine was never in time"
