"""Exchanges asked over HTTP what assets cost: bounded questions, bounded answers, and each silence by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson

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
from keeper.seams import Clock

BODY_BYTES_MAX = 256 * 1024
WITHIN_S = 2.0
EVERY_S = 10.0
"""Exchanges are asked no more often, however fast blocks come."""
REST_S = 60.0
"""One that limited or failed us is left alone for so long."""
REST_UNLISTED_S = 3_600.0
"""An asset that an exchange does not list is asked of it again after so long."""
AT_ONCE = 8
"""Questions to one exchange at a time: a slow one holds nobody else up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """An exchange and where it is asked."""

    exchange: Exchange
    url: str = field(repr=False)


def places(named: Iterable[tuple[str, str | None]]) -> tuple[Where, ...]:
    """(name, URL or None for the public one) of each; one named twice counts once: it agrees with itself."""
    once = dict(named)
    return tuple(
        Where(exchange=EXCHANGES[n], url=(url or EXCHANGES[n].url).rstrip("/")) for n, url in once.items()
    )


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
        """What they say of each asset in dollars. Never raises, never later than ``WITHIN_S``."""
        wanted = tuple(dict.fromkeys(assets))
        now_s = self._clock.monotonic_s()
        if not self._where or not wanted:
            return {}
        if now_s - self._asked_s < EVERY_S and set(wanted) <= self._heard.keys():
            return self._heard
        self._asked_s = now_s
        gates = {w.exchange.name: asyncio.Semaphore(AT_ONCE) for w in self._where}
        async with aiohttp.ClientSession(trust_env=False, auto_decompress=False) as session:
            rows = await asyncio.gather(
                *(
                    self._one(session, gates[where.exchange.name], where, asset)
                    for asset in wanted
                    for where in self._where
                ),
                return_exceptions=True,
            )
        # whatever went wrong with one of them is that one's
        told = [_told(self._where[i % len(self._where)], row) for i, row in enumerate(rows)]
        n = len(self._where)
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
                body = await self._body(session, where, asset)
        except TimeoutError:
            return self._rest(no(name, "slow", f"no answer within {WITHIN_S:g} s"))
        except (aiohttp.ClientError, OSError) as error:
            return self._rest(no(name, "unreachable", type(error).__name__))
        if isinstance(body, Refusal):
            return body
        try:
            told = orjson.loads(body)
        except ValueError:
            return no(name, "garbled", "its answer is no JSON")
        said = quoted(where.exchange, asset, told, self._clock.now_s())
        if isinstance(said, Refusal) and said.code == UNLISTED:
            self._unlisted[name, asset] = self._clock.monotonic_s() + REST_UNLISTED_S
        return said

    async def _body(self, session: aiohttp.ClientSession, where: Where, asset: str) -> bytes | Refusal:
        name = where.exchange.name
        async with session.get(
            where.url + where.exchange.path(asset),
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
        ) as answer:
            if answer.status == 429:
                return self._rest(no(name, "limited", "it asks to be asked less often"))
            if answer.status >= 500:
                return self._rest(no(name, "failing", f"status {answer.status}"))
            if answer.status in (400, 404):
                # how an unknown pair is answered; of that asset only, for the others are asked all the same
                self._unlisted[name, asset] = self._clock.monotonic_s() + REST_UNLISTED_S
                return unlisted(name)
            if answer.status != 200:
                return no(name, "refused", f"status {answer.status}")
            body = b""
            while len(body) <= BODY_BYTES_MAX and not answer.content.at_eof():
                body += await answer.content.read(BODY_BYTES_MAX + 1 - len(body))
        return (
            body if len(body) <= BODY_BYTES_MAX else no(name, "garbled", f"more than {BODY_BYTES_MAX} bytes")
        )

    def _rest(self, why: Refusal) -> Refusal:
        self._rests[why.who] = self._clock.monotonic_s() + REST_S, why
        return why


def _told(where: Where, row: Quote | Refusal | BaseException) -> Quote | Refusal:
    if isinstance(row, Exception):
        return no(where.exchange.name, "failed", f"asking it failed ({type(row).__name__})")
    if isinstance(row, BaseException):
        raise row
    return row
