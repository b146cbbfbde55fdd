"""Public tickers of exchanges: how each is asked, how it answers, and what is believed of several together. Pure.

Sources: the public market data of Kraken (Spread, which tells its time where Ticker does not), Coinbase Exchange
(products/ticker), Bitstamp (v2/ticker) and Gemini (v1/pubticker). None wants a key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from keeper.model import Refusal
from keeper.oracle.feeds import Feed

STALE_S = 300
"""A quiet pair may not trade for minutes; what is older says nothing of a crash."""
AHEAD_S = 60
WIDE = 0.02
"""Bid and ask further apart than this: nobody makes a market there now."""
FAR = 0.03
"""From the median of all: further away one is wrong, or not the same asset."""
UNLISTED = "unlisted"
AGREE_MIN = 2
"""Of one exchange alone nothing is believed: it may be attacked, or its dollar not be a dollar (10 October 2025)."""
UNREADABLE = (
    KeyError,
    TypeError,
    IndexError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What nonsense in an answer raises in who reads it."""
ASSETS = {"WETH": "ETH", "CBETH": "", "WSTETH": "", "RETH": "", "WEETH": ""}
"""As feeds name it -> as exchanges list it; empty: nowhere. A token that may lose its peg is never another's name."""


class Unlisted(ValueError):
    """An exchange that knows no such asset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What one exchange said of one asset in dollars."""

    exchange: str
    asset: str
    bid: float
    ask: float
    at_s: float

    @property
    def price(self) -> float:
        """Between bid and ask."""
        return (self.bid + self.ask) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange's interface. ``parse`` raises KeyError, TypeError, IndexError, ValueError or OverflowError."""

    name: str
    url: str
    path: Callable[[str], str]
    parse: Callable[[str, Any], tuple[object, object, float]]
    """(asset, body) -> (bid, ask, unix seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What all of them together say of one asset; ``why`` says why nothing is believed."""

    price: float | None
    refused: tuple[Refusal, ...] = ()
    why: str = ""
    at_s: float | None = None
    """Unix seconds of the oldest quote that the price is made of."""


def asset_of(feed: Feed) -> str | None:
    """What a feed prices in dollars, as exchanges list it; None where they do not, or it is not in dollars."""
    base, slash, quote = (part.strip().upper() for part in feed.description.partition("/"))
    if not slash or quote.split(" ")[0] != "USD" or not base.isalnum():
        return None
    return ASSETS.get(base, base) or None


def quoted(exchange: Exchange, asset: str, body: object, now_s: float) -> Quote | Refusal:
    """One answer, read and judged by itself."""
    try:
        bid, ask, at_s = exchange.parse(asset, body)
        quote = Quote(
            exchange=exchange.name, asset=asset, bid=_number(bid), ask=_number(ask), at_s=float(at_s)
        )
    except Unlisted:
        return unlisted(exchange.name)
    except UNREADABLE as error:
        return no(exchange.name, "garbled", f"its answer cannot be read ({type(error).__name__})")
    return _refused(quote, now_s) or quote


