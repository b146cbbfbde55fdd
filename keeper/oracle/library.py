"""Exchanges without a reader of ours, through ccxt: it words one public question and reads the answer.

Nothing else of it is used: no key, no order, no list of markets (megabytes, parsed in the loop), no retry, no waiting
of its own. What it asks with can do one bounded GET and nothing more. A thread imports it, when it is first needed,
and nobody waits for that thread for long: a look without these exchanges is better than none.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from keeper.config import TickerSettings
from keeper.model import Refusal
from keeper.oracle.exchanges import UNREADABLE, Exchange, no, unlisted
from keeper.oracle.room import DOLLARS

PREFIX = "ccxt:"
CODE, OURS = "ccxt.async_support.", "ccxt.async_support.base."
"""Where ccxt keeps its exchanges, and what is none among them."""
LOAD_S = 8.0
"""The first look waits no longer, well within what a look of the daemon's may take (20 s); later ones not at all. It
takes a second or two, and seven where its bytecode was never compiled."""
POLL_S = 0.02
LOCK = "requirements-tickers.lock"
_RATE, _CLOSED, _KEY = (
    ("RateLimitExceeded", "DDoSProtection"),
    ("ExchangeNotAvailable", "OnMaintenance", "NetworkError"),
    ("AuthenticationError", "PermissionDenied"),
)
Ask = Callable[[str, Mapping[str, str]], Awaitable[bytes | Refusal]]
"""(URL, headers) -> the body of a bounded GET, or why there is none. Raises as aiohttp does."""


class Library:
    """One exchange of ccxt's. Keeps its object, for what it costs to make one."""

    def __init__(self, settings: TickerSettings) -> None:
        self._named, self.name = settings, settings.name
        self._id = settings.name.removeprefix(PREFIX)
        self._made: Any = None
        self._errors: Any = None
        self._thread: Thread | None = None
        self._found: tuple[Any, Any] | str = f"ccxt's {self._id} cannot be made"
        """What the thread leaves: (library, exchange), or why there is none."""
        self.why = "it was never loaded"
        """Why it cannot be asked; empty when it can."""

    async def ready(self) -> None:
        """Import the library and make the exchange's object, once, in one thread; waits the first time only,
        ``LOAD_S`` at the most. Never raises."""
        if self._thread is None:
            self._thread = Thread(target=self._load, name=f"load {self._id}", daemon=True)
            self._thread.start()
            self.why = "ccxt is not loaded yet"
            for _ in range(round(LOAD_S / POLL_S)):
                if not self._thread.is_alive():
                    break
                await asyncio.sleep(POLL_S)
        if self._made is not None or self._thread.is_alive():
            return
        # taken over here alone: in the middle of a look it would ask with a session of its own
        if isinstance(self._found, str):
            self.why = self._found
        else:
            (self._errors, self._made), self.why = self._found, ""

    def _load(self) -> None:
        try:
            whole = importlib.import_module(CODE.rstrip("."))
        except (ImportError, OSError, *UNREADABLE) as error:
            self._found = f"ccxt cannot be loaded ({type(error).__name__}): is {LOCK} installed?"
            return
        try:
            self._found = whole, _made(whole, self._id)
        except (OSError, whole.BaseError, *UNREADABLE) as error:
            self._found = f"ccxt's {self._id} cannot be made ({type(error).__name__})"

    def same(self, other: Library) -> bool:
        """Whether both are of one house: ccxt derives them from one exchange, and they may share their offers."""
        return None not in (self._made, other._made) and _house(self._made) is _house(other._made)

    def market(self, asset: str) -> str:
        """What the exchange calls the market of an asset."""
        quote, told = self._named.quote, self._named.market
        for word, name in (("BASE", asset), ("QUOTE", quote)):
            told = told.replace(f"{{{word}}}", name.upper()).replace(f"{{{word.lower()}}}", name.lower())
        return told

    def symbol(self, asset: str) -> str:
        """What ccxt calls it."""
        return f"{asset}/{self._named.quote}"

    def asks(self, asset: str) -> bool:
        """Whether it is asked for the asset at all: a dollar in a token, in another, tells which of the two is off
        only to who knows what the other costs."""
        quote = self._named.quote
        return asset != quote and not (quote != "USD" and (asset in DOLLARS or "USD" in asset))

    def opens(self, assets: Iterable[str], ask: Ask) -> None:
        """Give ccxt what it asks with, and the markets that may be asked for: it would fetch all that there are."""
        if self._made is not None:
            listed = [_market(a, self._named.quote, self.market(a)) for a in assets]
            self._made.set_markets(listed)
            self._made.session = _Door(ask, self._named)

    def closes(self) -> None:
        """It asks no more."""
        if self._made is not None:
            self._made.session = None

    async def ticker(self, asset: str) -> object:
        """The answer as ccxt reads it, for the exchange's ``parse``, or a Refusal. Raises as what asks does."""
        name, made, errors = self._named.name, self._made, self._errors
        if not self.asks(asset):
            return unlisted(name)
        if made is None:
            return no(name, "failed", self.why)
        try:
            told = await made.fetch_ticker(self.symbol(asset))
        except _Out as out:
            if out.error is not None:
                raise out.error from None
            return out.refusal
        except errors.BadSymbol:
            return unlisted(name)
        except errors.BaseError as error:
            return no(name, _code(error, errors), f"ccxt says {type(error).__name__}")
        except UNREADABLE as error:
            return no(name, "garbled", f"its answer cannot be read by ccxt ({type(error).__name__})")
        if not isinstance(told, dict) or told.get("bid") is None or told.get("ask") is None:
            return no(name, "garbled", "its answer has no bid or no ask")
        # ccxt's own clock stands at zero here: where it would invent a time there is none
        return told if told.get("timestamp") else no(name, "garbled", "its answer tells no time")


