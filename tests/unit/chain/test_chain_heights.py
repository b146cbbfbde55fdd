"""Whose height counts: a real lag demotes, one endpoint's word beyond all belief does not."""

from __future__ import annotations

import pytest

from keeper.chain.endpoint import State
from keeper.chain.heights import STILL_S
from keeper.errors import Transient
from tests.unit.chain.bodies import Answer, Bench, FakeBody
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit

TRUE, ABSURD, BLOCK_S = 23_000_000, 300_000_000, 12


class Chain(Bench):
    """Endpoints that all tell the chain's height, until a test sets one of them apart."""

    def __init__(self, count: int) -> None:
        self.told = dict.fromkeys("abc"[:count], TRUE)
        super().__init__(*(FakeBody(self._answer(name)) for name in self.told))

    def _answer(self, name: str) -> Answer:
        return lambda method, params: hex(self.told[name])

    async def blocks(self, count: int, *names: str) -> None:
        """So many blocks, which these see; everybody is asked after each."""
        for _ in range(count):
            self.clock.advance(BLOCK_S)
            self.told |= {n: self.told[n] + 1 for n in names}
            await self.endpoints.probe()

    @property
    def states(self) -> list[State]:
        return [s.state for s in self.endpoints.status()]

    async def height(self) -> int:
        return int(str(await self.endpoints.request("eth_blockNumber", [])), 16)


@virtual
@pytest.mark.parametrize("count", [2, 3])
async def test_height__when_one_leaps_beyond_belief_and_dies__then_the_others_are_read_on(count: int) -> None:
    async with Chain(count) as chain:
        await chain.blocks(2, *"abc"[:count])
        chain.told["a"] = ABSURD
        await chain.blocks(1, *"bc"[: count - 1])
        assert chain.states == [State.LAGGING, *[State.UP] * (count - 1)]
        assert await chain.height() == TRUE + 3
        assert chain.endpoints.head_numbers["a"] is None
        chain.bodies[0].answer = lambda m, p: Transient("a: down")
        await chain.blocks(4, *"bc"[: count - 1])
        assert chain.states == [State.OUT, *[State.UP] * (count - 1)]
        assert ("b", "lagging") not in chain.kinds


@virtual
@pytest.mark.parametrize("rises", [False, True])
async def test_height__when_one_of_two_goes_on_after_its_leap__then_it_is_refused_until_it_is_back(
    rises: bool,
) -> None:
    async with Chain(2) as chain:
        await chain.blocks(1, "a", "b")
        chain.told["a"] = ABSURD
        await chain.blocks(20, *("ab" if rises else "b"))
        assert chain.states == [State.LAGGING, State.UP]
        assert await chain.height() == TRUE + 21
        assert "nobody bears out" in next(e.why for e in chain.events if e.kind == "lagging")
        chain.told["a"] = TRUE + 21
        await chain.blocks(1, "a", "b")
        assert chain.kinds[-1] == ("a", "recovered")


