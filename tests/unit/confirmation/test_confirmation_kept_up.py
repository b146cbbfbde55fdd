"""What keeps no signed bytes out of the pools: a signer that hangs, an endless number, a plan whose time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from keeper.confirmation import Confirmation
from keeper.daemon.facts import TEND_S, Lens, LiveFacts
from keeper.daemon.pace import Pace
from keeper.errors import Transient
from keeper.model import Intent, Outcome, Plan
from keeper.seams import Signed, TxFields
from keeper.signer import remote
from keeper.transaction.send import Live
from keeper.units import GWEI
from tests.loop_double import heard
from tests.plans import WALLET, plan, position_id, snapshot
from tests.unit.confirmation.test_confirmation_beside import Keeper
from tests.unit.transaction.test_transaction_settle import Rememberer
from tests.virtual_time import run

pytestmark = pytest.mark.unit


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def tended(keeper: Keeper) -> tuple[Outcome, ...]:
    """A tending in the time that the daemon gives it."""

    async def within() -> tuple[Outcome, ...]:
        facts = LiveFacts(cast(Lens, None), keeper.confirmation, heard(), Pace())
        head = keeper.chain.head
        return await facts._tend(head, snapshot(head, nonce=keeper.chain.nonce))

    return run(within())


def other(keeper: Keeper, *, urgent: bool = False) -> Plan:
    """Of a second position, at the head."""
    return plan(1, at=keeper.chain.head, position=position_id("other"), urgent=urgent)


class Hung(Rememberer):
    """A signer that takes the question, and answers as late as one over a socket is waited for."""

    hung = False

    async def _waited(self) -> None:
        if self.hung:
            await asyncio.sleep(remote.TIMEOUT_S * remote.TRIES)
            raise Transient("no signer answers")

    async def sign(self, tx: TxFields) -> Signed:
        await self._waited()
        return await super().sign(tx)

    async def stored(self, *args: Any) -> Any:
        await self._waited()
        return await super().stored(*args)


def test_tend__when_the_signer_hangs__then_what_is_signed_is_sent_again_and_followed(keeper: Keeper) -> None:
    signer = Hung()
    keeper.live = Live(keeper.journal, keeper.chain, signer)
    keeper.confirmation = Confirmation(keeper.journal, keeper.chain, keeper.live, WALLET)
    keeper.act(other(keeper, urgent=True))
    keeper.act(keeper.plan(1))
    signer.hung = True
    keeper.chain.mine(empty=True)
    tended(keeper)
    keeper.chain.mine()
    assert len(tended(keeper)) == 2, "both are mined, and nothing need be signed to see that"
    keeper.chain.reorg(1)
    sent = len(keeper.chain.sent)
    keeper.chain.mine(empty=True)
    tended(keeper)
    assert sorted(keeper.chain.pool) == [0, 1]
    assert len(keeper.chain.sent) > sent


def test_signer__asked_as_often_as_it_is__leaves_a_tending_the_time_for_what_is_signed_already() -> None:
    assert remote.TIMEOUT_S * remote.TRIES <= TEND_S / 2


@pytest.mark.parametrize("field", ["gasUsed", "effectiveGasPrice", "blockNumber"])
def test_tend__when_a_number_has_thousands_of_digits__then_that_one_waits_and_the_others_go_on(
    keeper: Keeper, field: str
) -> None:
    keeper.act(keeper.plan(1))
    keeper.chain.mine()
    keeper.chain.swallow = True
    keeper.act(other(keeper))
    keeper.chain.swallow = False
    receipt = keeper.chain._receipt

    def endless(tx_hash: str) -> Any:
        told = receipt(tx_hash)
        return None if told is None else {**told, field: "0x" + "f" * 4_000}

    keeper.chain._receipt = endless  # type: ignore[method-assign]
    tended(keeper)
    assert sorted(keeper.chain.pool) == [1], "the other is sent again"
    keeper.chain._receipt = receipt  # type: ignore[method-assign]
    keeper.chain.mine()
    assert len(tended(keeper)) == 2


def test_tend__when_a_plan_s_time_is_over_and_it_stands_before_an_urgent_one__then_freed_with_that_one_s_money(
    keeper: Keeper,
) -> None:
    cheap = other(keeper)
    keeper.chain.swallow = True
    keeper.act(replace(cheap, bounds=replace(cheap.bounds, fee_wei_max=300_000 * 28 * GWEI)))
    keeper.chain.swallow = False
    base_wei = 10 * GWEI
    for n in range(16):
        base_wei = base_wei * 9 // 8
        keeper.chain.mine(base_fee_wei=base_wei, empty=True)
        if n == 9:
            urgent = plan(1, at=keeper.chain.head, urgent=True)
            late = keeper.chain.head.number + 60
            keeper.act(
                replace(urgent, bounds=replace(urgent.bounds, fee_wei_max=10**18 // 4, deadline_block=late))
            )
        tended(keeper)
    in_the_way = _open(keeper, cheap)
    waiting = _open(keeper, plan(1))
    assert in_the_way.attempts[-1].cancel, "its own payload is raised no more"
    assert in_the_way.attempts[-1].fee.max_fee_wei >= waiting.attempts[-2].fee.max_fee_wei, (
        "as of a block before"
    )
    keeper.chain.mine()
    assert keeper.chain.nonce == 2


def _open(keeper: Keeper, made: Plan) -> Intent:
    found = keeper.journal.intent(made.key)
    assert found is not None
    return found
