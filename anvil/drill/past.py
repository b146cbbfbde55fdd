"""A liquidation that happened: whose it was, where, and what the oracle said in the blocks before it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.abi import decode_answer, encode_call
from anvil.drill.course import Course, Update, bounded
from anvil.drill.feeds import Feed
from keeper.chain.rpc import Rpc
from keeper.errors import ConfigError, Rejected, Transient
from keeper.model import Position, Shock
from keeper.seams import Venue
from keeper.venues.aave_v3 import AaveV3

TIMEOUT_S = 20.0
ANSWER_CHARS = 66
"""0x and one word."""
AAVE = "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
MORPHO = (
    "0x" + keccak(text="Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)").hex()
)
COMPOUND = "0x" + keccak(text="AbsorbDebt(address,address,uint256,uint256)").hex()
_USER = {AAVE: 3, MORPHO: 3, COMPOUND: 2}
"""Which topic names the borrower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """One liquidation by its event."""

    account: str
    block: int
    contract: str
    """That said so: Aave's pool, Morpho, a Comet."""
    kind: str
    provider: str
    """As a configuration names the market."""
    market: str | None = None
    """Its id, where one contract holds many."""


def find(url: str, tx_hash: str, account: str | None) -> Liquidation:
    """The liquidation in a transaction, of ``account`` where one is named. Raises ConfigError, Transient."""
    return asyncio.run(_find(url, tx_hash, account))


def course(
    url: str, it: Liquidation, at: tuple[Venue, Position], feeds: Sequence[Feed], first: int
) -> Course:
    """What the feeds of the position answered from block ``first`` to the liquidation's, as multiples of ``first``'s.

    Raises ConfigError where nothing moved, Transient where the endpoint does not serve states so old.
    """
    return asyncio.run(_course(url, it, at, feeds, first))


async def _find(url: str, tx_hash: str, account: str | None) -> Liquidation:
    rpc = Rpc("--rpc", url)
    try:
        receipt = await rpc.call("eth_getTransactionReceipt", [tx_hash], timeout_s=TIMEOUT_S)
        if not isinstance(receipt, dict):
            raise ConfigError((f"--liquidation {tx_hash}: the endpoint knows no such transaction",))
        logs = [log for log in receipt["logs"] if log["topics"] and log["topics"][0] in _USER]
        found = [(_user(log), log) for log in logs]
        if not found:
            why = "liquidated nobody on Aave v3, Morpho Blue or Compound v3"
            raise ConfigError((f"--liquidation {tx_hash}: {why}",))
        mine = [log for user, log in found if account in (None, user)]
        if not mine:
            others = ", ".join(user for user, _ in found)
            raise ConfigError((f"--liquidation {tx_hash}: liquidated {others}, not {account}",))
        return await _told(rpc, mine[0])
    finally:
        await rpc.close()


async def _told(rpc: Rpc, log: Mapping[str, Any]) -> Liquidation:
    topic, contract = log["topics"][0], str(to_checksum_address(log["address"]))
    kind = {AAVE: "aave_v3", MORPHO: "morpho_blue", COMPOUND: "compound_v3"}[topic]
    provider = contract
    if topic == AAVE:
        provider = await _provider(rpc, contract)
    return Liquidation(
        account=_user(log),
        block=int(log["blockNumber"], 16),
        contract=contract,
        kind=kind,
        provider=provider,
        market=log["topics"][1] if topic == MORPHO else None,
    )


class Asks(Protocol):
    """One endpoint."""

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        """Its answer. Raises Rejected or Transient."""
        ...


async def _provider(rpc: Asks, pool: str) -> str:
    """Of the market whose pool said so. ConfigError for a pool of Aave v2, whose event looks the same."""
    if (found := await _address(rpc, pool, "ADDRESSES_PROVIDER()")) is not None:
        return found
    if await _address(rpc, pool, "getAddressesProvider()") is not None:
        why = (
            f"the event is of {pool}, a pool of Aave v2, which is not drilled: its event only looks like v3's"
        )
    else:
        why = f"the event is of {pool}, which answers as no pool of Aave v3"
    raise ConfigError((f"--liquidation: {why}",))


async def _address(rpc: Asks, contract: str, signature: str) -> str | None:
    """The address that a getter answers; None where the contract has no such getter. Raises Transient."""
    call = {"to": contract, "data": "0x" + encode_call(signature).hex()}
    try:
        answer = str(await rpc.call("eth_call", [call, "latest"], timeout_s=TIMEOUT_S))
    except Rejected:
        return None
    return str(to_checksum_address("0x" + answer[-40:])) if len(answer) == ANSWER_CHARS else None


def _user(log: Mapping[str, Any]) -> str:
    return str(to_checksum_address("0x" + log["topics"][_USER[log["topics"][0]]][-40:]))


async def _course(
    url: str, it: Liquidation, at: tuple[Venue, Position], feeds: Sequence[Feed], first: int
) -> Course:
    calls = _questions(at[0], at[1], feeds)
    rpc = Rpc("--rpc", url)
    try:
        rows = [await _answers(rpc, calls, block) for block in range(first, it.block + 1)]
    finally:
        await rpc.close()
    updates, last = list[Update](), rows[0]
    for block, row in enumerate(rows[1:], first + 1):
        if row == last:
            continue
        moves = {symbol: row[symbol] / rows[0][symbol] - 1.0 for symbol in calls}
        name = f"block {block}"
        updates.append(Update(shock=Shock(name=name, moves=moves), why=name))
        last = row
    if not updates:
        why = f"no price of the position moved from block {first} to {it.block}: begin earlier with --before"
        raise ConfigError((f"--liquidation: {why}",))
    return bounded(Course(name=f"liquidation of {it.account} in block {it.block}", updates=tuple(updates)))


def _questions(venue: Venue, position: Position, feeds: Sequence[Feed]) -> dict[str, tuple[str, str]]:
    """Symbol -> (contract, call signature with its answer) that tells its price."""
    if isinstance(venue, AaveV3):
        held = {h.amount.token for h in (*position.collateral, *position.debt)}
        return {t.symbol: (venue.market.oracle, f"getAssetPrice(address)(uint256) {t.address}") for t in held}
    rounds = "latestRoundData()(uint80,int256,uint256,uint256,uint80)"
    return {f.symbols[0]: (f.address, "price()(uint256)" if f.word else rounds) for f in feeds}


async def _answers(rpc: Rpc, calls: Mapping[str, tuple[str, str]], block: int) -> dict[str, int]:
    found = {}
    for symbol, (contract, asked) in calls.items():
        signature, *arguments = asked.split()
        call = {"to": contract, "data": "0x" + encode_call(signature, *arguments).hex()}
        try:
            answer = await rpc.call("eth_call", [call, hex(block)], timeout_s=TIMEOUT_S)
        except Rejected as refused:
            why = f"--rpc: no price of {symbol} at block {block} ({refused}): it takes an archive node"
            raise Transient(why) from refused
        value = decode_answer(signature, bytes.fromhex(str(answer)[2:]))
        found[symbol] = int(value[1] if isinstance(value, tuple) else value)
    return found
