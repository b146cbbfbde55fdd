"""What is asked of a chain's Executors, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_abi.abi import encode

from keeper.executor import load, quotes, read
from keeper.executor.desk import Desk
from keeper.executor.load import Place, Wanted
from keeper.executor.quotes import Way, Window
from keeper.executor.read import Listed, Post
from keeper.model import Call, Mandate, Side, Snapshot, Source
from keeper.units import WAD
from keeper.words import Words
from tests import build
from tests.build import ALICE, BOB, DAI, POOL, USDC, WALLET, WETH
from tests.mandates import DIRECT, EXECUTOR, KEY, NOW_S, ROUTER, borrower, mandate, route, terms

pytestmark = pytest.mark.unit
RECEIPT = "0x" + "1a" * 20
MULTICALL = "0x" + "77" * 20
QUOTER = "0x" + "88" * 20
FACTORY = "0x" + "fa" * 20
POST = Post(
    id=build.position_id(),
    executor=EXECUTOR,
    owner=ALICE,
    key=KEY,
    bot=WALLET,
    multicall=MULTICALL,
    listed=(Listed(token=WETH, side=Side.COLLATERAL, receipt=RECEIPT),),
    routers=(ROUTER,),
)


def words(*answers: Sequence[int] | None) -> Words:
    """A batch's answers; None is a call that failed."""
    rows = [(a is not None, b"".join(v.to_bytes(32) for v in a or ())) for a in answers]
    return Words([encode(["(bool,bytes)[]"], [rows])], [len(rows)])


def answers() -> list[Sequence[int] | None]:
    """Of an Executor that allows all: block, paused, terms, bot, router; asset, bot's share, grant, balance; and of
    the token itself reserve, grant, balance.
    """
    struct = [getattr(terms(), name) for name in type(terms()).__slots__]
    asset = [int(RECEIPT, 16), WAD, 7 * WAD, 0, 1, 2, 3]
    head = [[100], [0], struct, [10_000, NOW_S + 9], [1]]
    return [*head, asset, [4, 5, 6], [8 * WAD], [9 * WAD], [WAD], [5 * WAD], [2 * WAD]]


def test_mandate__when_all_is_answered__then_every_number_stands_where_it_belongs() -> None:
    found = read.mandate(POST, build.block(), words(*answers()))
    assert isinstance(found, Mandate)
    assert found.terms == terms()
    assert (found.block_number, found.timestamp_s) == (100, NOW_S)
    assert (found.paused, found.bot_share_bps, found.bot_expiry_s) == (False, 10_000, NOW_S + 9)
    assert (found.routers, found.routers_refused) == ((ROUTER,), ())
    (listed,) = found.assets
    assert (listed.sell_cap, listed.spent.sold, listed.spent.epoch) == (7 * WAD, 1, 3)
    assert (listed.bot_spent.sold, listed.bot_spent.epoch) == (4, 6)
    assert (listed.granted, listed.held) == (8 * WAD, 9 * WAD)
    assert listed.funds == 3 * WAD, "the reserve, and of the grant what the owner has"


def test_size__when_compared_with_the_calls__then_equal() -> None:
    assert read.size(POST) == len(read.calls(POST)) == len(answers())


@pytest.mark.parametrize("lost", range(9))
def test_mandate__when_any_answer_fails__then_there_is_none(lost: int) -> None:
    given = answers()
    given[lost] = None
    assert read.mandate(POST, build.block(), words(*given)) is None


@pytest.mark.parametrize("lost", range(9, 12))
def test_mandate__when_only_funds_cannot_be_read__then_nothing_is_paid_in_and_sales_go_on(lost: int) -> None:
    given = answers()
    given[lost] = None
    found = read.mandate(POST, build.block(), words(*given))
    assert found is not None
    assert found.assets[0].funds == 0


def test_mandate__when_the_router_is_not_allowed__then_it_is_among_the_refused() -> None:
    given = answers()
    given[4] = [0]
    found = read.mandate(POST, build.block(), words(*given))
    assert found is not None
    assert (found.routers, found.routers_refused) == ((), (ROUTER,))


WAY = Way(executor=EXECUTOR, sell=WETH, buy=USDC, fees=(500,), via=(), pools=(DIRECT,), router="")
ROUTED = replace(WAY, router=ROUTER, via=(DAI.address,), fees=(500, 500), pools=(DIRECT, DIRECT))
WINDOW = Window(executor=EXECUTOR, source=Source.MORPHO_BLUE, token=USDC.address, pool="0x" + "3e" * 20)


def seen(health: str, found: Mandate | None = None) -> Snapshot:
    """A borrower at that health, and his Executor."""
    means = replace(build.means(), mandates=(found or mandate(),))
    return build.snapshot([borrower(health)], wallet=means)


def test_wants__when_health_is_at_the_trigger__then_nothing_below_it_prices() -> None:
    desk = Desk((POST,), ways=(WAY,), quoter=QUOTER)
    assert desk.wants(seen("1.30")) == ()
    asked = desk.wants(seen("1.20"))
    assert [c.target for c in asked] == [QUOTER] * len(quotes.SIZES_64)


def test_wants__when_the_router_is_not_allowed__then_its_ways_and_loans_are_not_asked() -> None:
    desk = Desk((POST,), ways=(ROUTED,), windows=(WINDOW,), quoter=QUOTER)
    assert desk.wants(seen("1.10")) == ()
    assert len(desk.wants(seen("1.10", mandate(routers=(ROUTER,))))) == len(quotes.SIZES_64) + 1


