"""One endpoint of a chain by itself, for whoever compares what each of them says: no failover, no hedge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.chain.endpoint import Ask, Endpoint
from keeper.errors import Transient
from keeper.seams import Priority


class Single:
    """The Transport of one endpoint, after everybody else in its lane."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        """As the configuration calls it."""
        return self._endpoint.name

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.PAGE,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """Its own answer, at the lowest priority whatever is asked for. Raises Rejected or Transient."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        return await self._endpoint.answer(
            Ask(method=method, params=params, priority=Priority.PAGE, deadline_s=deadline_s, weight=weight)
        )

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """Nothing is sent."""
        raise Transient("a second look sends nothing")
