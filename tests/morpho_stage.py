"""Morpho Blue on the test chain, read as the daemon reads it; loans by the hundred, the contract's own verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deploy_morpho import PARAMS, MorphoMarket, MorphoSite
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.config import VenueSettings
from keeper.model import Block, Call, Position, PositionId, Snapshot
from keeper.seams import Shadow
from keeper.snapshot import GatherRequest, gather
from keeper.venues import registry
from keeper.venues.aave_v3.book import word
from keeper.venues.morpho_blue import MorphoBlue, book
from keeper.words import Words
from tests.bulk import mined_together

AT_ONCE = 60


def settings(
    deployment: Deployment, site: MorphoSite, market: MorphoMarket, *, pre: Sequence[str] = ()
) -> VenueSettings:
    """The market as a configuration names it, its loan token priced by the Aave market's feed."""
    return VenueSettings(
        name=f"morpho-{market.collateral}-{market.loan}",
        kind="morpho_blue",
        chain="local",
        provider=site.morpho,
        market=market.id,
        usd_feed=deployment.token(market.loan).feed,
        pre_liquidations=tuple(pre),
    )


class MorphoReader:
    """One market, loaded at the newest block."""

    def __init__(self, chain: Chain, deployment: Deployment, named: VenueSettings) -> None:
        self.chain, self.deployment = chain, deployment
        venue = asyncio.run(registry.load(named, deployment.chain_id, self._reader(chain.block().hash)))
        assert isinstance(venue, MorphoBlue)
        self.venue = venue

    def snapshot(
        self,
        accounts: Sequence[str],
        *,
        wallet: str | None = None,
        shadows: Mapping[PositionId, Shadow] | None = None,
        block: Block | None = None,
    ) -> Snapshot:
        """The newest block's snapshot."""
        at = block or self.chain.block()
        request = GatherRequest(
            chain_id=at.chain_id,
            block=at,
            venues=((self.venue, tuple(accounts)),),
            multicall=self.deployment.multicall,
            read=self._reader(at.hash),
            wallet=wallet,
            shadows=shadows or {},
        )
        return asyncio.run(gather(request))[0]

    def position(self, account: str, *, shadow: Shadow | None = None) -> Position:
        """One account's position now."""
        id = self.venue.position_id(account)
        snapshot = self.snapshot([account], shadows={id: shadow} if shadow else None)
        found = snapshot.position(id)
        assert found is not None, snapshot.unreadable
        return found

    def _reader(self, block_hash: str):  # type: ignore[no-untyped-def]
        transport = ChainTransport(self.chain)

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(transport, self.deployment.multicall, block_hash, timeout_s=60.0)

        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """What an account pledges and borrows, in units."""

    account: str
    given: int
    owed: int


def open_loans(
    chain: Chain, deployment: Deployment, site: MorphoSite, market: MorphoMarket, loans: Sequence[Loan]
) -> None:
    """Hundreds of loans in a few blocks; the lender pledges for each account, which is impersonated to borrow."""
    me, lender = chain.accounts[0], deployment.roles.lender
    token = deployment.token(market.collateral).address
    total = sum(loan.given for loan in loans)
    chain.send(me, token, "mint(address,uint256)", lender, total)
    chain.send(lender, token, "approve(address,uint256)", site.morpho, 2**256 - 1)
    pledge, borrow = (
        f"supplyCollateral({PARAMS},uint256,address,bytes)",
        f"borrow({PARAMS},uint256,uint256,address,address)",
    )
    for start in range(0, len(loans), AT_ONCE):
        some = loans[start : start + AT_ONCE]
        pledges = [(lender, encode_call(pledge, market.params, x.given, x.account, b"")) for x in some]
        mined_together(chain, site.morpho, pledges)
        borrows = [
            (x.account, encode_call(borrow, market.params, x.owed, 0, x.account, x.account))
            for x in some
            if x.owed
        ]
        mined_together(chain, site.morpho, borrows)


def owed_by_contract(
    deployment: Deployment, site: MorphoSite, market: MorphoMarket, who: tuple[str, int], block: Block
) -> tuple[str, tuple[object, ...]]:
    """A call that answers what repaying all of (account, borrow shares) would take, interest included."""
    account, shares = who
    data = encode_call(
        f"repay({PARAMS},uint256,uint256,address,bytes)", market.params, 0, shares, account, b""
    )
    body = {"from": deployment.roles.lender, "to": site.morpho, "data": f"0x{data.hex()}"}
    return "eth_call", (body, hex(block.number))


def liquidates(
    chain: Chain,
    deployment: Deployment,
    site: MorphoSite,
    market: MorphoMarket,
    who: tuple[str, int | None, Block],
) -> bool:
    """The contract's verdict on (account, price or None for the oracle's own, block): does one share liquidate?"""
    account, price, block = who
    data = encode_call(
        f"liquidate({PARAMS},address,uint256,uint256,bytes)", market.params, account, 0, 1, b""
    )
    body = {"from": deployment.roles.lender, "to": site.morpho, "data": f"0x{data.hex()}"}
    over = {} if price is None else {market.oracle: {"stateDiff": {"0x" + "0" * 64: f"0x{price:064x}"}}}
    answer = chain._post(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [body, hex(block.number), over]}
    )
    if "error" in answer:
        text = bytes.fromhex(str(answer["error"].get("data", "0x"))[2:])
        assert b"position is healthy" in text, answer
        return False
    return True


def constants(answers: Mapping[bytes, bytes]) -> str:
    """Runtime code, 0x-hex, of a contract that answers each selector with fixed words and reverts otherwise."""
    head, bodies = b"\x60\x00\x35\x60\xe0\x1c", []
    at = len(head) + 11 * len(answers) + 5
    for selector, answer in answers.items():
        # DUP1 PUSH4 selector EQ PUSH2 body JUMPI
        head += b"\x80\x63" + selector + b"\x14\x61" + at.to_bytes(2) + b"\x57"
        body = b"\x5b"
        for i in range(0, len(answer), 32):
            # PUSH32 word PUSH2 offset MSTORE
            body += b"\x7f" + answer[i : i + 32] + b"\x61" + i.to_bytes(2) + b"\x52"
        # PUSH2 length PUSH1 0 RETURN
        body += b"\x61" + len(answer).to_bytes(2) + b"\x60\x00\xf3"
        bodies.append(body)
        at += len(body)
    # PUSH1 0 PUSH1 0 REVERT
    head += b"\x60\x00\x60\x00\xfd"
    return "0x" + (head + b"".join(bodies)).hex()


def pre_liquidation(
    chain: Chain, site: MorphoSite, market: MorphoMarket, at: tuple[str, tuple[int, int, int, int, int], str]
) -> str:
    """An own double of a PreLiquidation contract at (address, five numbers, oracle); only what tells of it."""
    address, numbers, oracle = at
    answers = {
        book.MORPHO: word(site.morpho),
        book.ID: bytes.fromhex(market.id[2:]),
        book.PRE_PARAMS: b"".join(word(n) for n in numbers) + word(oracle),
    }
    chain.rpc("anvil_setCode", address, constants(answers))
    return address
