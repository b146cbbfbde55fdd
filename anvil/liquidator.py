"""A competitor with its own funds: a real ``liquidationCall`` on whatever it is shown and may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from anvil.abi import decode, encode_call
from anvil.actors import UINT256_MAX, Actors
from anvil.client import TIP_WEI, Reverted

_LIQUIDATE = "liquidationCall(address,address,address,uint256,bool)"
_CONFIGURATION = (
    "getReserveConfigurationData(address)(uint256,uint256,uint256,uint256,uint256,bool,bool,bool,bool,bool)"
)
_LIQUIDATED = (
    "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
_TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """One real ``liquidationCall``, from its event; dollars have 8 decimals, at the oracle's prices then."""

    user: str
    collateral: str
    debt: str
    debt_units: int
    seized_units: int
    """All the user lost of the collateral, the protocol's fee included."""
    fee_units: int
    debt_usd8: int
    seized_usd8: int
    tx_hash: str
    block_number: int
    gas_used: int

    @property
    def loss_usd8(self) -> int:
        """What it cost the user: bonus and protocol fee, at the oracle's prices."""
        return self.seized_usd8 - self.debt_usd8


class Liquidator:
    """A competitor with its own funds that liquidates whatever it is shown and may take."""

    def __init__(self, actors: Actors, *, funds_usd: int = 50_000_000) -> None:
        self._actors = actors
        self.account = actors.market.roles.liquidator
        self.tip_wei = TIP_WEI
        """What it pays to be ahead in the block."""
        for token in actors.market.tokens:
            units = funds_usd * 10**8 * token.unit // actors.price_usd8(token.symbol)
            actors.mint(token.symbol, self.account, units)
            actors.approve(self.account, token.symbol)

    def act(self, users: Iterable[str], *, mine: bool = False) -> tuple[Liquidation, ...]:
        """Liquidate every user whose health is below 1, best pair first, as much as the pool allows.

        With ``mine`` a block is mined here after the calls are handed in (a node with ``mining=False``).
        A call that the pool refuses at mining time (the user was saved in the same block) is left out.
        """
        # all reading before all sending: while anvil mines, an eth_call on ``latest`` may pair the new
        # block's state with the old one's timestamp, and the pool's accrual then underflows
        chosen = [(u, self._best_pair(u)) for u in users if self._actors.account(u).health_wad < 10**18]
        sent = [(u, pair, self._submit(u, *pair)) for u, pair in chosen if pair is not None]
        if sent and mine:
            self._actors.chain.mine()
        done = []
        for user, (collateral, debt), tx_hash in sent:
            receipt = self._actors.chain.receipt(tx_hash)
            if receipt["status"] == "0x1":
                done.append(self._facts(user, collateral, debt, receipt))
        return tuple(done)

    def _best_pair(self, user: str) -> tuple[str, str] | None:
        """(collateral, debt) that pays most among those the pool accepts now; None when it accepts none."""
        actors = self._actors
        collateral, debt = actors.holdings(user)
        prices = {s: actors.price_usd8(s) for s in (*collateral, *debt)}
        units = {t.symbol: t.unit for t in actors.market.tokens}

        def worth(pair: tuple[str, str]) -> int:
            c, d = pair
            return min(
                collateral[c] * prices[c] // units[c] * self._bonus_bps(c) // 10_000,
                debt[d] * prices[d] // units[d] * self._bonus_bps(c) // 10_000,
            )

        for c, d in sorted(((c, d) for c in collateral for d in debt), key=worth, reverse=True):
            try:
                actors.chain.call(
                    actors.market.pool, _LIQUIDATE, *self._arguments(user, c, d), sender=self.account
                )
            except Reverted:
                continue  # the pool forbids leaving dust on both sides; another pair may pass
            return c, d
        return None

    def _bonus_bps(self, symbol: str) -> int:
        token = self._actors.market.token(symbol).address
        row = self._actors.chain.call(self._actors.market.data_provider, _CONFIGURATION, token)
        return int(row[3])

    def _arguments(self, user: str, collateral: str, debt: str) -> tuple[str, str, str, int, bool]:
        market = self._actors.market
        return market.token(collateral).address, market.token(debt).address, user, UINT256_MAX, False

    def _submit(self, user: str, collateral: str, debt: str) -> str:
        data = encode_call(_LIQUIDATE, *self._arguments(user, collateral, debt))
        return self._actors.chain.submit(
            self.account, self._actors.market.pool, data, gas=2_000_000, tip_wei=self.tip_wei
        )

    def _facts(self, user: str, collateral: str, debt: str, receipt: Mapping[str, Any]) -> Liquidation:
        market, number = self._actors.market, int(receipt["blockNumber"], 16)
        event = next(log for log in receipt["logs"] if log["topics"][0] == _LIQUIDATED)
        debt_units, paid_out, _, _ = decode(
            ("uint256", "uint256", "address", "bool"), bytes.fromhex(event["data"][2:])
        )
        fee_units = _transferred(receipt, market.token(collateral).a_token, user, market.roles.treasury)
        prices = {s: self._actors.price_usd8(s, block=number) for s in (collateral, debt)}
        seized_units = paid_out + fee_units
        return Liquidation(
            user=user,
            collateral=collateral,
            debt=debt,
            debt_units=debt_units,
            seized_units=seized_units,
            fee_units=fee_units,
            debt_usd8=debt_units * prices[debt] // market.token(debt).unit,
            seized_usd8=seized_units * prices[collateral] // market.token(collateral).unit,
            tx_hash=receipt["transactionHash"],
            block_number=number,
            gas_used=int(receipt["gasUsed"], 16),
        )


def _transferred(receipt: Mapping[str, Any], token: str, sender: str, to: str) -> int:
    """Units of ``token`` that moved from ``sender`` to ``to`` in this receipt."""
    total = 0
    for log in receipt["logs"]:
        if log["topics"][0] == _TRANSFER and log["address"].lower() == token.lower():
            ends = ["0x" + topic[-40:] for topic in log["topics"][1:]]
            if ends == [sender.lower(), to.lower()]:
                total += int(log["data"], 16)
    return total