@virtual
async def test_height__when_an_endpoint_dies__then_what_it_told_counts_until_it_would_stand_still() -> None:
    async with Chain(2) as chain:
        chain.told["a"] = TRUE + 100
        await chain.endpoints.probe()
        await chain.blocks(1, "b")
        assert chain.states == [State.UP, State.LAGGING]
        chain.bodies[0].answer = lambda m, p: Transient("a: down")
        await chain.blocks(4, "b")
        assert chain.states == [State.OUT, State.LAGGING]
        await chain.blocks(int(STILL_S) // BLOCK_S, "b")
        assert chain.states == [State.OUT, State.UP]
        assert await chain.height() == TRUE + 5 + int(STILL_S) // BLOCK_S


@virtual
async def test_height__when_the_one_at_the_head_fails_for_a_moment__then_one_that_lags_does_not_stand_in() -> (
    None
):
    async with Chain(2) as chain:
        await chain.blocks(100, "a")
        assert chain.states == [State.UP, State.LAGGING]
        well = chain.bodies[0].answer
        chain.bodies[0].answer = lambda m, p: Transient("a: bad gateway")
        for _ in range(3):
            with pytest.raises(Transient):
                await chain.height()
        chain.bodies[0].answer = well
        await chain.blocks(1, "a", "b")
        assert await chain.height() == TRUE + 101
        assert ("b", "recovered") not in chain.kinds


@virtual
async def test_height__when_two_sync_from_one_snapshot__then_the_lone_one_at_the_head_demotes_them() -> None:
    chain = Chain(3)
    chain.told |= dict.fromkeys("bc", TRUE - 20_000)
    async with chain:
        await chain.blocks(1, "a")
        for _ in range(10):
            chain.told |= {n: chain.told[n] + 30 for n in "bc"}
            await chain.blocks(1, "a")
        assert chain.states == [State.UP, State.LAGGING, State.LAGGING]
        assert await chain.height() == TRUE + 11


@virtual
async def test_height__when_one_of_three_begins_beyond_belief__then_the_two_that_agree_count() -> None:
    chain = Chain(3)
    chain.told["a"] = ABSURD
    async with chain:
        await chain.blocks(1, "a", "b", "c")
        await chain.blocks(9, "a", "b", "c")
        assert chain.states == [State.LAGGING, State.UP, State.UP]


@virtual
async def test_height__when_one_of_two_begins_beyond_belief_and_stands_still__then_the_other_counts() -> None:
    chain = Chain(2)
    chain.told["a"] = ABSURD
    async with chain:
        await chain.blocks(1, "b")
        assert chain.states == [State.UP, State.LAGGING], "which is right cannot be known yet"
        await chain.blocks(int(STILL_S) // BLOCK_S + 1, "b")
        assert chain.states == [State.LAGGING, State.UP]


@virtual
async def test_height__when_a_second_shows_one_near_it__then_a_leap_is_borne_out() -> None:
    async with Chain(3) as chain:
        # the machine slept for a month
        chain.told |= dict.fromkeys("ab", TRUE + 200_000)
        await chain.blocks(2, "a", "b", "c")
        assert chain.states == [State.UP, State.UP, State.LAGGING]


@virtual
async def test_height__when_the_others_stand_still__then_the_one_that_moves_counts_however_far() -> None:
    async with Chain(3) as chain:
        chain.told["a"] = TRUE + 200_000
        await chain.blocks(int(STILL_S) // BLOCK_S + 2, "a")
        assert chain.states == [State.UP, State.LAGGING, State.LAGGING]


@virtual
async def test_height__when_a_node_syncs_from_far_behind__then_the_lone_other_still_demotes_it() -> None:
    chain = Chain(2)
    chain.told["a"] = TRUE - 20_000
    async with chain:
        for _ in range(20):
            chain.told["a"] += 200
            await chain.blocks(1, "b")
        assert chain.states == [State.LAGGING, State.UP]
        chain.told["a"] = chain.told["b"]
        await chain.blocks(1, "a", "b")
        assert chain.states == [State.UP, State.UP]


@virtual
async def test_height__when_two_fall_behind_by_hours__then_the_lone_one_ahead_still_demotes_them() -> None:
    async with Chain(3) as chain:
        await chain.blocks(900, "a")
        assert chain.states == [State.UP, State.LAGGING, State.LAGGING]
        assert await chain.height() == TRUE + 900


@virtual
async def test_height__when_an_endpoint_proves_another_chain__then_what_it_told_counts_no_more() -> None:
    async with Chain(2) as chain:
        chain.told["a"] = TRUE + 100
        await chain.endpoints.probe()
        chain.endpoints.rule_out("a", 1)
        await chain.blocks(1, "b")
        assert chain.states == [State.UP, State.UP]
        assert chain.endpoints.head_numbers["b"] == TRUE + 1


@virtual
async def test_height__when_the_machine_slept_and_the_other_syncs__then_the_one_that_syncs_is_no_witness() -> (
    None
):
    chain = Chain(2)
    chain.told["b"] = TRUE - 20_000
    async with chain:
        for _ in range(3):
            chain.told["b"] += 200
            await chain.blocks(1, "a")
        # no clock counted the month, so it looks like a leap
        chain.told = {"a": TRUE + 200_000, "b": TRUE - 19_000}
        await chain.endpoints.probe()
        assert chain.states == [State.UP, State.LAGGING]
        assert await chain.height() == TRUE + 200_000


@virtual
async def test_height__when_one_is_wrong_by_days_and_another_syncs_past_it__then_they_are_no_two_witnesses() -> (
    None
):
    chain = Chain(3)
    chain.told |= dict.fromkeys("bc", TRUE - 20_000)
    async with chain:
        for _ in range(5):
            chain.told["c"] += 30
            await chain.blocks(1, "a", "b")
        assert chain.states == [State.UP, State.LAGGING, State.LAGGING]
        assert await chain.height() == TRUE + 5


@virtual
async def test_height__when_one_that_leapt_is_dead__then_it_bears_out_no_other_leap() -> None:
    async with Chain(3) as chain:
        await chain.blocks(2, "a", "b", "c")
        chain.told["a"] = ABSURD
        await chain.blocks(1, "b", "c")
        chain.bodies[0].answer = lambda m, p: Transient("a: down")
        await chain.blocks(4, "b", "c")
        chain.told["b"] = ABSURD + 1
        await chain.blocks(1, "c")
        await chain.blocks(1, "b", "c")
        assert chain.states == [State.OUT, State.LAGGING, State.UP]
        assert await chain.height() == TRUE + 9


@virtual
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("ahead", [20, 300, 7_000])
async def test_height__when_one_stands_still_ahead_of_those_that_go_on__then_it_blinds_nobody_for_longer_than_that(
    count: int, ahead: int
) -> None:
    async with Chain(count) as chain:
        names = "abc"[:count]
        await chain.blocks(2, *names)
        chain.told["a"] += ahead
        await chain.blocks(1, *names[1:])
        assert chain.states == [State.UP, *[State.LAGGING] * (count - 1)], "it may be the head"
        await chain.blocks(int(STILL_S) // BLOCK_S + 1, *names[1:])
        assert chain.states == [State.LAGGING, *[State.UP] * (count - 1)]
        assert await chain.height() == TRUE + 9


@virtual
async def test_height__when_the_head_stands_still_and_another_syncs__then_not_used_before_it_is_there() -> (
    None
):
    chain = Chain(2)
    chain.told["b"] = TRUE - 2_000
    async with chain:
        await chain.blocks(1, "a")
        for _ in range(9):
            chain.told["b"] += 200
            await chain.blocks(1)
        assert chain.states == [State.UP, State.LAGGING]
        assert await chain.height() == TRUE + 1


@virtual
async def test_height__when_the_chain_halts__then_one_that_lagged_before_is_not_used_for_it() -> None:
    async with Chain(2) as chain:
        await chain.blocks(120, "a")
        await chain.blocks(5, "a", "b")
        assert chain.states == [State.UP, State.LAGGING]
        await chain.blocks(3 * int(STILL_S) // BLOCK_S, "b")
        assert chain.states == [State.UP, State.LAGGING]
        assert await chain.height() == TRUE + 125


@virtual
async def test_height__when_one_that_lagged_caught_up_once__then_it_is_a_witness_again() -> None:
    async with Chain(2) as chain:
        await chain.blocks(20, "a")
        chain.told["b"] = chain.told["a"]
        await chain.blocks(2, "a", "b")
        chain.told["a"] += 300
        await chain.blocks(int(STILL_S) // BLOCK_S + 2, "b")
        assert chain.states == [State.LAGGING, State.UP]


@virtual
@pytest.mark.parametrize("ahead", [1, 2], ids=["near", "at its edge"])
async def test_height__when_one_stands_still_within_the_tolerance_of_another__then_both_are_used(
    ahead: int,
) -> None:
    async with Chain(2) as chain:
        chain.told["a"] = TRUE + 1 + ahead
        await chain.endpoints.probe()
        chain.clock.advance(10 * STILL_S)
        chain.told["b"] = TRUE + 1
        await chain.endpoints.probe()
        await chain.endpoints.probe()
        assert chain.states == [State.UP, State.UP]
