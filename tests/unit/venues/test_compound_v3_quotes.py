"""A Compound v3 market counts in what its base feed quotes in: one that is not dollars is refused, never misread."""

from __future__ import annotations

import pytest

from keeper.venues.compound_v3.book import in_dollars

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("description", "symbol", "dollars"),
    [
        ("USDC / USD", "USDC", True),
        ("AERO / USD", "AERO", True),
        ("Constant price feed", "USDC", True),
        ("", "USDT", True),
        ("Constant price feed", "WETH", False),
        ("", "WETH", False),
        ("wstETH / ETH", "wstETH", False),
        # the token is a dollar, and yet its market counts in ether
        ("USDC / ETH", "USDC", False),
        ("USDe / BTC", "USDe", False),
    ],
)
def test_in_dollars__by_what_the_feed_quotes_in__and_by_the_token_where_it_says_nothing(
    description: str, symbol: str, dollars: bool
) -> None:
    assert in_dollars(description, symbol) is dollars
