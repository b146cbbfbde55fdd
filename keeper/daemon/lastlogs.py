"""The logs of something that ended lately, newest first, in spans that an endpoint takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keeper.errors import Rejected, Transient
from keeper.seams import LogFilter, Priority, Transport

SPAN_BLOCKS = 10_000
"""Asked for at once; halved where an endpoint wants less."""
REQUESTS_MAX = 8
LOGS_S = 1.0
"""All requests of one look together: a photograph waits for them."""
REORG_BLOCKS = 16
"""The end may have moved to a block so far before the last one in which the thing was there."""

Log = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where logs are looked for."""

    first_block: int
    """In which it was there for the last time."""
    last_block: int
    width: int = SPAN_BLOCKS
    """Blocks that are asked for at once."""


async def last_logs(
    transport: Transport, where: LogFilter, span: Span, enough: Callable[[Sequence[Log]], bool]
) -> tuple[list[Log], int]:
    """What is told of ``where``, oldest first, until it is ``enough``, and the width that the next look begins with.

    Whoever refuses or does not answer ends the look with what was told so far: nothing is ever decided by the lack
    of a log.
    """
    found: list[Log] = []
    first, end, width = max(0, span.first_block - REORG_BLOCKS), span.last_block, span.width
    until_s = asyncio.get_running_loop().time() + LOGS_S
    for _ in range(REQUESTS_MAX):
        left_s = until_s - asyncio.get_running_loop().time()
        if end < first or left_s <= 0:
            break
        start = max(first, end - width + 1)
        try:
            told = await _asked(transport, where, (start, end), left_s)
        except Rejected:
            if start == end:
                break
            width = (end - start + 1) // 2
            continue
        except Transient:
            break
        found, end = [*told, *found], start - 1
        if enough(told):
            break
    return found, width


async def logs_of(transport: Transport, tx_hash: str) -> list[Log]:
    """The logs of one transaction; none where no endpoint gives its receipt."""
    try:
        receipt = await transport.request(
            "eth_getTransactionReceipt", [tx_hash], priority=Priority.RECEIPT, timeout_s=LOGS_S
        )
    except Transient:
        return []
    logs = receipt.get("logs") if isinstance(receipt, dict) else None
    return [log for log in logs if isinstance(log, dict)] if isinstance(logs, list) else []


async def _asked(transport: Transport, where: LogFilter, blocks: tuple[int, int], left_s: float) -> list[Log]:
    query = {
        "address": where.target,
        "topics": list(where.topics),
        "fromBlock": hex(blocks[0]),
        "toBlock": hex(blocks[1]),
    }
    logs = await transport.request("eth_getLogs", [query], priority=Priority.RECEIPT, timeout_s=left_s)
    return [log for log in logs if isinstance(log, dict)] if isinstance(logs, list) else []
