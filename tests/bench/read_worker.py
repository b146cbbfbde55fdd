"""One way of reading 1,000 accounts, in a process of its own: told by its first line, asked by the others.

Runs under whichever interpreter has the library, so it imports nothing of this project but for ``keeper``'s
own way. Each answer is a line of JSON: CPU and wall seconds of one read, from cached calldata to integers,
and a hash of the integers, by which every way is held to the same result.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

WORDS = 6
OUT = "(uint256,uint256,uint256,uint256,uint256,uint256)"
Rows = Iterable[Iterable[int]]
Read = Callable[[], Awaitable[Any]]
"""One read, to be timed."""
AGGREGATE3_ABI = [
    {
        "name": "aggregate3",
        "type": "function",
        "stateMutability": "payable",
        "inputs": [
            {
                "name": "calls",
                "type": "tuple[]",
                "components": [
                    {"name": "target", "type": "address"},
                    {"name": "allowFailure", "type": "bool"},
                    {"name": "callData", "type": "bytes"},
                ],
            }
        ],
        "outputs": [
            {
                "name": "returnData",
                "type": "tuple[]",
                "components": [{"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}],
            }
        ],
    }
]


@contextlib.asynccontextmanager
async def keeper(job: dict[str, Any]) -> AsyncIterator[tuple[Read, Callable[[Any], Rows]]]:
    """Our own: a batch over endpoints, decoded to uint64 limbs by numpy."""
    from keeper.chain.batch import Batch
    from keeper.chain.endpoints import Endpoints
    from keeper.clock import SystemClock
    from keeper.config import ChainSettings, EndpointSettings
    from keeper.model import Call

    endpoint = EndpointSettings(name="node", url=job["url"], ws_url=None, rate_per_s=10_000, concurrency=16)
    chain = ChainSettings(
        name="bench",
        chain_id=job["chain_id"],
        block_time_s=12,
        multicall=job["multicall"],
        native_token=None,
        endpoints=(endpoint,),
    )
    endpoints = await Endpoints.open(chain, SystemClock(), lambda event: None)
    calls = [Call(target=job["pool"], data=bytes.fromhex(d)) for d in job["data"]]
    # one request, as the peers ask it: this node's gas cap allows it
    batch = Batch(calls, chunk=len(calls))

    async def read() -> Any:
        words = await batch.read(endpoints, job["multicall"], job["block_hash"], timeout_s=60)
        return words.limbs(0, len(words), WORDS)

    def rows(limbs: Any) -> Rows:
        return [[sum(int(x) << 64 * (3 - j) for j, x in enumerate(word)) for word in row] for row in limbs]

    try:
        yield read, rows
    finally:
        await endpoints.close()


@contextlib.asynccontextmanager
async def web3_multicall(job: dict[str, Any]) -> AsyncIterator[tuple[Read, Callable[[Any], Rows]]]:
    """web3's contract object of Multicall3, and web3's own codec for what it returns."""
    from web3 import AsyncWeb3

    w3 = AsyncWeb3(AsyncWeb3.AsyncHTTPProvider(job["url"]))
    contract = w3.eth.contract(address=w3.to_checksum_address(job["multicall"]), abi=AGGREGATE3_ABI)
    pool = w3.to_checksum_address(job["pool"])
    calls = [(pool, True, bytes.fromhex(d)) for d in job["data"]]

    async def read() -> Any:
        answers = await contract.functions.aggregate3(calls).call(block_identifier=job["block_hash"])
        return [w3.codec.decode(["uint256"] * WORDS, data) for _, data in answers]

    yield read, lambda rows: rows
    await w3.provider.disconnect()


@contextlib.asynccontextmanager
async def banteg(job: dict[str, Any]) -> AsyncIterator[tuple[Read, Callable[[Any], Rows]]]:
    """multicall.py: Call objects made once, one Multicall a read."""
    from multicall import Call, Multicall, constants
    from web3 import Web3

    constants.MULTICALL3_ADDRESSES[job["chain_id"]] = job["multicall"]
    w3 = Web3(Web3.HTTPProvider(job["url"]))
    what = f"getUserAccountData(address)({OUT[1:-1]})"
    names = [[f"{a}:{k}" for k in range(WORDS)] for a in job["accounts"]]
    calls = [
        Call(job["pool"], [what, a], [(name, None) for name in row])
        for a, row in zip(job["accounts"], names, strict=True)
    ]

    async def read() -> Any:
        return await Multicall(calls, block_id=job["block_number"], _w3=w3)

    yield read, lambda told: [[told[name] for name in row] for row in names]


@contextlib.asynccontextmanager
async def dank_mids(job: dict[str, Any]) -> AsyncIterator[tuple[Read, Callable[[Any], Rows]]]:
    """dank_mids: raw eth_calls gathered, which it turns into multicalls by itself; eth_abi for the words."""
    from dank_mids import setup_dank_w3_from_sync
    from dank_mids.constants import MULTICALL3_DEPLOY_BLOCKS
    from eth_abi import decode
    from multicall import constants
    from web3 import Web3

    network = constants.Network(job["chain_id"])
    constants.MULTICALL3_ADDRESSES[network] = job["multicall"]
    # the code is there: it need not send it along with every call
    MULTICALL3_DEPLOY_BLOCKS[network] = 0
    w3 = setup_dank_w3_from_sync(Web3(Web3.HTTPProvider(job["url"])))
    pool = Web3.to_checksum_address(job["pool"])
    asks = [{"to": pool, "data": "0x" + d} for d in job["data"]]

    async def read() -> Any:
        answers = await asyncio.gather(*(w3.eth.call(a, block_identifier=job["block_number"]) for a in asks))
        return [decode(["uint256"] * WORDS, data) for data in answers]

    yield read, lambda rows: rows


WAYS = {"keeper": keeper, "web3_multicall": web3_multicall, "banteg": banteg, "dank_mids": dank_mids}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


async def main() -> None:
    """Answer one line for each line of standard input."""
    job = json.loads(sys.stdin.readline())
    async with WAYS[job["way"]](job) as (read, rows):
        print(json.dumps({"ready": job["way"]}), flush=True)
        while sys.stdin.readline():
            cpu_s, wall_s = _cpu_s(), time.perf_counter()
            told = await read()
            cpu_s, wall_s = _cpu_s() - cpu_s, time.perf_counter() - wall_s
            text = json.dumps([[str(int(x)) for x in row] for row in rows(told)])
            digest = hashlib.sha256(text.encode()).hexdigest()
            print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "digest": digest}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
