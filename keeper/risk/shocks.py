"""What could happen: a library of named shocks, ladders, two-factor grids, and the user's own.

A shock is written by asset ("ETH", "alt", "stETH/ETH") and resolved to a venue's feeds by ``for_feeds``. How
one symbol resolves, first match wins:

1. its own name in the shock, or the name it goes by (wstETH: stETH): that move, whole;
2. else base move x ratio move: the base is what it follows (stETH -> ETH, sUSDe -> USDe, WBTC -> BTC), found
by the
   base's name, else its class ("alt", "stable", ...), else ``*``;  the ratio is ``NAME/BASE``, else ``lst``
   for staked tokens, else 0;
3. stables, other currencies and gold never take ``*``: they do not follow ETH. A symbol nobody knows is an
"alt".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keeper.errors import ConfigError
from keeper.model import Shock
from keeper.risk.assets import CALM, asset

ANY = "*"


# Worst fall from an hourly close to a low within 24 h (72 h for the slow ones) of exchange spot candles,
# rounded outward to whole per cents; oracles moved less. Depegs: exchange lows of the day.
LIBRARY: tuple[Shock, ...] = (
    Shock(name="correction 10 %", moves={ANY: -0.10}),
    Shock(name="oracle only -3 %", moves={ANY: -0.03}),
    Shock(name="staked ratio 2026-03", moves={"lst": -0.032}),
    Shock(name="Black Thursday 2020-03-12", moves={"ETH": -0.54, "BTC": -0.51, ANY: -0.58, "DAI": 0.10}),
    Shock(name="May 2021", moves={"ETH": -0.45, "BTC": -0.32, ANY: -0.55}),
    Shock(
        name="LUNA 2022-05",
        moves={
            "ETH": -0.27,
            "BTC": -0.21,
            ANY: -0.50,
            "LUNA": -0.999,
            "UST": -0.65,
            "USDT": -0.05,
            "stETH/ETH": -0.03,
        },
    ),
    Shock(name="stETH 2022-06", moves={"ETH": -0.36, "BTC": -0.30, ANY: -0.41, "stETH/ETH": -0.065}),
    Shock(
        name="USDC depeg 2023-03",
        moves={
            "ETH": -0.12,
            "BTC": -0.11,
            ANY: -0.15,
            "USDC": -0.13,
            "DAI": -0.12,
            "FRAX": -0.12,
            "USDT": 0.02,
        },
    ),
    Shock(name="August 2024", moves={"ETH": -0.35, "BTC": -0.25, ANY: -0.36}),
    Shock(name="October 2025", moves={"ETH": -0.22, "BTC": -0.17, ANY: -0.66, "USDe": -0.35, "lst": -0.05}),
    Shock(name="correlation to one -35 %", moves={ANY: -0.35, "lst": -0.05}),
)
"""Named shocks, mild to severe only within a kind: sort by what they do to a book, not by this order."""
_SPOT = "Binance spot, worst hourly close to low within"
SOURCES: Mapping[str, str] = {
    "correction 10 %": "a correction by the usual word: 10 % below the last high, everything volatile at once",
    "oracle only -3 %": "an oracle that errs while the market does not move; three per cent as in March 2026",
    "staked ratio 2026-03": "Aave's capped wstETH oracle, 10 March 2026: ratio 1.19 where 1.228 was due",
    "Black Thursday 2020-03-12": f"{_SPOT} 24 h: ETH -53.3 %, BTC -50.6 %; DAI up to 1.10 USD",
    "May 2021": f"{_SPOT} 24 h, 19 May: ETH -45.0 %, BTC -31.3 %, SOL -54.4 %",
    "LUNA 2022-05": f"{_SPOT} 72 h: ETH -26.9 %, BTC -20.7 %, SOL -50.0 %; UST 0.35 USD, LUNA near nothing",
    "stETH 2022-06": f"{_SPOT} 72 h: ETH -35.9 %, BTC -29.1 %, LINK -40.4 %; stETH near 0.94 ETH",
    "USDC depeg 2023-03": f"{_SPOT} 24 h: ETH -11.1 %, BTC -10.0 %, SOL -13.9 %; USDC 0.87 USD on 11 March",
    "August 2024": f"{_SPOT} 72 h: ETH -33.5 %, BTC -24.9 %, LINK -35.6 %; reports say ETH -35 %",
    "October 2025": f"{_SPOT} 24 h, 10 October: ETH -21.6 %, BTC -16.2 %, LINK -65.1 %; USDe 0.65 on one venue",
    "correlation to one -35 %": "no single day: everything volatile by one move, staked ratios 5 % with it",
}
"""Where each named shock's numbers come from."""


