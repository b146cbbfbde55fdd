"""A price of which no feed is known is said not to be looked at: silence would pass for a healthy feed."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address

from keeper.daemon.oracles import untold
from keeper.oracle import faults
from keeper.seams import Severity
from keeper.venues.aave_v2 import AaveV2
from keeper.venues.aave_v2.book import DOLLAR, Market
from keeper.venues.aave_v3.book import Listing
from keeper.words import Words
from tests.build import USDC, WETH

pytestmark = pytest.mark.unit

SOURCE = int("5e" * 20, 16)


def address(byte: str) -> str:
    return str(to_checksum_address("0x" + byte * 20))


def market(dollar: str) -> AaveV2:
    listings = tuple(
        Listing(
            id=i,
            token=token,
            unit=10**token.decimals,
            a_token=address("a0"),
            debt_token=address("d0"),
            stable_token=address("50"),
            feed=f"aave_v2:1:o:{token.symbol}",
        )
        for i, token in enumerate((WETH, USDC))
    )
    return AaveV2(
        Market(
            name="main",
            chain_id=1,
            provider=address("11"),
            pool=address("22"),
            oracle=address("33"),
            base_decimals=18 if dollar else 8,
            dollar=dollar,
            revision=2,
            listings=listings,
        )
    )


def said(*answers: int) -> Words:
    """One-word answers of a batch."""
    body, offsets, at = b"", b"", 32 * len(answers)
    for answer in answers:
        result = b"".join(n.to_bytes(32) for n in (1, 64, 32, answer))
        offsets, at, body = offsets + at.to_bytes(32), at + len(result), body + result
    return Words([(32).to_bytes(32) + len(answers).to_bytes(32) + offsets + body], [len(answers)])


def test_market__when_it_is_priced_in_ether__then_its_prices_are_said_not_to_be_looked_at() -> None:
    venue = market(DOLLAR)
    assert venue.feed_calls() == ()
    (fault,) = untold({venue.id: venue}, venue.feeds(Words((), ())))
    assert (fault.severity, fault.code, fault.subject) == (Severity.INFO, "feed_unlooked", venue.id)
    assert "WETH, USDC" in fault.why
    assert fault.code in faults.CODES


def test_market__when_each_price_has_its_feed__then_nothing_is_said_and_one_without_is_named() -> None:
    venue = market("")
    assert untold({venue.id: venue}, venue.feeds(said(SOURCE, SOURCE))) == ()
    (fault,) = untold({venue.id: venue}, venue.feeds(said(SOURCE, 0)))
    assert "of USDC:" in fault.why