def read_by(library: Library, name: str) -> Exchange:
    """The exchange for those who judge answers."""

    def parse(asset: str, told: Any) -> tuple[object, object, float]:
        if told["symbol"] != library.symbol(asset):
            raise ValueError("of another pair")
        return told["bid"], told["ask"], float(told["timestamp"]) / 1_000.0

    return Exchange(name=name, url="", path=library.market, parse=parse)


def _made(whole: Any, id: str) -> Any:
    # no rate limit: it sleeps in the loop's time, and nobody is asked more often than every ten seconds
    made = getattr(whole, id)({"enableRateLimit": False, "ssl_context": False, "session": object()})
    made.session = None
    made.milliseconds = made.seconds = made.microseconds = lambda: 0
    return made


def _house(made: object) -> type:
    """The exchange that it is derived from in the end: siblings read one order book as well."""
    line = [
        c for c in type(made).__mro__ if c.__module__.startswith(CODE) and not c.__module__.startswith(OURS)
    ]
    return line[-1] if line else type(made)


def _code(error: Exception, errors: Any) -> str:
    for code, names in (("limited", _RATE), ("failing", _CLOSED)):
        if isinstance(error, tuple(getattr(errors, n) for n in names)):
            return code
    return "garbled" if isinstance(error, errors.BadResponse) else "refused"


def _market(base: str, quote: str, id: str) -> dict[str, object]:
    """A spot market as ccxt keeps one; what fees and steps it has is nobody's matter here."""
    kinds = dict.fromkeys(("margin", "swap", "future", "option", "index", "contract"), False)
    limits: dict[str, object] = {k: {} for k in ("amount", "price", "cost", "leverage")}
    return {
        "id": id,
        "symbol": f"{base}/{quote}",
        "base": base,
        "quote": quote,
        "baseId": base,
        "quoteId": quote,
        "type": "spot",
        "spot": True,
        **kinds,
        **dict.fromkeys(("settle", "settleId", "linear", "inverse", "subType", "contractSize", "expiry")),
        **dict.fromkeys(("strike", "optionType")),
        "active": True,
        "precision": {"price": 1e-8, "amount": 1e-8},
        "limits": limits,
        "info": {},
    }


class _Out(Exception):
    """Carries what the asking met past ccxt, which would give it another name."""

    def __init__(self, refusal: Refusal | None, error: Exception | None = None) -> None:
        super().__init__("")
        self.refusal, self.error = refusal, error


class _Door:
    """What ccxt takes for its HTTP session: a GET of the place that was named; it has no other verb."""

    closed = False

    def __init__(self, ask: Ask, named: TickerSettings) -> None:
        self.headers: dict[str, str] = {}
        self._ask, self._named = ask, named

    def get(self, url: object, *, headers: Mapping[str, str], **_: object) -> _Answer:
        """As aiohttp's; time, redirects and encoding are not ccxt's to choose."""
        at = str(url)
        if self._named.url is not None:
            parts = urlsplit(at)
            at = self._named.url.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")
        elif not at.startswith("https://"):
            raise _Out(no(self._named.name, "refused", "ccxt would ask it in clear"))
        return _Answer(self._ask, at, headers)


class _Answer:
    """A response of status 200, read already."""

    status, reason, content = 200, "OK", b""

    def __init__(self, ask: Ask, url: str, headers: Mapping[str, str]) -> None:
        self.headers: dict[str, str] = {}
        self._ask, self._url, self._sent, self._body = ask, url, headers, b""

    async def __aenter__(self) -> _Answer:
        try:
            body = await self._ask(self._url, self._sent)
        except (aiohttp.ClientError, OSError) as error:
            raise _Out(None, error) from error
        if isinstance(body, Refusal):
            raise _Out(body)
        self._body = body
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def text(self, errors: str = "strict") -> str:
        """The body."""
        return self._body.decode(errors=errors)
