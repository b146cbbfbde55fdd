"""web3 off the hot path: contract reads of commands and the building of approvals.

Its contract objects cost 7-20 ms of CPU and three requests a call, so nothing that runs every block comes
here. web3 is imported on first use: it alone costs more than a whole ``keeper --help`` may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from keeper.dialing import connector

if TYPE_CHECKING:
    from web3 import AsyncWeb3
    from web3.providers.rpc import AsyncHTTPProvider

CONNECTIONS = 16
KEEPALIVE_S = 30.0


async def open_web3(url: str, timeout_s: float = 10.0) -> AsyncWeb3[AsyncHTTPProvider]:
    """An AsyncWeb3 on a keep-alive session of its own, which never repeats a request by itself.

    Call it in the loop that will use it: web3 keeps sessions by loop. End it with ``close_web3``.
    """
    from web3 import AsyncWeb3
    from web3.providers.rpc import AsyncHTTPProvider

    timeout = aiohttp.ClientTimeout(total=timeout_s)
    # web3's own repetition would send a transaction twice without anybody knowing
    provider = AsyncHTTPProvider(url, {"timeout": timeout}, exception_retry_configuration=None)
    dialled = connector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_S)
    session = aiohttp.ClientSession(connector=dialled, timeout=timeout, raise_for_status=True)
    await provider.cache_async_session(session)
    return AsyncWeb3(provider)


async def close_web3(w3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    """End the sessions; web3's own ``disconnect`` would write the URL, with its token, to the log."""
    cache = w3.provider._request_session_manager.session_cache
    for _, session in cache.items():
        await session.close()
    cache.clear()
