"""The invented fall of the strategies' pages: formulas, so that its files can be made again and are nobody's data.

``python -m tests.strategy_fall`` writes them into docs/strategies/fall.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "strategies" / "fall"
START_S = 946_857_600
"""3 January 2000: a Monday on which nothing of this was there."""
BAR_S = 900
ACCOUNT = "0xcA11bde05977b3631167028862bE2a173976CA11"

ETHER: tuple[tuple[float, float], ...] = (
    *((0.0, 240.0), (20.0, 278.0), (34.0, 266.0), (50.0, 236.0), (54.0, 228.0), (62.0, 176.0), (64.5, 124.0)),
    *((65.2, 104.0), (66.5, 138.0), (72.0, 122.0), (88.0, 146.0), (96.0, 140.0)),
)
"""(hour, dollars): five per cent up in a day, a slide, a night that takes half, and a little back."""
STABLE = (
    (0.0, 1.0),
    (27.0, 1.0),
    (29.0, 0.975),
    (34.0, 0.88),
    (36.0, 0.93),
    (46.0, 0.97),
    (60.0, 0.996),
    (72.0, 1.0),
)
"""A dollar that leaves its peg for a day."""
BITCOIN = ((0.0, 20_000.0), (34.0, 19_600.0), (72.0, 22_500.0))


WARNED_DAYS = 32
"""Of calm before the warned fall: what the early warning is measured against."""


def between(points: Sequence[tuple[float, float]], hour: float) -> float:
    """The curve through the points, straight in the logarithm."""
    for (first, low), (last, high) in pairwise(points):
        if hour <= last:
            return low * math.exp(math.log(high / low) * (hour - first) / (last - first))
    return points[-1][1]


def bars(
    symbol: str, points: Sequence[tuple[float, float]], wave: float, bar_s: int = BAR_S
) -> list[list[str]]:
    """Rows of one symbol; ``wave``: how far two slow waves carry the price off its curve."""
    count = round(points[-1][0] * 3_600 / bar_s)
    digits = 4 if points[0][1] < 10 else 2
    closes = []
    for n in range(count + 1):
        hour = n * bar_s / 3_600
        off = wave * (math.sin(hour * 1.7) + 0.6 * math.sin(hour * 4.3 + 1.0))
        closes.append(round(between(points, hour) * (1.0 + off), digits))
    rows = []
    for n, (opened, close) in enumerate(pairwise(closes)):
        low = round(min(opened, close) * (1.0 - wave / 3.0), digits)
        high = round(max(opened, close) * (1.0 + wave / 3.0), digits)
        prices = [f"{x:.{digits}f}" for x in (opened, high, low, close)]
        rows.append([str(START_S + n * bar_s), symbol, *prices])
    return rows


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def accounts(*lots: tuple[str, tuple[str, float, float], tuple[str, float]]) -> str:
    """(user, (collateral, USD, threshold), (debt, USD)) each."""
    header = ["user", "collateral_[asset,value_usd,liq_threshold]", "debt_[asset,value_usd]"]
    return table(header, [[u, json.dumps([list(held)]), json.dumps([list(owed)])] for u, held, owed in lots])


def funding() -> list[list[str]]:
    """Every eight hours: small and wavering, then ten times as much from half a day into the rise."""
    rows = []
    for n in range(WARNED_DAYS * 3 + 12):
        crowd = 0.0012 if n >= WARNED_DAYS * 3 + 2 else 0.0
        rows.append([str(START_S + n * 28_800), "ETH", f"{0.0001 + 0.00005 * math.sin(n * 1.3) + crowd:.6f}"])
    return rows


LONG = {
    "prices": {"ETH": 240.0, "USDC": 1.0},
    "positions": [
        {
            "name": "long",
            "perp": {
                "index": "ETH",
                "size": 100,
                "entry": 240,
                "maintenance_rate": 0.01,
                "margin": [{"asset": "USDC", "amount": 8_000}],
            },
        }
    ],
}


def files() -> Mapping[str, str]:
    """Name -> text of every file that the formulas make."""
    header = ["ts", "symbol", "open", "high", "low", "close"]
    calm = ((0.0, 236.0), (WARNED_DAYS * 24.0, 240.0))
    slow = (*calm, *((WARNED_DAYS * 24.0 + hour, price) for hour, price in ETHER[1:]))
    peg = [row for s in ("USDC/USD", "USDC/USDT") for row in bars(s, STABLE, 0.0002)]
    return {
        "eth.csv": table(header, bars("ETH/USDT", ETHER, 0.003)),
        "accounts.csv": accounts((ACCOUNT, ("WETH", 100_000, 0.83), ("USDC", 45_000))),
        "warned.csv": table(header, bars("ETH/USDT", slow, 0.004, 7_200)),
        "funding.csv": table(["ts", "symbol", "rate"], funding()),
        "perp.json": json.dumps(LONG, indent=1) + "\n",
        "peg.csv": table(header, [*bars("BTC/USD", BITCOIN, 0.002), *peg]),
        "owes.csv": accounts(("owes", ("WBTC", 100_000, 0.78), ("USDC", 50_000))),
        "holds.csv": accounts(("holds", ("USDC", 100_000, 0.78), ("USDT", 50_000))),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
