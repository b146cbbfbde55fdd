"""One aggregator over HTTP: a bounded question, a bounded answer, and silence by name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import aiohttp
import orjson

from keeper.dialing import connector
from keeper.executor.bids import Ask, Bid, no, refused
from keeper.model import Refusal
from keeper.oracle.dialects import Dialect
from keeper.seams import Clock

BODY_BYTES_MAX = 256 * 1024
REST_S = 30.0
"""After it limited or failed us, nobody is asked for so long: its silence must not cost each block anew."""
LIMITED, TOO_MANY = 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Whom to ask; the key is in no repr and no log line."""

    dialect: Dialect
    url: str
    key: str = field(default="", repr=False)


class Aggregator:
    """``seams.Quotes`` over HTTP. Open it with ``async with``."""

    def __init__(self, where: Where, clock: Clock) -> None:
        self._where = where
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._rests_until_s = 0.0
        self._why = ""

    def __repr__(self) -> str:
        return f"Aggregator({self._where.dialect.name})"

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def bid(self, ask: Ask, *, within_s: float) -> Bid | Refusal:
        """Its offer, if the Executor could take it; else why not. Never later than ``within_s``, never raises."""
        now_s = self._clock.monotonic_s()
        if now_s < self._rests_until_s:
            return no("resting", f"asked again in {self._rests_until_s - now_s:.0f} s: {self._why}")
        try:
            async with asyncio.timeout(within_s):
                found = await self._asked(ask)
        except TimeoutError:
            found = self._rest("slow", f"no answer within {within_s:g} s")
        except (aiohttp.ClientError, OSError) as e:
            # the URL may hold a token: its kind is told, not its words
            found = self._rest("unreachable", type(e).__name__)
        if isinstance(found, Refusal):
            return found
        return refused(ask, found) or found

    async def _asked(self, ask: Ask) -> Bid | Refusal:
        dialect = self._where.dialect
        path, query = dialect.query(ask)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector(), trust_env=False, auto_decompress=False
            )
        async with self._session.get(
            self._where.url.rstrip("/") + path,
            params=query,
            headers={"Accept-Encoding": "identity", **dialect.headers(self._where.key)},
            allow_redirects=False,
        ) as answer:
            if answer.status == LIMITED:
                return self._rest("limited", "it asks to be asked less often")
            if answer.status >= TOO_MANY:
                return self._rest("failing", f"status {answer.status}")
            if answer.status != 200:
                return no("refused", f"status {answer.status}")
            body = await answer.content.read(BODY_BYTES_MAX + 1)
            while len(body) <= BODY_BYTES_MAX and not answer.content.at_eof():
                body += await answer.content.read(BODY_BYTES_MAX + 1 - len(body))
        if len(body) > BODY_BYTES_MAX:
            return no("garbled", f"more than {BODY_BYTES_MAX} bytes")
        return self._read(ask, body)

    def _read(self, ask: Ask, body: bytes) -> Bid | Refusal:
        try:
            # the standard library's reader may overrun the stack on ten thousand brackets
            return self._where.dialect.parse(ask, orjson.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            return no("garbled", f"its answer cannot be read ({type(e).__name__})")

    def _rest(self, code: str, why: str) -> Refusal:
        self._rests_until_s, self._why = self._clock.monotonic_s() + REST_S, f"{code}: {why}"
        return no(code, why)
