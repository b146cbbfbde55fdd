"""Morpho Blue without a chain: decoding failures one by one, projections, what may be signed, what config refuses."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from keeper.allowed import Venued
from keeper.config import VenueSettings, parse
from keeper.errors import ConfigError, Unread
from keeper.model import Amount, Block, Position, Repay, Step, Supply, Token
from keeper.oracle import drift, faults, feeds
from keeper.oracle.feeds import Feed
from keeper.seams import Delegates, OneOfMany, Seen, TxFields
from keeper.signer.policy import AllowedCall, SigningPolicy, spend_of
from keeper.sockets import Fed
from keeper.units import UINT256_MAX, WAD
from keeper.venues import registry
from keeper.venues.aave_v3.book import ZERO_ADDRESS
from keeper.venues.morpho_blue import MorphoBlue, deployments, events, math
from keeper.venues.morpho_blue.book import Dollars, Market, PreLiquidation
from keeper.venues.morpho_blue.layout import PRICES
from keeper.venues.morpho_blue.rules import PreTerms
from keeper.words import Words
from tests import build

pytestmark = pytest.mark.unit

MORPHO = "0xBBBBBbbBBb9cC5e90e3b3Af64bdAF62C37EEFFCb"
IRM = "0x870aC11D48B15DB9a138Cf899d20F13F79Ba00BC"
ORACLE, OTHER = "0x" + "0a" * 20, "0x" + "0b" * 20
PRE, FEED = str(to_checksum_address("0x" + "0c" * 20)), "0x" + "0D" * 20
KEY = "0x" + "5e" * 32
ALICE, BOB = "0x" + "A1" * 20, "0x" + "B2" * 20
USDC = Token(chain_id=1, address="0x" + "C1" * 20, symbol="USDC", decimals=6)
WETH = Token(chain_id=1, address="0x" + "E1" * 20, symbol="WETH", decimals=18)
LLTV = 86 * 10**16
PRICE = 3_000 * 10**24
NOW_S = 1_750_000_000
TERMS = PreTerms(line_wad=80 * 10**16, close_wad=(10**17, WAD), incentive_wad=(101 * 10**16, 104 * 10**16))
MARKET = Market(
    name="m",
    chain_id=1,
    morpho=MORPHO,
    key=KEY,
    loan=USDC,
    collateral=WETH,
    oracle=ORACLE,
    irm=ZERO_ADDRESS,
    lltv_wad=LLTV,
)
TOTALS = (10**13, 10**19, 8 * 10**12, 8 * 10**18, NOW_S, 0)
BLOCK = Block(chain_id=1, number=9, hash="0x9", parent_hash="0x8", timestamp_s=NOW_S, base_fee_wei=1)
EMPTY = Seen()


def answer(rows: list[tuple[bool, bytes]]) -> Words:
    body = encode(["(bool,bytes)[]"], [rows])
    return Words([body], [len(rows)])


def words(*numbers: int) -> tuple[bool, bytes]:
    return True, b"".join(n.to_bytes(32) for n in numbers)


def head(price: int | None = PRICE, usd: int = 10**8, pre: tuple[int, ...] = ()) -> list[tuple[bool, bytes]]:
    told = words(price) if price is not None else (False, b"")
    return [
        words(*TOTALS),
        words(*TOTALS),
        words(5 * 10**12),
        words(10**22),
        (True, b""),
        words(*TOTALS),
        told,
        *(words(p) for p in pre),
        words(1, usd, NOW_S, NOW_S, 5),
    ]


def venue(market: Market = MARKET) -> MorphoBlue:
    dollars = Dollars(call=MorphoBlue(market).calls([], EMPTY)[0], word=1, unit=10**8, place=FEED)
    return MorphoBlue(replace(market, dollars=dollars))


def position(shares: int = 20_000 * 10**12, collateral: int = 10**19) -> Position:
    rows = [*head(), words(0, shares, collateral)]
    reading = venue().decode(BLOCK, [ALICE], answer(rows), EMPTY, {})
    return reading.positions[0]


def test_decode__a_loan__has_the_contracts_integers_in_dollars() -> None:
    found = position()
    assert found.debt[0].amount.units == 20_000 * 10**6
    assert found.debt[0].value_base == 20_000 * 10**18
    assert found.collateral[0].value_base == 30_000 * 10**18
    assert found.health_wad == 25_800 * WAD // 20_000
    row = found.row
    assert row.a[0] * 3_000 / row.b[1] == pytest.approx(1.29)


@pytest.mark.parametrize(
    ("usd", "age_s", "counts"),
    [
        (10**8, 0, True),
        (10**8, 7 * 86_400 + 1, True),
        (10**8, 400 * 86_400, True),
        (10**8, NOW_S, True),
        (0, 0, False),
        (2**256 - 1, 0, False),
    ],
)
def test_decode__dollars_of_any_age_or_of_no_time__count_on_and_only_what_is_not_positive_counts_as_none(
    usd: int, age_s: int, counts: bool
) -> None:
    """``age_s`` of all time: updatedAt is 0, a round that is not complete."""
    rows = [*head()[:-1], words(1, usd, 0, NOW_S - age_s, 5), words(0, 20_000 * 10**12, 10**19)]
    found = dated().decode(BLOCK, [ALICE], answer(rows), EMPTY, {})
    (seen,) = found.positions
    assert seen.health_wad == position().health_wad
    assert [h.price_base for h in (*seen.debt, *seen.collateral)] == (
        [WAD, 3_000 * WAD] if counts else [0, 0]
    )


def test_decode__dollars_that_do_not_divide__are_rounded_up_for_what_may_be_spent() -> None:
    rows = [*head(price=10**24 + 1, usd=1)[:-1], words(1, 1, 0, NOW_S, 5), words(0, 10**12, 10**19)]
    feed = replace(dated().market, dollars=replace(dated().market.dollars, unit=3 * 10**18))  # type: ignore[type-var]
    (seen,) = MorphoBlue(feed).decode(BLOCK, [ALICE], answer(rows), EMPTY, {}).positions
    assert (seen.debt[0].price_base, seen.collateral[0].price_base) == (1, 2)


def test_feeds__behind_usd_feed__are_named_for_the_oracles_watch_and_said_not_to_be_of_health() -> None:
    (feed,) = dated().feeds(answer([]))
    assert (feed.address, feed.expected_decimals) == (FEED, 8)
    assert "venues.m.usd_feed" in feed.symbol
    assert "not for health" in feed.symbol
    assert MorphoBlue(MARKET).feeds(answer([])) == ()
    # an Aave oracle is asked for its source; where it names none, its answer is all there is
    (asked,) = venue().feed_calls()
    assert (asked.target, asked.data[-20:].hex()) == (FEED, USDC.address[2:].lower())
    (behind,) = venue().feeds(answer([words(int(OTHER, 16))]))
    assert behind.address.lower() == OTHER
    assert venue().feeds(answer([words(0)])) == venue().feeds(answer([(False, b"")])) == ()
    # no position leans on it for its health: what it will say next moves nobody's level
    assert behind.id not in position().row.feeds
    assert isinstance(venue(), Fed)


@pytest.mark.parametrize(
    ("usd", "age_s", "code"),
    [
        (10**8, 2 * 86_400, "feed_stale"),
        (10**8, NOW_S, "feed_stale"),
        (0, 0, "feed_not_positive"),
        (2**256 - 1, 0, "feed_not_positive"),
    ],
)
def test_feeds__stale_untimed_zero_or_negative__the_oracles_watch_names_the_setting(
    usd: int, age_s: int, code: str
) -> None:
    (named,) = dated().feeds(answer([]))
    feed = Feed(
        id=named.id,
        symbol=named.symbol,
        address=FEED,
        expected_decimals=named.expected_decimals,
        source=FEED,
        decimals=8,
    )
    (told,) = feeds.answers((feed,), answer([words(1, usd, 0, NOW_S - age_s, 1), words(usd)]))
    (fault,) = faults.of_answer(told, None, NOW_S)
    assert fault.code == code
    assert "venues.m.usd_feed" in fault.why
    assert "day caps and costs in dollars" in fault.why
    assert ("at an old price" in fault.why, "updatedAt 0" in fault.why) == (True, age_s == NOW_S)


@pytest.mark.parametrize("usd", [10**8, 0], ids=["dollars", "no dollars"])
@pytest.mark.parametrize(("price", "named"), [(0, True), (PRICE, False)], ids=["zero", "well"])
def test_drift__of_dust_that_carries_no_health__an_oracle_is_said_to_answer_0_only_where_it_does(
    price: int, named: bool, usd: int
) -> None:
    # one wei of collateral is worth no unit of the loan: health is 0 at any price
    rows = [*head(price, usd), words(0, 20_000 * 10**12, 1)]
    read = venue().decode(BLOCK, [ALICE], answer(rows), EMPTY, {})
    assert read.positions[0].health_wad == 0
    found = drift.faults(replace(build.snapshot(read.positions), prices=read.prices), None)
    assert [f.code for f in found] == ["feed_not_positive"] * named


def dated() -> MorphoBlue:
    """The market by a feed that tells when it was answered."""
    return MorphoBlue(replace(MARKET, dollars=replace(venue().market.dollars, aged=True)))  # type: ignore[type-var]


def test_decode__without_debt_or_collateral__is_endless_or_zero_health() -> None:
    assert position(shares=0).health_wad == UINT256_MAX
    assert position(collateral=0).health_wad == 0
    assert position(shares=0, collateral=0).collateral == ()


def test_decode__broken_parts__lose_no_more_than_they_must() -> None:
    rows = [*head(), words(0, 10**12, 10**18), (False, b""), words(0, 0, 10**18)]
    reading = venue().decode(BLOCK, [ALICE, BOB, PRE], answer(rows), EMPTY, {})
    assert [u.why for u in reading.unreadable] == ["position() failed"]
    assert len(reading.positions) == 2
    rows = [*head(price=None), words(0, 10**12, 10**18), words(0, 0, 10**18)]
    reading = venue().decode(BLOCK, [ALICE, BOB], answer(rows), EMPTY, {})
    # who owes nothing needs no price
    assert [p.id.account for p in reading.positions] == [BOB]
    assert "gives no price" in reading.unreadable[0].why
    for at, bad in ((0, (False, b"")), (4, (False, b"")), (5, words(*TOTALS[:2], 1, *TOTALS[3:]))):
        rows = [*head(), words(0, 10**12, 10**18)]
        rows[at] = bad
        with pytest.raises(Unread):
            venue().decode(BLOCK, [ALICE], answer(rows), EMPTY, {})
    late = replace(BLOCK, timestamp_s=NOW_S - 1)
    with pytest.raises(Unread, match="after the block"):
        venue().decode(late, [ALICE], answer([*head(), words(0, 1, 1)]), EMPTY, {})


def test_decode__pre_liquidation_of_another_oracle__counts_where_it_is_crossed_first() -> None:
    market = replace(MARKET, pre=(PreLiquidation(address=PRE, terms=TERMS, oracle=OTHER),))
    eye = venue(market)

    def health(price: int, allowed: bool) -> tuple[int, str]:
        rows = [*head(pre=(price,)), words(0, 20_000 * 10**12, 10**19), words(int(allowed))]
        (found,) = eye.decode(BLOCK, [ALICE], answer(rows), EMPTY, {}).positions
        return found.health_wad or 0, found.collateral[0].feed

    assert health(PRICE, False) == (129 * 10**16, market.feed(ORACLE))
    assert health(PRICE, True) == (120 * 10**16, market.feed(OTHER))
    # an oracle of its own that says more: the market's own line comes first
    assert health(2 * PRICE, True) == (129 * 10**16, market.feed(ORACLE))
    rows = [*head(pre=(0,)), words(0, 10**12, 10**18), (False, b"")]
    rows[PRICES + 1] = (False, b"")
    (unread,) = eye.decode(BLOCK, [ALICE], answer(rows), EMPTY, {}).unreadable
    assert unread.why == "isAuthorized() failed"


def test_decode__1000_accounts__takes_well_under_100_ms_of_cpu() -> None:
    accounts = [f"0x{i:040x}" for i in range(1_000)]
    rows = [*head(), *(words(0, (i + 1) * 10**12, 10**19 + i) for i in range(1_000))]
    eye, told = venue(), answer(rows)
    eye.calls(accounts, EMPTY)
    best_s = float("inf")
    for _ in range(20):
        start_s = time.process_time()
        reading = eye.decode(BLOCK, accounts, told, EMPTY, {})
        best_s = min(best_s, time.process_time() - start_s)
        if best_s < 0.05:
            break
    assert len(reading.positions) == 1_000
    assert best_s < 0.1, f"{best_s * 1e3:.0f} ms"


def test_after__steps__never_promise_more_than_the_integers_give() -> None:
    found = position(shares=12_345_678_901_234_567, collateral=7_654_321_987_654_321_001)
    owed, given = found.debt[0].amount.units, found.collateral[0].amount.units
    for step, left, grown in (
        (Supply(amount=Amount(token=WETH, units=10**18 + 3)), owed, given + 10**18 + 3),
        (Repay(amount=Amount(token=USDC, units=1_000_001)), owed - 1_000_001, given),
    ):
        promised = venue().after([step], found)
        exact = math.health_down(math.borrowable_down(math.quoted_down(grown, PRICE), LLTV), left)
        assert exact - 10**10 < (promised.health_wad or 0) <= exact
        assert (promised.health_wad or 0) > (found.health_wad or 0)
    closed = venue().after([Repay(amount=Amount(token=USDC, units=owed))], found)
    assert (closed.debt, closed.health_wad) == ((), UINT256_MAX)


def signing(most: int | None = 10**12) -> SigningPolicy:
    eye = MorphoBlue(MARKET)
    assert isinstance(eye, OneOfMany)
    assert isinstance(eye, Delegates)
    terms = Venued(
        spender=MORPHO,
        units_max={USDC.address: most, WETH.address: 10**20},
        accounts=(ALICE,),
        terms=eye.terms,
    )
    return SigningPolicy(
        chain_id=1, address=BOB, calls=registry.signed("morpho_blue", terms), fee_wei_max=10**18
    )


def tx(data: bytes, to: str = MORPHO) -> TxFields:
    return TxFields(
        chain_id=1, nonce=0, to=to, data=data, value_wei=0, gas_limit=300_000, max_fee_wei=10**9, tip_wei=1
    )


def call(step: Step, of: Position | None = None) -> bytes:
    id = MorphoBlue(MARKET).position_id(ALICE)
    return MorphoBlue(MARKET).encode(step, replace(of or position(), id=id)).data


def test_signer__what_a_rescue_encodes__is_signed_and_every_changed_word_is_refused() -> None:
    policy = signing()
    steps = [
        call(Supply(amount=Amount(token=WETH, units=10**18))),
        call(Repay(amount=Amount(token=USDC, units=10**9))),
        call(Repay(amount=Amount(token=USDC, units=10**11))),
    ]
    for data in steps:
        assert policy.refuses(tx(data)) is None
        for at in range(4, len(data), 32):
            other = (int.from_bytes(data[at : at + 32]) ^ 2**150 | 1).to_bytes(32)
            assert policy.refuses(tx(data[:at] + other + data[at + 32 :])) is not None, at
        assert policy.refuses(tx(data + bytes(32))) is not None
    assert steps[2][4 + 32 * 5 : 4 + 32 * 6] == bytes(32), "a whole debt is named by its shares"
    assert spend_of(steps[0]) == (WETH.address.lower(), 10**18)
    assert spend_of(steps[1]) == (USDC.address.lower(), 10**9)
    assert spend_of(steps[2]) == (USDC.address.lower(), 2 * 20_000 * 10**6)
    assert "not within" in (signing(most=10**8).refuses(tx(steps[1])) or "")
    # not even both amounts at once, which the contract would refuse as well
    both = steps[1][: 4 + 32 * 6] + (10**12).to_bytes(32) + steps[1][4 + 32 * 7 :]
    assert policy.refuses(tx(both)) is not None


def test_signer__a_policy_file__keeps_the_signature() -> None:
    from keeper.signer.policy_file import _call_in, to_text
    from keeper.signer.store import DayCaps

    policy = signing()
    text = to_text(policy, DayCaps(fee_wei=1, units={}))
    back = tuple(_call_in(row) for row in json.loads(text)["calls"])
    assert [c.selector for c in back] == [c.selector for c in policy.calls]
    assert isinstance(back[0], AllowedCall)


def test_permitted__the_last_word_on_each__decides_and_known_contracts_are_left_out() -> None:
    def log(who: str, may: int) -> dict[str, object]:
        return {"topics": ["0x", "0x", "0x", "0x" + who[2:].lower().rjust(64, "0")], "data": hex(may)}

    eye = MorphoBlue(replace(MARKET, pre=(PreLiquidation(address=PRE, terms=TERMS, oracle=ORACLE),)))
    logs = [log(PRE, 1), log(BOB, 1), log(ORACLE, 1), log(ORACLE, 0)]
    assert [w.lower() for w in events.permitted(logs)] == sorted([BOB.lower(), PRE.lower()])
    assert [w.lower() for w in eye.permitted(logs)] == [BOB.lower()]


def config(**changed: str) -> tuple[str, ...] | VenueSettings:
    table = {"kind": "morpho_blue", "provider": MORPHO, "market": KEY} | changed
    lines = "\n".join(f'{k} = "{v}"' for k, v in table.items() if v)
    text = f"""schema = 1
