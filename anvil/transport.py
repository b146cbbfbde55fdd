"""The keeper's own reads over a local chain's client: the Transport seam without endpoints, lanes or a network."""

from __future__ import annotations

from collections.abc import Sequence

from anvil.client import Chain
from keeper.seams import Priority


class ChainTransport:
    """The Transport seam over the client of one node; it blocks, which only a reader of local chains may."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The result of one call."""
        return self.chain.rpc(method, *params)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """Readers send nothing."""
        raise NotImplementedError
