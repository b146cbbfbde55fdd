"""What was thought over ahead, on a small reading of the nearest: taken only where the whole block shows the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.daemon import rooms
from keeper.daemon.nearest import Glimpse, Nearest, glimpsed, nothing
from keeper.daemon.triage import FEW_MAX, line_wad
from keeper.model import Block, Outcome, Plan, Refusal, Snapshot
from keeper.seams import Venue
from keeper.snapshot import Film, expose
from keeper.units import WAD
from keeper.venues.aave_v3 import book
from tests import build
from tests.aave_market import FakeMarket, FakeUser, market
from tests.aave_snapshot import WALLET, gathered, request
from tests.loop_double import DIGEST, GivenFacts, Loop, loop, vault

pytestmark = pytest.mark.property
SEEDS, BLOCKS, PEOPLE = 12, 5, 6
ACCOUNTS = tuple(build.to_checksum_address(f"0x{k:040x}") for k in range(0xA0, 0xA0 + PEOPLE))
HELD = ("6.65", "6.95", "7.25", "7.3", "8", "8.3", "10", "12")
MANY = tuple(book.checksum(0xACC0 + k) for k in range(9))
LINE = 2 * WAD


class Thoughtful(GivenFacts):
    """Facts that show the low first, and before that a guess of them."""

    def __init__(self, given: GivenFacts, guess: Callable[[Snapshot], Snapshot]) -> None:
        super().__init__()
        self.given, self.guess = given, guess
        self.think: Callable[[Snapshot], None] = nothing
        self.then: Callable[[], None] = lambda: None
        """What happens between the thought and the whole block."""
        self.guessed = 0

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """The whole."""
        return await self.given.take(block, venues)

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """The few."""
        whole = self.given.next
        assert isinstance(whole, Snapshot)
        line = line_wad(build.policy())
        low = tuple(p for p in whole.positions if p.health_wad is not None and p.health_wad < line)
        if not low:
            return None
        few = replace(whole, positions=low, digest="")
        await asyncio.sleep(0.004)
        self.guessed += 1
        self.think(self.guess(few))
        self.then()
        return few, ()


def house(home: Path, guess: Callable[[Snapshot], Snapshot] | None) -> Loop:
    """A loop over its own journal, which thinks ahead of its few or does not look at them first."""
    home.mkdir()
    made = loop(home, accounts=ACCOUNTS)
    made.journal.set_control("armed", DIGEST, "test", "")
    if guess is not None:
        running, facts = made.running, Thoughtful(made.facts, guess)
        running.parts = replace(running.parts, facts=facts)
        facts.think = running.foresee
    return made


async def lived(made: Loop, blocks: list[Snapshot]) -> list[list[Plan]]:
    """What was sent in each of those blocks."""
    lane = asyncio.create_task(made.running.serve_lane())
    await asyncio.sleep(0)
    sent = []
    for shown in blocks:
        before = len(made.sender.asked)
        made.facts.next = shown
        made.running.hand(await made.running.tick(shown.block))
        await made.running.drained()
        sent.append(sorted(made.sender.asked[before:], key=lambda p: p.key))
    lane.cancel()
    await asyncio.gather(lane, return_exceptions=True)
    return sent


def night(rng: random.Random) -> list[Snapshot]:
    """Blocks in which anybody may be anywhere; the wallet seldom suffices for all."""
    blocks = []
    for number in range(101, 101 + BLOCKS):
        shown = [replace(vault(units=rng.choice(HELD), account=a), block_number=number) for a in ACCOUNTS]
        means = build.means([build.amount(build.USDC, rng.choice(("500", "3000", "20000")))], native="10")
        prices = {
            h.feed: h.price_base / 10**build.BASE_DECIMALS for p in shown for h in (*p.collateral, *p.debt)
        }
        made = build.snapshot(shown, wallet=means, at=build.block(number))
        blocks.append(replace(made, prices=prices))
    return blocks


def poorer(few: Snapshot) -> Snapshot:
    """The wallet holds next to nothing."""
    balances = tuple(replace(a, units=a.units // 1_000) for a in few.means.balances)
    return replace(few, means=replace(few.means, balances=balances))


def worse(few: Snapshot) -> Snapshot:
    """The first of them is worse off than it is."""
    first = few.positions[0]
    lower = replace(vault(units="6.8", account=first.id.account), block_number=first.block_number)
    return replace(few, positions=(lower, *few.positions[1:]))


def fewer(few: Snapshot) -> Snapshot:
    """One of them was not seen."""
    return replace(few, positions=few.positions[1:])


def older(few: Snapshot) -> Snapshot:
    """Of another block at the same height."""
    return replace(few, block=replace(few.block, hash="0x" + "ee" * 32))


GUESSES: tuple[Callable[[Snapshot], Snapshot], ...] = (lambda few: few, poorer, worse, fewer, older)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_night__when_it_was_thought_over_ahead__then_plans_memory_and_diary_are_those_of_judging_everybody(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    blocks = night(rng)
    plain = house(tmp_path / "plain", None)
    ahead = house(tmp_path / "ahead", lambda few: rng.choice(GUESSES)(few))
    if seed % 3 == 0:
        plain.sender.answer = ahead.sender.answer = Refusal(who="simulation", code="reverts", why="it does")
    try:
        assert asyncio.run(lived(ahead, blocks)) == asyncio.run(lived(plain, blocks))
        assert ahead.running._memory.rows() == plain.running._memory.rows()
        assert _diary(ahead) == _diary(plain)
        for shown in blocks:
            number = shown.block.number
            kept = [x.journal.snapshot(build.CHAIN_ID, number) for x in (ahead, plain)]
            assert kept[0] == kept[1]
        facts = ahead.running.parts.facts
        assert isinstance(facts, Thoughtful)
        assert facts.guessed
    finally:
        plain.journal.close()
        ahead.journal.close()


def _diary(made: Loop) -> dict[str, list[str]]:
    """By kind and block: of one block, those who came first may be told before the others."""
    found: dict[str, list[str]] = {}
    for entry in made.journal.entries():
        found.setdefault(f"{entry.kind} {entry.block_number}", []).append(str(replace(entry, id=0)))
    return {k: sorted(v) for k, v in found.items()}


@pytest.mark.parametrize(("guess", "asked"), [(GUESSES[0], 2), (poorer, 3)])
def test_rooms__when_the_guess_was_right__then_nothing_is_worked_out_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guess: Callable[[Snapshot], Snapshot], asked: int
) -> None:
    counted, real = [], rooms.decided

    def counting(*given: object) -> object:
        counted.append(given)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(rooms, "decided", counting)
    made = house(tmp_path / "house", guess)
    try:
        low = replace(vault(units="7", account=ACCOUNTS[0]), block_number=101)
        means = build.means([build.amount(build.USDC, "20000")], native="10")
        shown = build.snapshot([low], wallet=means, at=build.block(101))
        assert [len(one) for one in asyncio.run(lived(made, [shown]))] == [1]
        # ahead, in its turn unless it was known, and everybody else's
        assert len(counted) == asked
    finally:
        made.journal.close()


def test_rooms__when_an_owner_is_warier_after_the_thought__then_his_word_counts_and_not_the_thought(
    tmp_path: Path,
) -> None:
    low = replace(vault(units="7", account=ACCOUNTS[0]), block_number=101)
    means = build.means([build.amount(build.USDC, "20000")], native="10")
    shown = build.snapshot([low], wallet=means, at=build.block(101))
    ahead = house(tmp_path / "ahead", GUESSES[0])
    plain, same = house(tmp_path / "plain", None), house(tmp_path / "same", GUESSES[0])
    warier = build.policy(emergency="1.2")

    def asked(made: Loop) -> None:
        # as the command does it: in place
        made.running.policies[low.id] = warier

    facts = ahead.running.parts.facts
    assert isinstance(facts, Thoughtful)
    facts.then = lambda: asked(ahead)
    asked(plain)
    try:
        sent = [asyncio.run(lived(made, [shown])) for made in (ahead, plain, same)]
        assert [[p.urgent for p in block] for (block,) in sent] == [[True], [True], [False]]
        assert sent[0] == sent[1]
    finally:
        for made in (ahead, plain, same):
            made.journal.close()


def laid(rng: random.Random) -> tuple[list[FakeUser], FakeMarket]:
    """A market of many of whom some are low."""
    users = [
        FakeUser(collateral={0: 10**18}, debt={1: rng.choice((10**8, 10**9, 12 * 10**8, 14 * 10**8))})
        for _ in MANY
    ]
    return users, of(users)


def of(users: list[FakeUser]) -> FakeMarket:
    """The market in which those hold that."""
    return market(users=dict(zip(MANY, users, strict=True)), wallet={"WETH": 5, "USDC": 7, "native": 11})


def films(rng: random.Random, there: FakeMarket, then: FakeMarket, **changes: object) -> tuple[Film, Film]:
    """Of the nearest at ``there``, and of everybody at ``then``."""
    venue = then.venue()
    _, seen = gathered(request(then, venue, *MANY, wallet=WALLET))
    near = tuple(a for a in MANY if rng.random() < 0.8)
    small = request(there, venue, *near, wallet=WALLET, seen=seen, **changes)
    return asyncio.run(expose(small)), asyncio.run(
        expose(request(then, venue, *MANY, wallet=WALLET, seen=seen))
    )


def glimpse_of(film: Film) -> Glimpse | None:
    """What the nearest show."""
    ((venue, accounts),) = film.request.venues
    lines = {venue.id: np.full(len(accounts), LINE, np.uint64)}
    return asyncio.run(glimpsed(film, Nearest(accounts={venue.id: accounts}, lines=lines), nothing))


@pytest.mark.parametrize("what", ["same", "price", "balance", "wallet", "nonce", "tip", "block", "broken"])
def test_glimpse__whatever_differs__then_it_is_the_whole_block_s_very_snapshot_or_none(what: str) -> None:
    shown = 0
    for seed in range(8):
        rng = random.Random(seed)
        users, then = laid(rng)
        there, changes = of(users), dict[str, object]()
        if what == "price":
            there.set(rng.randrange(2), price=there.reserves[0].price + 1)
        elif what == "balance":
            k = rng.randrange(len(users))
            there = of([replace(u, debt={1: u.debt[1] + 1}) if j == k else u for j, u in enumerate(users)])
        elif what == "wallet":
            there = market(
                users=dict(zip(MANY, users, strict=True)), wallet={"WETH": 5, "USDC": 8, "native": 11}
            )
        elif what in ("nonce", "tip"):
            changes = {"nonce": 1} if what == "nonce" else {"tip_wei": 1}
        elif what == "block":
            changes = {"block": replace(then.block(), hash="0x" + "ee" * 32)}
        elif what == "broken":
            there.broken.add((then.venue().market.pool, book.GET_USER_CONFIGURATION, MANY[rng.randrange(9)]))
        near, whole = films(rng, there, then, **changes)
        ((venue, _),) = whole.request.venues
        low = whole.low({venue.id: np.full(len(MANY), LINE, np.uint64)})
        assert low is not None
        assert len(low[venue.id]) <= FEW_MAX
        found = glimpse_of(near)
        if found is None or (told := found.shown(whole, low)) is None:
            continue
        shown += 1
        assert told == asyncio.run(whole.few(low))
    # a balance of one that is not low changes nothing; everything else does
    assert shown if what in ("same", "balance", "broken") else not shown
