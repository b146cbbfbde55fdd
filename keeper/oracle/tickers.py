"""Exchanges asked over HTTP what assets cost: bounded questions, bounded answers, and each silence by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import orjson

from keeper.config import TickerSettings
from keeper.dialing import connector
from keeper.model import Refusal
from keeper.oracle.exchanges import (
    EXCHANGES,
    UNLISTED,
    Exchange,
    Heard,
    Quote,
    consensus,
    no,
    quoted,
    unlisted,
)
from keeper.oracle.library import PREFIX, Library, read_by
from keeper.seams import Clock

BODY_BYTES_MAX = 256 * 1024
WITHIN_S = 2.0
EVERY_S = 10.0
"""Exchanges are asked no more often, however fast blocks come."""
REST_S = 60.0
"""One that limited or failed us is left alone for so long."""
REST_UNLISTED_S = 3_600.0
"""An asset that an exchange does not list is asked of it again after so long."""
NAMED_MAX = 3
"""Markets that a refusal names."""
AT_ONCE = 8
"""Questions to one exchange at a time: a slow one holds nobody else up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """An exchange and where it is asked."""

    exchange: Exchange
    url: str = field(repr=False)
    library: Library | None = None
    """What words the question and reads the answer, where we do not."""


def places(named: Iterable[TickerSettings]) -> tuple[Where, ...]:
    """Where each is asked; one named twice counts once: it agrees with itself."""
    return tuple(_place(t) for t in {t.name: t for t in named}.values())


def _place(named: TickerSettings) -> Where:
    if named.name.startswith(PREFIX):
        library = Library(named)
        return Where(exchange=read_by(library, named.name), url="", library=library)
    own = EXCHANGES[named.name]
    return Where(exchange=own, url=(named.url or own.url).rstrip("/"))


