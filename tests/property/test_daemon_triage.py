"""Those in need first: the same decisions, plans, memory and diary as when everybody is judged together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.daemon.triage import line_wad
from keeper.errors import Transient
from keeper.model import Block, Entry, Outcome, Plan, Refusal, Snapshot, Unreadable
from keeper.seams import Venue
from tests import build
from tests.loop_double import DIGEST, GivenFacts, Loop, loop, vault

pytestmark = pytest.mark.property
PEOPLE, BLOCKS, SEEDS = 6, 5, 10
ACCOUNTS = tuple(build.to_checksum_address(f"0x{k:040x}") for k in range(0xA0, 0xA0 + PEOPLE))
HELD = ("6.65", "6.95", "7.25", "7.3", "8", "8.3", "10", "12")
"""Healths from 1.1 to 2: on both sides of every level of the builders' policy."""


class Glancing(GivenFacts):
    """Facts that show the low first, as a screen over the words would."""

    def __init__(self, given: GivenFacts) -> None:
        super().__init__()
        self.given = given
        self.glanced = 0

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """The whole."""
        return await self.given.take(block, venues)

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """The few."""
        whole = self.given.next
        if isinstance(whole, Exception):
            raise whole
        line = line_wad(build.policy())
        low = tuple(p for p in whole.positions if p.health_wad is not None and p.health_wad < line)
        if not low:
            return None
        self.glanced += 1
        return replace(whole, positions=low, unreadable=whole.unreadable[:1], digest=""), ()


def house(home: Path, *, first: bool, armed: bool = True) -> Loop:
    """A loop over its own journal, which looks at the few first or does not."""
    home.mkdir()
    made = loop(home, accounts=ACCOUNTS)
    made.journal.set_control("armed", DIGEST if armed else None, "test", "")
    if first:
        running = made.running
        running.parts = replace(running.parts, facts=Glancing(made.facts))
    return made


async def lived(made: Loop, blocks: list[Snapshot]) -> list[tuple[Plan, ...]]:
    """Those blocks as the service lives them; what was sent in each."""
    lane = asyncio.create_task(made.running.serve_lane())
    await asyncio.sleep(0)
    sent = []
    for shown in blocks:
        before = len(made.sender.asked)
        made.facts.next = shown
        made.running.hand(await made.running.tick(shown.block))
        await made.running.drained()
        sent.append(tuple(made.sender.asked[before:]))
    lane.cancel()
    await asyncio.gather(lane, return_exceptions=True)
    return sent


def told(made: Loop) -> list[Entry]:
    """The diary, but for what it says of time."""
    return list(made.journal.entries())


def night(seed: int) -> list[Snapshot]:
    """Blocks in which anybody may be anywhere, unreadable at times; the wallet seldom suffices for all."""
    rng = random.Random(seed)
    blocks = []
    for number in range(101, 101 + BLOCKS):
        at = build.block(number)
        shown, lost = [], []
        for account in ACCOUNTS:
            if rng.random() < 0.1:
                lost.append(Unreadable(id=build.position_id(account), why="reverted", since_block=number))
                continue
            shown.append(replace(vault(units=rng.choice(HELD), account=account), block_number=number))
        means = build.means([build.amount(build.USDC, rng.choice(("500", "3000", "20000")))], native="10")
        holdings = [h for p in shown for h in (*p.collateral, *p.debt)]
        prices = {h.feed: h.price_base / 10**build.BASE_DECIMALS for h in holdings}
        blocks.append(replace(build.snapshot(shown, unreadable=lost, wallet=means, at=at), prices=prices))
    return blocks


@pytest.mark.parametrize("seed", range(SEEDS))
def test_night__when_the_few_come_first__then_plans_memory_and_diary_are_those_of_judging_everybody(
    tmp_path: Path, seed: int
) -> None:
    blocks = night(seed)
    armed = seed % 4 != 1
    plain, first = (house(tmp_path / str(way), first=way, armed=armed) for way in (False, True))
    if seed % 3 == 0:
        # what is refused on the lane is tried again with the next block, in both houses alike
        plain.sender.answer = first.sender.answer = Refusal(who="simulation", code="reverts", why="it does")
    try:
        ours, theirs = asyncio.run(lived(first, blocks)), asyncio.run(lived(plain, blocks))
        assert [sorted(p.key for p in one) for one in ours] == [sorted(p.key for p in one) for one in theirs]
        assert [set(one) for one in ours] == [set(one) for one in theirs]
        assert first.running._memory.rows() == plain.running._memory.rows()
        assert _by_kind(told(first)) == _by_kind(told(plain))
        for shown in blocks:
            number = shown.block.number
            assert first.journal.snapshot(build.CHAIN_ID, number) == plain.journal.snapshot(
                build.CHAIN_ID, number
            )
        glanced = first.running.parts.facts
        assert isinstance(glanced, Glancing)
        assert glanced.glanced
    finally:
        plain.journal.close()
        first.journal.close()


def _by_kind(entries: list[Entry]) -> dict[str, list[str]]:
    """The diary by kind and block: of one block, those who came first may be told before the others."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(f"{entry.kind} {entry.block_number}", []).append(str(replace(entry, id=0)))
    return {k: sorted(v) for k, v in found.items()}


def test_few__when_the_rest_of_the_block_cannot_be_read__then_what_was_done_first_is_in_the_diary_all_the_same(
    tmp_path: Path,
) -> None:
    made = house(tmp_path / "lost", first=True)
    at = build.block(101)
    low = replace(vault(units="7", account=ACCOUNTS[0]), block_number=101)
    shown = replace(build.snapshot([low], wallet=build.means([build.amount(build.USDC, "20000")]), at=at))

    async def lost() -> None:
        lane = asyncio.create_task(made.running.serve_lane())
        await asyncio.sleep(0)
        made.facts.next = shown
        facts = made.running.parts.facts
        assert isinstance(facts, Glancing)

        async def broken(*_: object) -> tuple[Snapshot, tuple[Outcome, ...]]:
            raise Transient("nobody answers")

        facts.take = broken  # type: ignore[method-assign]
        with pytest.raises(Transient):
            await made.running.tick(at)
        made.running.unseen(at, "nobody answers")
        lane.cancel()
        await asyncio.gather(lane, return_exceptions=True)

    asyncio.run(lost())
    assert len(made.sender.asked) == 1
    id = build.position_id(ACCOUNTS[0])
    rows = made.journal.entries("decision", str(id))
    assert [r.data["level"] for r in rows] == ["ACT"]
    assert made.running.remembered(id).last_action_block == 101
    made.journal.close()