def test_wants__when_no_quoter_is_known__then_nothing() -> None:
    assert Desk((POST,), ways=(WAY,)).wants(seen("1.10")) == ()


def test_answered__when_prices_came__then_routes_and_lenders() -> None:
    desk = Desk((POST,), ways=(WAY,), windows=(WINDOW,), quoter=QUOTER)
    snapshot = seen("1.10", mandate(routers=(ROUTER,)))
    told = [[10**15 * (i + 1)] for i in range(len(quotes.SIZES_64))]
    found = desk.answered(snapshot, words(*told, [10**12]))
    assert [len(r.points) for r in found.routes] == [len(quotes.SIZES_64)]
    assert [(x.source, x.cash_units) for x in found.lenders] == [(Source.MORPHO_BLUE, 10**12)]


def test_route__when_a_size_cannot_be_bought__then_the_curve_ends_before_it() -> None:
    found = quotes.route(WAY, 800, words(*([[10], [21], None] + [None] * 8)))
    assert found is not None
    assert found.points == ((12, 10), (25, 21))
    assert quotes.route(WAY, 800, words(*([None] * 11))) is None


def test_route__when_a_quote_falls__then_nothing_after_it_is_believed() -> None:
    found = quotes.route(WAY, 800, words([10], [21], [20], *([[99]] * 8)))
    assert found is not None
    assert found.points == ((12, 10), (25, 21))


def test_sold_up__when_between_and_beyond__then_the_chord_or_nothing() -> None:
    curve = replace(route(), points=((100, 10), (200, 30)))
    assert [quotes.sold_up(curve, n) for n in (0, 1, 100, 101, 150, 200, 201)] == [0, 1, 10, 11, 20, 30, None]
    assert [quotes.bought_down(curve, n) for n in (0, 9, 10, 11, 20, 30, 99)] == [
        0,
        90,
        100,
        105,
        150,
        200,
        200,
    ]


AAVE = replace(WINDOW, source=Source.AAVE_V3)
OPEN = 1 << quotes.ACTIVE_BIT | 1 << quotes.FLASH_BIT


@pytest.mark.parametrize(
    "bits, there",
    [
        (OPEN, True),
        (OPEN & ~(1 << quotes.FLASH_BIT), False),
        (OPEN & ~(1 << quotes.ACTIVE_BIT), False),
        (OPEN | 1 << quotes.PAUSED_BIT, False),
    ],
)
def test_lender__when_aave_s_bits_say_so__then_it_lends(bits: int, there: bool) -> None:
    found = quotes.lender(AAVE, words([bits], [5], [10**9]))
    assert (found is not None) is there
    if found is not None:
        assert (found.fee_ppm, found.cash_units) == (500, 10**9)
        assert quotes.fee_up(found, 10_001) == 6


def test_lender__when_it_does_not_answer__then_none() -> None:
    assert quotes.lender(AAVE, words([OPEN], None, [1])) is None
    assert quotes.lender(WINDOW, words(None)) is None


WANTED = Wanted(label="mine", id=build.position_id(), executor=EXECUTOR, market=POOL, tokens=(WETH, USDC))
PLACE = Place(bot=WALLET, multicall=MULTICALL, quoter=QUOTER, router=ROUTER, via=(DAI.address,))


class Chain:
    """Answers what is found once: an owner, listed tokens, and every pool asked for."""

    def __init__(self, owner: str = ALICE) -> None:
        self.owner = owner

    async def read(self, calls: Sequence[Call]) -> Words:
        return words(*(self._one(c) for c in calls))

    def _one(self, call: Call) -> Sequence[int] | None:
        if call.data == load.OWNER:
            return [int(self.owner, 16)]
        if call.data == load.VENUES:
            return [int(POOL, 16), 0, int(FACTORY, 16), 1, 0]
        if call.target == FACTORY or call.target.lower() == FACTORY:
            return [int(DIRECT, 16)] if call.data.endswith((500).to_bytes(32)) else [0]
        listed = {(WETH.address, 0), (USDC.address, 1)}
        asked = ("0x" + call.data[48:68].hex(), int.from_bytes(call.data[68:100]))
        known = {(a.lower(), side) for a, side in listed}
        return [int(RECEIPT, 16), *[0] * 6] if asked in known else [0] * 7


@pytest.mark.asyncio
async def test_load__when_the_executor_is_the_account_s__then_listed_tokens_ways_and_loans() -> None:
    desk, wrong = await load.load((WANTED,), PLACE, Chain().read)
    (post,) = desk.posts
    assert wrong == ()
    assert [(x.token, x.side) for x in post.listed] == [(WETH, Side.COLLATERAL), (USDC, Side.DEBT)]
    found = mandate(routers=(ROUTER,))
    direct, routed = 1, 1
    assert len(desk.wants(seen("1.10", found))) >= (direct + routed) * len(quotes.SIZES_64)
    assert len(desk.wants(seen("1.10"))) == direct * len(quotes.SIZES_64)


@pytest.mark.asyncio
async def test_load__when_it_belongs_to_another__then_the_position_is_named() -> None:
    desk, (wrong,) = await load.load((WANTED,), PLACE, Chain(owner=BOB).read)
    assert desk.posts == ()
    assert wrong.startswith("positions.mine.executor ")
    assert "belongs to" in wrong


@pytest.mark.asyncio
async def test_load__when_it_answers_nothing__then_it_is_no_executor() -> None:
    async def silent(calls: Sequence[Call]) -> Words:
        return words(*([None] * len(calls)))

    desk, (wrong,) = await load.load((WANTED,), PLACE, silent)
    assert desk.posts == ()
    assert "this is no Executor" in wrong
