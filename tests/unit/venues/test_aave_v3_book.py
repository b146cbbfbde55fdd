"""A market's static facts, and what is said when an address is not what it should be."""

from __future__ import annotations

import asyncio

import pytest

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.venues import registry
from keeper.venues.aave_v3 import book
from keeper.venues.aave_v3.math import LINE_3_0, LINE_3_2, LINE_3_5, line_of
from tests.aave_market import ORACLE, POOL, PROVIDER, market

pytestmark = pytest.mark.unit


def test_load__a_market__has_its_tokens_lines_and_identity() -> None:
    venue = market().venue()
    assert [t.symbol for t in venue.tokens] == ["WETH", "USDC", "WBTC"]
    assert [t.decimals for t in venue.tokens] == [18, 6, 8]
    assert venue.market.line is LINE_3_5
    assert venue.spender == POOL
    assert venue.id == f"aave_v3:1:{PROVIDER}"
    assert str(venue.position_id("0xAb")) == f"aave_v3:1:0xAb:{PROVIDER}"


def problem(provider: str, **changes: object) -> str:
    chain = market(**changes)
    with pytest.raises(ConfigError) as refused:
        asyncio.run(book.market("main", provider, 1, chain.read))
    (said,) = refused.value.problems
    return said


def test_load__an_eoa_as_provider__names_field_and_address() -> None:
    eoa = book.checksum(0xE0A)
    said = problem(eoa)
    assert said.startswith(f"venues.main.provider {eoa}")
    assert f"no contract at {eoa} on chain 1" in said


def test_load__another_contract_as_provider__says_it_is_no_market() -> None:
    said = problem(POOL, broken={(POOL, book.GET_POOL, "")})
    assert "getPool() reverted: this is not an Aave v3 market" in said


def test_load__oracle_without_code__names_the_oracle() -> None:
    said = problem(PROVIDER, oracle_has_code=False)
    assert f"oracle {ORACLE}: BASE_CURRENCY() answered nothing: no contract" in said


@pytest.mark.parametrize("revision", [0, 6, 7, 8, 9, 12])
def test_load__revision_not_verified__is_refused_by_name(revision: int) -> None:
    said = problem(PROVIDER, revision=revision)
    assert f"unknown POOL_REVISION {revision}" in said
    assert "5 (3.2), 10 (3.6)" in said


def test_load__base_currency_not_usd__is_refused() -> None:
    assert "is not USD" in problem(PROVIDER, base_currency=0xBEEF)


def test_line__by_revision__selects_the_arithmetic() -> None:
    assert (line_of(1), line_of(5)) == (LINE_3_0, LINE_3_2)
    assert (line_of(10), line_of(11)) == (LINE_3_5, LINE_3_5)
    assert {line_of(revision) for revision in (2, 3, 4)} == {LINE_3_0}  # SparkLend's pool as it was upgraded


@pytest.mark.parametrize(("revision", "asked"), [(1, True), (5, False), (10, False), (11, False)])
def test_load__a_pool_that_tells_a_stable_debt_of_all_reserves__asks_it_on_the_line_that_had_one(
    revision: int, asked: bool
) -> None:
    # pools of later lines name the provider's MOCK_STABLE_DEBT, for readers of before
    told = book.checksum(0x57AB1E)
    listings = market(revision=revision, stable_debt=told).venue().market.listings
    assert {r.stable_token for r in listings} == {told if asked else ""}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (book.word(32) + book.word(4) + b"USDC".ljust(32, b"\0"), "USDC"),
        (book.word(32) + book.word(0), ""),
        (b"", ""),
        (book.word(32) + book.word(2**255) + b"x".ljust(32, b"\0"), "x"),
        (b"\x1b[31mRED".ljust(32, b"\0"), "[31mRED"),
    ],
)
def test_text__string_or_bytes32__reads_both_and_drops_control_characters(raw: bytes, expected: str) -> None:
    assert book.text(raw) == expected


def test_selectors__against_known_values__are_those_of_the_abi() -> None:
    assert book.GET_USER_ACCOUNT_DATA.hex() == "bf92857c"
    assert book.SUPPLY.hex() == "617ba037"
    assert book.REPAY.hex() == "573ade81"
    assert book.SCALED_BALANCE_OF.hex() == "1da24f3e"


def test_registry__unknown_kind__names_the_kinds_that_ship() -> None:
    settings = VenueSettings(name="x", kind="liquity", chain="ethereum", provider=PROVIDER)
    with pytest.raises(ConfigError, match=r"not one of: .*aave_v3"):
        asyncio.run(registry.load(settings, 1, market().read))


def test_registry__aave_v3__loads_the_market() -> None:
    settings = VenueSettings(name="main", kind="aave_v3", chain="ethereum", provider=PROVIDER)
    venue = asyncio.run(registry.load(settings, 1, market().read))
    assert venue.kind == "aave_v3"


def test_known__ethereum__has_its_markets_with_checksummed_addresses() -> None:
    found = {m.name: m for m in registry.known(1)}
    assert {"aave_v3_ethereum_core", "aave_v3_ethereum_prime", "aave_v3_ethereum_etherfi"} <= set(found)
    assert registry.known(31337) == ()
    for chain_id in (1, 10, 56, 100, 137, 8453, 42161, 43114, 534352):
        for known in registry.known(chain_id):
            assert book.checksum(int(known.provider, 16)) == known.provider


def test_rule__of_a_market__says_where_it_comes_from() -> None:
    rule = market().venue().rules
    assert "2000 USD" in rule.close_factor
    assert rule.dust_base == 1_000 * 10**8


def test_oracle__constant_of_the_fake__is_the_feeds_identity() -> None:
    assert market().venue().market.listings[0].feed.split(":")[2] == ORACLE
