"""The pool that stands before anvil, rule by rule; and that the keeper understands every client's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.errors import Rejected
from keeper.transaction.answers import Verdict, verdict
from tests.chaos.rpc.clients import CLIENTS, voice
from tests.chaos.rpc.pool import Pool, Refused, Rules, State, Tx, Why, intrinsic_gas

pytestmark = pytest.mark.unit

RICH = State(nonce=5, balance_wei=10**24, base_fee_wei=10**9)


def tx(nonce: int = 5, *, fee: int = 10**9, tip: int = 10**8, sender: str = "0xaa", gas: int = 100_000) -> Tx:
    """A transaction whose hash tells its fields apart."""
    return Tx(
        raw=b"raw", hash=f"{sender}:{nonce}:{fee}:{tip}:{gas}", sender=sender, nonce=nonce, gas_limit=gas,
        max_fee_wei=fee, tip_wei=tip, value_wei=0, data=b"",
    )  # fmt: skip


def why(refused: Refused | None) -> Why | None:
    return None if refused is None else refused.why


@pytest.mark.parametrize(
    ("fee", "tip", "taken"),
    [
        (10**9, 10**8, False),
        (10**9 + 1, 10**8 + 1, False),
        (11 * 10**8, 10**8, False),
        (10**9, 11 * 10**7, False),
        (11 * 10**8 - 1, 11 * 10**7, False),
        (11 * 10**8, 11 * 10**7 - 1, False),
        (11 * 10**8, 11 * 10**7, True),
        (1125 * 10**6, 1125 * 10**5, True),
    ],
)
def test_pool__when_replaced__then_only_ten_per_cent_more_on_both_fields_will_do(
    fee: int, tip: int, taken: bool
) -> None:
    pool = Pool()
    assert pool.add(tx(), RICH) is None
    again = pool.add(tx(fee=fee, tip=tip, gas=100_001), RICH)
    assert why(again) is (None if taken else Why.REPLACEMENT)
    assert [t.max_fee_wei for t in pool.pending("0xaa")] == [fee if taken else 10**9]


def test_pool__when_ten_per_cent_of_few_wei_floors__then_one_wei_more_is_enough_and_equal_is_not() -> None:
    pool = Pool()
    pool.add(tx(fee=5, tip=5), RICH)
    assert why(pool.add(tx(fee=5, tip=5, gas=90_000), RICH)) is Why.REPLACEMENT
    assert pool.add(tx(fee=6, tip=6), RICH) is None


@pytest.mark.parametrize(
    ("made", "state", "expected"),
    [
        (tx(4), RICH, Refused(why=Why.NONCE_LOW, have=4, want=5)),
        (
            tx(),
            replace(RICH, balance_wei=10**14 - 1),
            Refused(why=Why.FUNDS, have=10**14 - 1, want=10**14),
        ),
        (tx(tip=0), RICH, Refused(why=Why.TIP_LOW, have=0, want=1)),
        (tx(gas=20_999), RICH, Refused(why=Why.INTRINSIC, have=20_999, want=21_000)),
        (tx(tip=2 * 10**9), RICH, Refused(why=Why.TIP_ABOVE_FEE, have=2 * 10**9, want=10**9)),
        (tx(gas=2**24 + 1), RICH, Refused(why=Why.GAS_CAP, have=2**24 + 1, want=2**24)),
        (tx(gas=61_000_000), RICH, Refused(why=Why.BLOCK_GAS, have=61_000_000, want=60_000_000)),
        (replace(tx(), raw=bytes(131_073)), RICH, Refused(why=Why.OVERSIZED, have=131_073, want=131_072)),
    ],
)
def test_pool__when_a_rule_is_broken__then_it_says_which_and_by_how_much(
    made: Tx, state: State, expected: Refused
) -> None:
    pool = Pool()
    assert pool.add(made, state) == expected
    assert len(pool) == 0


def test_pool__when_the_same_bytes_come_again__then_they_are_known() -> None:
    pool = Pool()
    pool.add(tx(), RICH)
    assert why(pool.add(tx(), RICH)) is Why.KNOWN


def test_pool__when_the_fee_is_below_the_base_fee__then_geth_keeps_it_and_a_strict_one_does_not() -> None:
    assert Pool().add(tx(fee=10**9 - 1), RICH) is None
    strict = Pool(rules=Rules(below_base_fee=False))
    assert why(strict.add(tx(fee=10**9 - 1), RICH)) is Why.BASE_FEE
    assert strict.add(tx(), RICH) is None


def test_pool__when_a_nonce_is_missing__then_the_later_ones_wait_until_it_comes() -> None:
    pool = Pool()
    for nonce in (7, 6):
        assert pool.add(tx(nonce), RICH) is None
    assert pool.pending("0xaa") == []
    assert [t.nonce for t in pool.queued("0xaa")] == [6, 7]
    pool.add(tx(5), RICH)
    assert [t.nonce for t in pool.pending("0xaa")] == [5, 6, 7]


def test_pool__when_all_together_cost_more_than_the_sender_has__then_the_last_is_refused() -> None:
    state = replace(RICH, balance_wei=2 * 10**14)
    pool = Pool()
    assert pool.add(tx(5), state) is None
    assert pool.add(tx(6), state) is None
    assert why(pool.add(tx(7), state)) is Why.FUNDS
    assert why(pool.add(tx(6, fee=2 * 10**9, tip=10**9), state)) is Why.FUNDS


def test_pool__when_more_than_64_wait_behind_a_gap__then_the_highest_nonces_go_silently() -> None:
    pool = Pool()
    for nonce in range(6, 6 + 70):
        assert pool.add(tx(nonce), RICH) is None
    assert [t.nonce for t in pool.queued("0xaa")] == list(range(6, 70))


def test_pool__when_all_slots_are_taken__then_who_has_more_than_16_loses_the_highest_nonces() -> None:
    pool = Pool(rules=Rules(global_slots=20, global_queue=20))
    pool.add(tx(5, sender="0xbb"), RICH)
    for nonce in range(5, 5 + 24):
        assert pool.add(tx(nonce), RICH) is None
    assert [t.nonce for t in pool.pending("0xaa")] == list(range(5, 24))
    assert len(pool.pending("0xbb")) == 1


def test_pool__when_full__then_the_cheapest_goes_for_a_dearer_one_only() -> None:
    pool = Pool(rules=Rules(global_slots=1, global_queue=1))
    pool.add(tx(sender="0xaa", tip=2), RICH)
    pool.add(tx(sender="0xbb", tip=3), RICH)
    assert why(pool.add(tx(sender="0xcc", tip=2), RICH)) is Why.FULL
    assert why(pool.add(tx(9, sender="0xcc", tip=9), RICH)) is Why.FUTURE
    assert pool.add(tx(sender="0xcc", tip=3), RICH) is None
    assert set(pool.senders) == {"0xbb", "0xcc"}


def test_pool__when_a_block_is_settled__then_what_it_mined_is_gone() -> None:
    pool = Pool()
    for nonce in (5, 6):
        pool.add(tx(nonce), RICH)
    pool.settle({"0xaa": 6})
    assert [t.nonce for t in pool.pending("0xaa")] == [6]


def test_intrinsic_gas__when_calldata_is_long__then_the_floor_counts() -> None:
    assert intrinsic_gas(b"") == 21_000
    assert intrinsic_gas(b"\x01\x00") == 21_000 + 50


EXPECTED = {
    Why.KNOWN: {Verdict.KNOWN},
    Why.OVERSIZED: {Verdict.REFUSED},
    Why.BLOCK_GAS: {Verdict.REFUSED},
    Why.GAS_CAP: {Verdict.REFUSED},
    Why.TIP_ABOVE_FEE: {Verdict.REFUSED},
    Why.INTRINSIC: {Verdict.REFUSED},
    Why.TIP_LOW: {Verdict.FEE_LOW},
    Why.BASE_FEE: {Verdict.FEE_LOW},
    Why.NONCE_LOW: {Verdict.NONCE_LOW},
    Why.FUNDS: {Verdict.FUNDS},
    # some say underpriced, others that the pool is full: a dearer one would be taken by either
    Why.FULL: {Verdict.FEE_LOW, Verdict.POOL_FULL},
    Why.FUTURE: {Verdict.NONCE_HIGH},
    Why.REPLACEMENT: {Verdict.UNDERPRICED},
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("reason", list(Why))
def test_answer__when_a_client_refuses__then_the_keeper_understands_its_words(
    client: str, reason: Why
) -> None:
    code, message = voice(client)(Refused(why=reason, have=7, want=9))
    assert verdict(Rejected(code, message, None), "0x00") in EXPECTED[reason], message
