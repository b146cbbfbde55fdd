"""Falls that are driven through the paper market and through the chain."""

from __future__ import annotations

import numpy as np

from anvil.replayed_cases import Case


def fall(name: str, symbol: str, levels: list[float], size: tuple[float, float], late: float = 0.0) -> Case:
    """Prices every ten minutes; the feed is ``late`` behind the market by that share of each step."""
    market = np.array(levels)
    said = market.copy()
    said[1:] += late * (market[:-1] - market[1:])
    return Case(
        name=name,
        symbol=symbol,
        value_usd=size[0],
        health=size[1],
        said=said,
        market=market,
        times_s=np.arange(len(levels), dtype=np.float64) * 600.0,
    )


# an order meets the price that it saw where one stands twice, another one where it does not
FALLS = (
    fall("steady", "WETH", [1.0, 0.96, 0.93, 0.90, 0.86, 0.86, 0.83, 0.83, 0.80, 0.82], (200_000.0, 1.35)),
    fall("whale", "WETH", [1.0, 0.97, 0.94, 0.94, 0.90, 0.90, 0.87, 0.87, 0.84], (2_000_000.0, 1.30)),
    fall("late feed", "WETH", [1.0, 0.95, 0.91, 0.88, 0.90, 0.84, 0.84, 0.79], (100_000.0, 1.32), late=0.2),
    fall("bitcoin", "WBTC", [1.0, 0.97, 0.93, 0.93, 0.89, 0.89, 0.85, 0.82], (400_000.0, 1.33)),
    fall("jump", "WETH", [1.0, 0.98, 0.72, 0.70, 0.66, 0.75], (150_000.0, 1.30)),
)