def for_feeds(shock: Shock, symbols: Mapping[str, str]) -> Shock:
    """The shock as moves of feeds (feed identity -> symbol of what it prices); the rules stand at the
    module's top.

    Feeds that are not among ``symbols`` do not move.
    """
    return Shock(name=shock.name, moves={feed: move(shock, symbol) for feed, symbol in symbols.items()})


def move(shock: Shock, symbol: str) -> float:
    """The relative move of ``symbol`` under a shock written by assets."""
    moves = {name.lower(): x for name, x in shock.moves.items()}
    known = asset(symbol)
    for name in (symbol, known.ratio):
        if name and name.lower() in moves:
            return moves[name.lower()]
    base = _first(moves, known.base, known.kind, "" if known.kind in CALM else ANY)
    if not known.ratio:
        return base
    staked = "" if known.kind in CALM else "lst"
    ratio = _first(moves, f"{symbol}/{known.base}", f"{known.ratio}/{known.base}", staked)
    return (1.0 + base) * (1.0 + ratio) - 1.0


def moved(shock: Shock, feed: str) -> float:
    """The relative move of a feed under a shock written by feeds; ``*`` stands for every feed not named."""
    return shock.moves.get(feed, shock.moves.get(ANY, 0.0))


def compose(first: Shock, then: Shock) -> Shock:
    """Both, one after the other: factors multiply. Only for shocks over the same explicit names."""
    names = dict.fromkeys((*first.moves, *then.moves))
    return Shock(
        name=f"{first.name}, then {then.name}",
        moves={n: (1.0 + moved(first, n)) * (1.0 + moved(then, n)) - 1.0 for n in names},
    )


def ladder(symbol: str, moves: Sequence[float]) -> tuple[Shock, ...]:
    """One factor step by step; ``symbol`` may be ``*`` (everything volatile)."""
    label = "market" if symbol == ANY else symbol
    return tuple(Shock(name=f"{label} {_percent(x)}", moves={symbol: x}) for x in moves)


def grid(rows: tuple[str, Sequence[float]], columns: tuple[str, Sequence[float]]) -> tuple[Shock, ...]:
    """Two factors, every pair, row by row."""
    (one, xs), (two, ys) = rows, columns
    return tuple(
        Shock(name=f"{one} {_percent(x)}, {two} {_percent(y)}", moves={one: x, two: y})
        for x in xs
        for y in ys
    )


def from_tables(tables: Mapping[str, Mapping[str, object]]) -> tuple[Shock, ...]:
    """A user's shocks from ``[shocks.NAME]`` tables of symbol = move. Raises ConfigError with every
    problem.
    """
    problems: list[str] = []
    found = []
    for name, table in tables.items():
        moves: dict[str, float] = {}
        if not table:
            problems.append(f"shocks.{name}: is empty; give at least one symbol = move")
        for symbol, x in table.items():
            if (
                isinstance(x, bool)
                or not isinstance(x, int | float)
                or not math.isfinite(x)
                or not -1 <= x <= 100
            ):
                problems.append(
                    f"shocks.{name}.{symbol} = {x!r}: a relative move from -1 to 100 (-0.3 is -30 %)"
                )
            else:
                moves[symbol] = float(x)
        found.append(Shock(name=name, moves=moves))
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def _first(moves: Mapping[str, float], *names: str) -> float:
    return next((moves[n.lower()] for n in names if n and n.lower() in moves), 0.0)


def _percent(x: float) -> str:
    return f"{100 * x:+.4g} %"