class Tickers:
    """Several exchanges; remembers what they said last, and who is left alone."""

    def __init__(self, where: Sequence[Where], clock: Clock) -> None:
        self._where = tuple(where)
        self._clock = clock
        self._heard: Mapping[str, Heard] = {}
        self._asked_s = -EVERY_S
        self._rests: dict[str, tuple[float, Refusal]] = {}
        self._unlisted: dict[tuple[str, str], float] = {}
        """(exchange, asset) -> until when it is not asked for it."""

    async def prices(self, assets: Iterable[str]) -> Mapping[str, Heard]:
        """What they say of each asset in dollars. Never raises, never later than ``WITHIN_S``; the first time
        a library is loaded besides, aside from the loop, and waited for up to ``LOAD_S``."""
        wanted = tuple(dict.fromkeys(assets))
        now_s = self._clock.monotonic_s()
        if not self._where or not wanted:
            return {}
        if now_s - self._asked_s < EVERY_S and set(wanted) <= self._heard.keys():
            return self._heard
        self._asked_s = now_s
        gates = {w.exchange.name: asyncio.Semaphore(AT_ONCE) for w in self._where}
        libraries = [(w.exchange.name, w.library) for w in self._where if w.library is not None]
        await asyncio.gather(*(library.ready() for _, library in libraries))
        async with aiohttp.ClientSession(
            connector=connector(), trust_env=False, auto_decompress=False
        ) as session:
            try:
                for name, library in libraries:
                    library.opens(wanted, partial(self._body, session, name))
                rows = await asyncio.gather(
                    *(
                        self._one(session, gates[where.exchange.name], where, asset)
                        for asset in wanted
                        for where in self._where
                    ),
                    return_exceptions=True,
                )
            finally:
                for _, library in libraries:
                    library.closes()
        # whatever went wrong with one of them is that one's
        n = len(self._where)
        told = [_told(self._where[i % n], row) for i, row in enumerate(rows)]
        for k, where in enumerate(self._where):
            if (why := self._useless(where, wanted, told[k::n])) is not None:
                told[k::n] = [why] * len(wanted)
        self._heard = {a: consensus(told[i * n : i * n + n]) for i, a in enumerate(wanted)}
        return self._heard

    async def _one(
        self, session: aiohttp.ClientSession, gate: asyncio.Semaphore, where: Where, asset: str
    ) -> Quote | Refusal:
        name = where.exchange.name
        until_s, why = self._rests.get(name, (0.0, None))
        if why is not None and self._clock.monotonic_s() < until_s:
            return why
        if self._clock.monotonic_s() < self._unlisted.get((name, asset), -1.0):
            return unlisted(name)
        try:
            async with asyncio.timeout(WITHIN_S), gate:
                told = await self._asked(session, where, asset)
        except TimeoutError:
            return self._rest(no(name, "slow", f"no answer within {WITHIN_S:g} s"))
        except (aiohttp.ClientError, OSError) as error:
            return self._rest(no(name, "unreachable", type(error).__name__))
        said = told if isinstance(told, Refusal) else quoted(where.exchange, asset, told, self._clock.now_s())
        if isinstance(said, Refusal) and said.code == UNLISTED:
            # how an unknown pair is answered; of that asset only, for the others are asked all the same
            self._unlisted[name, asset] = self._clock.monotonic_s() + REST_UNLISTED_S
        return said

    async def _asked(self, session: aiohttp.ClientSession, where: Where, asset: str) -> object:
        """What it answered, for its ``parse``, or a Refusal."""
        if where.library is not None:
            told = await where.library.ticker(asset)
            rests = isinstance(told, Refusal) and told.code in ("limited", "failing")
            return self._rest(told) if rests and isinstance(told, Refusal) else told
        body = await self._body(session, where.exchange.name, where.url + where.exchange.path(asset), {})
        if isinstance(body, Refusal):
            return body
        try:
            return orjson.loads(body)
        except ValueError:
            return no(where.exchange.name, "garbled", "its answer is no JSON")

    async def _body(
        self, session: aiohttp.ClientSession, name: str, url: str, headers: Mapping[str, str]
    ) -> bytes | Refusal:
        """One bounded GET, without redirects."""
        sent = {**headers, "Accept-Encoding": "identity"}
        async with session.get(url, headers=sent, allow_redirects=False) as answer:
            if answer.status == 429:
                return self._rest(no(name, "limited", "it asks to be asked less often"))
            if answer.status >= 500:
                return self._rest(no(name, "failing", f"status {answer.status}"))
            if answer.status in (400, 404):
                return unlisted(name)
            if answer.status != 200:
                return no(name, "refused", f"status {answer.status}")
            body = b""
            while len(body) <= BODY_BYTES_MAX and not answer.content.at_eof():
                body += await answer.content.read(BODY_BYTES_MAX + 1 - len(body))
        return (
            body if len(body) <= BODY_BYTES_MAX else no(name, "garbled", f"more than {BODY_BYTES_MAX} bytes")
        )

    def _useless(
        self, where: Where, wanted: Sequence[str], told: Sequence[Quote | Refusal]
    ) -> Refusal | None:
        """Why one that ccxt reads is of no use as it is named: silence about all would pass for nobody's fault."""
        if where.library is None:
            return None
        name, others = where.exchange.name, (w.library for w in self._where if w.library is not None)
        for other in others:
            if other is where.library:
                break
            if where.library.same(other):
                return no(name, "refused", f"is of one house with {other.name}, which counts once")
        asked_for = {a: t for a, t in zip(wanted, told, strict=True) if where.library.asks(a)}
        if asked_for and all(isinstance(t, Refusal) and t.code == UNLISTED for t in asked_for.values()):
            asked = ", ".join(where.library.market(a) for a in list(asked_for)[:NAMED_MAX])
            return no(name, "refused", f"lists nothing that is asked for ({asked}): is its market right?")
        return None

    def _rest(self, why: Refusal) -> Refusal:
        self._rests[why.who] = self._clock.monotonic_s() + REST_S, why
        return why


def _told(where: Where, row: Quote | Refusal | BaseException) -> Quote | Refusal:
    if isinstance(row, Exception):
        return no(where.exchange.name, "failed", f"asking it failed ({type(row).__name__})")
    if isinstance(row, BaseException):
        raise row
    return row