def _number(value: object) -> float:
    """A number as JSON has it, or in quotes; whatever is nested is none, and is never even shown."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("no number")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _refused(q: Quote, now_s: float) -> Refusal | None:
    if not all(math.isfinite(x) for x in (q.bid, q.ask, q.at_s)) or q.bid <= 0.0 or q.ask <= 0.0:
        return no(q.exchange, "not_positive", f"bid {q.bid:g}, ask {q.ask:g}")
    if q.bid > q.ask:
        return no(q.exchange, "crossed", f"bid {q.bid:g} above ask {q.ask:g}")
    if q.ask / q.bid - 1.0 > WIDE:
        return no(q.exchange, "wide", f"bid {q.bid:g} and ask {q.ask:g} are {q.ask / q.bid - 1:.1%} apart")
    if now_s - q.at_s > STALE_S:
        return no(q.exchange, "stale", f"is {now_s - q.at_s:.0f} s old")
    if q.at_s - now_s > AHEAD_S:
        return no(q.exchange, "from_future", f"is of {q.at_s - now_s:.0f} s from now")
    return None


def consensus(answers: Sequence[Quote | Refusal]) -> Heard:
    """The median of those that agree; at least two, and more than half of all that could be believed."""
    quotes = [a for a in answers if isinstance(a, Quote)]
    refused = [a for a in answers if isinstance(a, Refusal)]
    if not quotes:
        return Heard(
            price=None, refused=tuple(refused), why="no exchange said anything that could be believed"
        )
    middle = median(q.price for q in quotes)
    near = [q for q in quotes if abs(q.price / middle - 1.0) <= FAR]
    refused += [
        no(q.exchange, "far_from_others", f"says {q.price:g}, the median of {len(quotes)} is {middle:g}")
        for q in quotes
        if q not in near
    ]
    if len(near) < AGREE_MIN or 2 * len(near) <= len(quotes):
        why = f"{len(near)} of {len(quotes)} exchanges agree on a price: at least {AGREE_MIN} and more than half must"
        return Heard(price=None, refused=tuple(refused), why=why)
    return Heard(price=median(q.price for q in near), refused=tuple(refused), at_s=min(q.at_s for q in near))


def together(pool: float | None, heard: float | None) -> tuple[float | None, str]:
    """The market's price from both kinds of source, or why neither is believed where they differ."""
    if pool is None or heard is None:
        return (heard if pool is None else pool), ""
    if abs(pool / heard - 1.0) > FAR:
        return None, f"the pool says {pool:g}, exchanges {heard:g}: neither is believed"
    return heard, ""


def no(exchange: str, code: str, why: str) -> Refusal:
    """An exchange that is not believed now."""
    return Refusal(who=exchange, code=code, why=why)


def unlisted(exchange: str) -> Refusal:
    """An exchange that does not trade the asset against dollars: no fault of anybody's."""
    return no(exchange, UNLISTED, "does not list it")


def _kraken(asset: str, body: Any) -> tuple[object, object, float]:
    if body["error"]:
        if body["error"] == ["EQuery:Unknown asset pair"]:
            raise Unlisted
        raise ValueError("it says error")
    (rows,) = (v for k, v in body["result"].items() if k != "last" and asset.replace("BTC", "XBT") in k)
    at_s, bid, ask = rows[-1]
    return bid, ask, float(at_s)


def _coinbase(asset: str, body: Any) -> tuple[object, object, float]:
    return body["bid"], body["ask"], datetime.fromisoformat(_text(body["time"])).timestamp()


def _bitstamp(asset: str, body: Any) -> tuple[object, object, float]:
    if _text(body.get("pair", f"{asset}/USD")).upper() != f"{asset}/USD":
        raise ValueError("of another pair")
    return body["bid"], body["ask"], float(body["timestamp"])


def _gemini(asset: str, body: Any) -> tuple[object, object, float]:
    volume = body["volume"]
    if asset not in volume:
        raise ValueError("of another pair")
    return body["bid"], body["ask"], float(volume["timestamp"]) / 1_000.0


EXCHANGES = {
    e.name: e
    for e in (
        Exchange(
            name="kraken",
            url="https://api.kraken.com",
            path=lambda a: f"/0/public/Spread?pair={a.replace('BTC', 'XBT')}USD",
            parse=_kraken,
        ),
        Exchange(
            name="coinbase",
            url="https://api.exchange.coinbase.com",
            path=lambda a: f"/products/{a}-USD/ticker",
            parse=_coinbase,
        ),
        Exchange(
            name="bitstamp",
            url="https://www.bitstamp.net/api",
            path=lambda a: f"/v2/ticker/{a.lower()}usd/",
            parse=_bitstamp,
        ),
        Exchange(
            name="gemini",
            url="https://api.gemini.com",
            path=lambda a: f"/v1/pubticker/{a.lower()}usd",
            parse=_gemini,
        ),
    )
}
