"""The crashes that are replayed: which file, which symbols, from when to when; and the real accounts in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keeper.replay import bars, fleet, paths, together
from keeper.replay.levels import moves_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HOURLY = "hourly_spot_2018_2026.parquet"
PAIR = ("ETH/USDT", "BTC/USDT")
RATES = paths.Rates(borrow={"stable": 0.04, "*": 0.025}, supply={"stable": 0.02})
"""Interest a year, so that it is counted at all; over two weeks it moves health by a thousandth."""
ALIKE_STEP = 0.05
"""Accounts whose collateral moves against their debt by less than this in one update: loops of one asset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One crash. ``tuned``: it was looked at when levels and sizes were chosen, and proves nothing about them."""

    name: str
    files: tuple[tuple[str, tuple[str, ...]], ...]
    first: str
    last: str
    tuned: bool = False
    hold: tuple[str, ...] = ("WBTC",)


def _hourly(name: str, first: str, last: str, *, tuned: bool = False) -> Event:
    return Event(name=name, files=((HOURLY, PAIR),), first=first, last=last, tuned=tuned)


EVENTS = (
    _hourly("2018-11", "2018-11-10", "2018-11-28"),
    Event(
        name="2020-03",
        files=(("ev_2020-03_black_thursday_5m.parquet", ("ETH/USDT",)),),
        first="2020-03-07",
        last="2020-03-20",
        tuned=True,
    ),
    Event(
        name="2021-05",
        files=(("ev_2021-05-19_1m.parquet", PAIR),),
        first="2021-05-17",
        last="2021-05-20T20:00",
        tuned=True,
    ),
    _hourly("2022-05", "2022-05-05", "2022-05-16"),
    _hourly("2022-06", "2022-06-07", "2022-06-20"),
    Event(
        name="2022-11",
        files=(("ev_2022-11_ftx_5m.parquet", PAIR),),
        first="2022-11-05",
        last="2022-11-15",
    ),
    Event(
        name="2023-03",
        files=((HOURLY, PAIR), ("ev_2023-03_usdc_depeg_1m.parquet", ("USDC/USD",))),
        first="2023-03-08",
        last="2023-03-15",
    ),
    _hourly("2023-08", "2023-08-14", "2023-08-22"),
    _hourly("2024-04", "2024-04-10", "2024-04-18"),
    _hourly("2024-08", "2024-07-31", "2024-08-10", tuned=True),
    _hourly("2025-10", "2025-10-06", "2025-10-14"),
    _hourly("2026-02", "2026-01-28", "2026-02-10"),
)
"""``tuned`` ones chose the distances of ``levels`` (half a day to target, six days to the most) and showed the two
gaps that were closed (a tiny second debt; dollars that weigh more after a fall), and later the lead: half a day of
the account, then, for one account of 2021-05, of the pair that is sold. That last change alone came after the others
were run. It was not chosen on them, and moved none of their sums by more than 4 %."""


def there() -> bool:
    """Whether the histories and accounts are beside the repository."""
    return (DATA / "prices" / HOURLY).is_file() and (DATA / "aave_steth_2023-06").is_dir()


def accounts() -> fleet.Fleet:
    """Real accounts by asset, as they stood on 2023-06-19, carried to each crash by value."""
    return fleet.read(DATA / "aave_steth_2023-06")


def history(event: Event) -> bars.Bars:
    """The bars of its days."""
    read = [bars.read(DATA / "prices" / file, symbols) for file, symbols in event.files]
    return together.together(read).between(bars.moment(event.first), bars.moment(event.last))


def moved(event: Event, crew: fleet.Fleet) -> paths.Paths:
    """What feeds said in it, interest in it."""
    found = paths.project(history(event), crew.assets, ("low", "close"), {}, event.hold)
    return paths.with_interest(found, RATES)


def alike(account: fleet.Account) -> bool:
    """Whether an account is a loop of one asset."""
    return moves_of(account).step < ALIKE_STEP


def only(crew: fleet.Fleet, *, loops: bool) -> fleet.Fleet:
    """The loops, or all others."""
    kept = tuple(a for a in crew.accounts if alike(a) == loops)
    return fleet.Fleet(path=crew.path, unit=crew.unit, accounts=kept)
