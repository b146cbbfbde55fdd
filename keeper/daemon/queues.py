"""What waits behind a timelock, asked as its kind tells it: by views, or by its logs and then by a view of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from keeper.config import ChainSettings
from keeper.errors import Rejected, Transient
from keeper.governance import timelocks
from keeper.governance.timelocks import Queued, Timelock
from keeper.model import Block, Call
from keeper.seams import LogFilter, Priority, Transport
from keeper.words import Words

Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block. Raises Transient."""
BACK_S = 21 * 86_400
"""Logs of so long: the longest delay and grace of the kinds that are asked by logs, and a week."""
PLANS_BACK_S = 365 * 86_400
"""A plan of Maker's has no end: older logs of it are searched as well, beside, after what is likely."""
AGAIN_S = 900
"""Blocks so young are asked once more: a reorganisation may have moved a log into one that was empty."""
SPAN_BLOCKS = 50_000
"""Asked for at once; halved where an endpoint wants less."""
REQUESTS_MAX = 64
LOGS_S = 10.0


@dataclass(slots=True)
class _Told:
    """Logs of one timelock, and up to which block they are known."""

    to_block: int = -1
    from_block: int = 0
    width: int = SPAN_BLOCKS
    width_back: int = SPAN_BLOCKS
    """Blocks asked for at once, of the newest and of old ones: a node may keep no old ones at all."""
    logs: list[dict[str, object]] = field(default_factory=list)

    def add(self, logs: list[dict[str, object]]) -> None:
        """Each once, however often it is asked for."""
        self.logs += [log for log in logs if log not in self.logs]


class Queues:
    """Asks timelocks; remembers logs, so that each is asked for once."""

    def __init__(self, chain: ChainSettings, transport: Transport) -> None:
        self._chain = chain
        self._transport = transport
        self._told: dict[str, _Told] = {}
        self.behind: dict[str, int] = {}
        """Timelock -> before which block its calls have not been searched for yet."""

    async def waiting(self, timelock: Timelock, block: Block, read: Read) -> tuple[Queued, ...]:
        """What is queued and may still land. Raises Transient; ValueError for answers that cannot be read."""
        where = timelocks.logs_of(timelock)
        if where is None:
            return await _payloads(timelock, read)
        logs = await self._logs(where, block)
        if timelock.kind == "maker_pause":
            await self._search_back(where, block)
        found = timelocks.from_logs(timelock, logs, block.timestamp_s)
        if not found:
            # nothing was ever queued, or nobody is there: code tells them apart
            if await self._transport.request("eth_getCode", [timelock.address, hex(block.number)]) == "0x":
                raise Transient(f"there is no contract at {timelock.address}")
            return ()
        words = await read(timelocks.standing_calls(found))
        if not words.ok.all() or not (words.count > 0).all():
            raise Transient(f"{timelock.address} does not tell which of its calls still wait")
        return timelocks.grouped([q for i, q in enumerate(found) if words.uint(i)])

    async def _logs(self, where: LogFilter, block: Block) -> list[dict[str, object]]:
        told = self._told.setdefault(where.target, _Told())
        first = max(0, block.number - self._blocks(BACK_S))
        if told.to_block < 0:
            told.from_block = first
        at = max(first, told.to_block + 1 - self._blocks(AGAIN_S))
        # an endpoint that wanted little may take more again
        told.width = min(SPAN_BLOCKS, 2 * told.width)
        for _ in range(REQUESTS_MAX):
            if at > block.number:
                return told.logs
            end = min(block.number, at + told.width - 1)
            if await self._asked(where, at, end):
                told.to_block, at = max(end, told.to_block), end + 1
            else:
                told.width = max(1, (end - at + 1) // 2)
        raise Transient(
            f"its logs are known up to block {told.to_block} of {block.number}: the next look goes on"
        )

    async def _search_back(self, where: LogFilter, block: Block) -> None:
        """Older logs, from the newest on; what is not reached, or not kept by anybody, is left in ``behind``."""
        told, last = self._told[where.target], max(0, block.number - self._blocks(PLANS_BACK_S))
        for _ in range(REQUESTS_MAX):
            if told.from_block <= last:
                break
            at = max(last, told.from_block - told.width_back)
            try:
                if await self._asked(where, at, told.from_block - 1):
                    told.from_block = at
                else:
                    told.width_back = max(1, (told.from_block - at) // 2)
            except Transient:
                break
        self.behind.pop(where.target, None)
        if told.from_block > last:
            self.behind[where.target] = told.from_block

    async def _asked(self, where: LogFilter, first: int, last: int) -> bool:
        """Whether the logs of a span are known now; False: it is to be asked for by halves. Raises Transient."""
        try:
            self._told[where.target].add(await self._span(where, first, last))
        except Rejected:
            if last <= first:
                raise
            return False
        return True

    def _blocks(self, seconds: float) -> int:
        return int(seconds / self._chain.block_time_s)

    async def _span(self, where: LogFilter, first: int, last: int) -> list[dict[str, object]]:
        asked = {
            "address": where.target,
            "topics": list(where.topics),
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        logs = await self._transport.request("eth_getLogs", [asked], priority=Priority.PAGE, timeout_s=LOGS_S)
        if not isinstance(logs, list) or not all(isinstance(log, dict) and "data" in log for log in logs):
            raise Transient(f"eth_getLogs answered {type(logs).__name__}, not logs")
        return logs


async def _payloads(timelock: Timelock, read: Read) -> tuple[Queued, ...]:
    """Of a PayloadsController, in three rounds. Raises Transient, ValueError."""
    words = await read((timelocks.count_call(timelock),))
    if not words.ok[0] or not words.count[0]:
        raise Transient(f"{timelock.address} answers no getPayloadsCount")
    count = words.uint(0)
    states = timelocks.state_calls(timelock, count)
    ids = timelocks.queued_ids(count, await read(states)) if states else ()
    if ids is None:
        raise Transient(f"{timelock.address} answers no getPayloadState")
    if not ids:
        return ()
    words = await read(timelocks.payload_calls(timelock, ids))
    found: list[Queued] = []
    for i, id in enumerate(ids):
        one = timelocks.payload(timelock, id, words.data(i)) if words.ok[i] else None
        if one is None:
            raise ValueError(f"payload {id} of {timelock.address} cannot be read")
        found.append(one)
    return tuple(found)