[[chains]]
name = "mainnet"
chain_id = 1
[[chains.endpoints]]
url = "https://first.example/token"
[[venues]]
name = "m"
chain = "mainnet"
{lines}
[[positions]]
venue = "m"
account = "{MORPHO}"
"""
    try:
        return parse(text, Path("/etc/keeper/keeper.toml")).venues[0]
    except ConfigError as wrong:
        return wrong.problems


def test_config__a_morpho_market__needs_its_id_and_nothing_of_other_kinds() -> None:
    good = config(usd_feed=IRM)
    assert isinstance(good, VenueSettings)
    assert (good.market, good.usd_feed, good.pre_liquidations) == (KEY, IRM, ())
    for changed, words_ in (
        ({"market": ""}, "venues[0].market: is required"),
        ({"market": "0x12"}, "is not a market id"),
        ({"market": "0x" + "0" * 64}, "is the zero id"),
        ({"kind": "aave_v3"}, 'venues[0].market: is no key of kind "aave_v3"'),
        ({"usd_feed": KEY}, "looks like a raw private key"),
    ):
        wrong = config(**changed)
        assert isinstance(wrong, tuple)
        assert any(words_ in w for w in wrong), (changed, wrong)


def test_deployments__known_contracts__are_checksummed_and_one_a_chain() -> None:
    for chain_id in (1, 10, 137, 8453, 42161):
        (contract,) = deployments.contracts(chain_id)
        assert contract.kind == "morpho_blue"
        assert contract.market is None
    assert deployments.contracts(31337) == ()
