"""What several endpoints say by themselves: so many words as are wanted, whoever of them gives one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keeper.chain.endpoint import Endpoint
from keeper.chain.refusal import elsewhere
from keeper.errors import Rejected, Transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many words are wanted, and how long for them is waited."""

    count: int
    hedge_s: float
    """Where words are missing for so long, one more is asked."""
    wait_s: float
    """So long after the first word, or once so many can no longer be had, the others are waited for."""
    patience_s: float
    """Who has kept a question for so long when the asking ends has failed to answer it."""


class Canvass:
    """Asks endpoints in their order, each at most once, until enough have given their word or the wait is over.

    As many as words are wanted are asked at once. The next one joins at once where one fails, and where words are
    missing for ``hedge_s``: one silent endpoint must not silence the others. A refusal (a revert) is a word; that a
    node lacks the block or the method is none.
    """

    def __init__(
        self, order: Sequence[Endpoint], attempt: Callable[[Endpoint], Awaitable[object]], pace: Pace
    ) -> None:
        """``attempt`` asks one endpoint; it ends by itself, at its own deadline."""
        self._left = list(order)
        self._attempt = attempt
        self._pace = pace
        self._count = min(pace.count, len(self._left))
        self._asked: dict[asyncio.Task[object], Endpoint] = {}
        self._since_s: dict[Endpoint, float] = {}
        self.late: dict[Endpoint, bool] = {}
        """Who had not answered at the end, the last ones asked aside: whether for so long that it failed."""

    async def run(self) -> dict[Endpoint, object]:
        """What each that was asked said, words first: its result, its Rejected, or a Transient that says why not."""
        try:
            await self._until_over()
            self._note_late()
        finally:
            for task in self._asked:
                task.cancel()
            told = await asyncio.gather(*self._asked, return_exceptions=True)
        said = {e: _answer(e, a) for e, a in zip(self._asked.values(), told, strict=True)}
        return dict(sorted(said.items(), key=lambda item: not _is_word(item[1])))

    async def _until_over(self) -> None:
        loop, over_s = asyncio.get_running_loop(), math.inf
        for _ in range(self._count):
            self._ask_next()
        next_s = loop.time() + self._pace.hedge_s
        while True:
            waiting = [t for t in self._asked if not t.done()]
            words = sum(t.done() and _is_word(_outcome(t)) for t in self._asked)
            now_s = loop.time()
            hopeless = words + len(waiting) + len(self._left) < self._count
            if (words or hopeless) and over_s == math.inf:
                over_s = now_s + self._pace.wait_s
            if words >= self._count or now_s >= over_s or not (waiting or self._left):
                return
            if self._left and (words + len(waiting) < self._count or now_s >= next_s):
                self._ask_next()
                next_s = now_s + self._pace.hedge_s
                continue
            until_s = min(over_s, next_s if self._left else math.inf)
            timeout_s = None if until_s == math.inf else until_s - now_s
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    def _ask_next(self) -> None:
        endpoint = self._left.pop(0)
        self._since_s[endpoint] = asyncio.get_running_loop().time()
        self._asked[asyncio.create_task(self._one(endpoint))] = endpoint

    async def _one(self, endpoint: Endpoint) -> object:
        try:
            return await self._attempt(endpoint)
        except Rejected as no:
            if elsewhere(no):
                raise Transient(f"{endpoint.name}: {no.message}") from no
            raise

    def _note_late(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for task, endpoint in self._asked.items():
            # what waits for its turn in our own queue is no silence of the endpoint's
            silent_s = min(now_s - self._since_s[endpoint], endpoint.silent_s)
            if not task.done() and silent_s >= self._pace.hedge_s:
                self.late[endpoint] = silent_s >= self._pace.patience_s


def _outcome(task: asyncio.Task[object]) -> object:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


def _is_word(answer: object) -> bool:
    return isinstance(answer, Rejected) or not isinstance(answer, BaseException)


def _answer(endpoint: Endpoint, told: object) -> object:
    """What a caller hears. Raises what is neither an answer nor a failure of the endpoint's."""
    if isinstance(told, asyncio.CancelledError):
        return Transient(f"{endpoint.name}: did not answer in time")
    if isinstance(told, BaseException) and not isinstance(told, Transient):
        raise told
    return told
