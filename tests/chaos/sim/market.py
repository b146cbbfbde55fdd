"""The lending double as the simulated chain holds it, and the signer that only a simulation may have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from eth_utils.crypto import keccak

from keeper.errors import Unsigned
from keeper.model import Amount, Block, Call, Holding, Policy, Position, Reserve, Token, Unreadable
from keeper.seams import Reading, Seen, Shadow, Signed, TxFields
from keeper.signer.policy import SigningPolicy
from keeper.sizing import value_base_down, value_base_up
from keeper.units import WAD, wad_from
from keeper.venues.aave_v3.signing import aave_v3_calls
from keeper.words import Words
from tests import build
from tests.build import ALICE, BASE_DECIMALS, BOB, CHAIN_ID, POOL, THRESHOLDS, USDC, WALLET, WETH
from tests.fakes import REPAY, SUPPLY, LendingDouble

CAROL = build.to_checksum_address("0x" + "c5" * 20)
ACCOUNTS = (ALICE, BOB, CAROL)
UNITS_MAX = {WETH.address: 40 * 10**18, USDC.address: 80_000 * 10**6}
FEE_WEI_MAX = 2 * 10**18


@lru_cache(maxsize=1)
def policy() -> Policy:
    """A policy whose cooldown is short, so that a simulated hour holds many rescues."""
    return build.policy(
        cooldown_blocks=2, caps=build.limits(action=60_000, day=500_000, gas=30, gas_emergency=300)
    )


class SimVenue(LendingDouble):
    """The double with the chain's price in place of a table's."""

    def __init__(self) -> None:
        super().__init__(tokens=(WETH, USDC))

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        return _calls(tuple(accounts))

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[build.PositionId, Shadow],
    ) -> Reading:
        read = [self._one(block, account, words, i) for i, account in enumerate(accounts)]
        price = next((words.uint(i, 2) for i in range(len(accounts)) if words.ok[i]), 0)
        return Reading(
            positions=tuple(p for p in read if isinstance(p, Position)),
            unreadable=tuple(p for p in read if isinstance(p, Unreadable)),
            reserves=(_reserve(WETH, price), _reserve(USDC, 10**8)),
            prices={"WETH": price / 10**BASE_DECIMALS, "USDC": 1.0},
            seen=seen,
            again=False,
        )

    def below(
        self, accounts: Sequence[str], words: Words, seen: Seen, lines_wad: npt.NDArray[np.uint64]
    ) -> tuple[int, ...]:
        """As ``decode`` reads them: the simulation is about what comes after."""
        at = build.block()
        read = [self._one(at, account, words, i) for i, account in enumerate(accounts)]
        lines = lines_wad.tolist()
        return tuple(
            [
                i
                for i, p in enumerate(read)
                if isinstance(p, Unreadable) or p.health_wad is None or p.health_wad < lines[i]
            ]
        )

    def words_of(self, accounts: Sequence[str], words: Words, seen: Seen, chosen: Sequence[int]) -> Words:
        """A call an account."""
        return words.taken(chosen)

    def _one(self, block: Block, account: str, words: Words, i: int) -> Position | Unreadable:
        if not words.ok[i]:
            return Unreadable(id=self.position_id(account), why="reverted", since_block=block.number)
        have, _, price, _, owed, one = words.uints(i)[:6]
        supplied = [_holding(WETH, have, price, wad_from(THRESHOLDS["WETH"]))]
        borrowed = [_holding(USDC, owed, one, WAD)] if owed else []
        return build.position(supplied, borrowed, account=account, at=block.number)


@lru_cache(maxsize=64)
def _calls(accounts: tuple[str, ...]) -> tuple[Call, ...]:
    """The double's own calldata, encoded once."""
    return LendingDouble(tokens=(WETH, USDC)).calls(accounts, {})


def _holding(token: Token, units: int, price_base: int, threshold_wad: int) -> Holding:
    value = value_base_up if threshold_wad == WAD else value_base_down
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=price_base,
        value_base=value(units, price_base, token.decimals),
        threshold_wad=threshold_wad,
        feed=token.symbol,
    )


@lru_cache(maxsize=64)
def _reserve(token: Token, price_base: int) -> Reserve:
    return replace(build.reserve(token), price_base=price_base)


class SimSigner:
    """The real policy in front of a signature that is only the fields written down."""

    def __init__(self, on_point: Callable[[str], None], on_signed: Callable[[TxFields], None]) -> None:
        self._policy = SigningPolicy(
            chain_id=CHAIN_ID,
            address=WALLET,
            calls=aave_v3_calls(POOL, UNITS_MAX, ACCOUNTS),
            fee_wei_max=FEE_WEI_MAX,
        )
        self._on_point = on_point
        self._on_signed = on_signed

    @property
    def address(self) -> str:
        return WALLET

    async def sign(self, tx: TxFields) -> Signed:
        """Bytes that the simulated chain reads. Raises Unsigned outside the policy."""
        self._on_point("> sign")
        if (why := self._policy.refuses(tx)) is not None:
            raise Unsigned(f"signer refuses: {why}")
        self._on_signed(tx)
        raw = json.dumps({**asdict(tx), "data": tx.data.hex()}).encode()
        return Signed(raw=raw, hash="0x" + keccak(raw).hex())


def outside_policy(tx: TxFields) -> str | None:
    """Why nobody should ever have signed this, judged without the signer's code; None when all is well."""
    if tx.chain_id != CHAIN_ID or tx.value_wei or tx.gas_limit * tx.max_fee_wei > FEE_WEI_MAX:
        return f"chain {tx.chain_id}, value {tx.value_wei}, fee {tx.gas_limit * tx.max_fee_wei}"
    if tx.to.lower() == WALLET.lower():
        return None if not tx.data else "a self-send with data"
    at = {REPAY: 3, SUPPLY: 2}.get(tx.data[:4])
    words = [tx.data[i : i + 32] for i in range(4, len(tx.data), 32)]
    if tx.to.lower() != POOL.lower() or at is None or len(words) != 4:
        return f"to {tx.to}, data {tx.data[:4].hex()}"
    token, units = "0x" + words[0][12:].hex(), int.from_bytes(words[1])
    most = {t.lower(): m for t, m in UNITS_MAX.items()}.get(token, 0)
    if not 0 < units <= most or words[at][12:].hex() not in {a[2:].lower() for a in ACCOUNTS}:
        return f"{units} of {token} for {words[at].hex()}"
    return None
