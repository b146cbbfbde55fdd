"""A competing liquidator on a fork: real liquidation calls, its own money, ahead of everybody in the block."""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.drill.fork import equity_usd
from keeper.errors import ConfigError, Rejected
from keeper.model import Holding, Position, Token
from keeper.seams import Venue
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.compound_v3 import CompoundV3
from keeper.venues.maker import Maker
from keeper.venues.maker.rules import penalty_base
from keeper.venues.morpho_blue import MorphoBlue

UINT256_MAX = 2**256 - 1
TIP_WEI = 10**12
"""A thousand gwei: it is always first in the block."""
GAS = 4_000_000
_PARAMS = "(address,address,address,address,uint256)"
_AAVE = "liquidationCall(address,address,address,uint256,bool)"
_MORPHO = f"liquidate({_PARAMS},address,uint256,uint256,bytes)"
_COMPOUND = "absorb(address,address[])"
_MAKER = "bark(bytes32,address,address)"
_DRIP = "drip(bytes32)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One call that liquidates."""

    to: str
    signature: str
    arguments: tuple[object, ...]


class Rival:
    """It sees what everybody sees: it tries to liquidate the position after every block, most first."""

    def __init__(self, chain: Chain, venue: Venue, position: Position) -> None:
        self.account = str(to_checksum_address(keccak(text="a drill's competing liquidator")[-20:]))
        self._chain, self._venue = chain, venue
        chain.rpc("anvil_setBalance", self.account, hex(10**24))
        if isinstance(venue, Maker):
            # whoever barks needs no money, but fees that were never dripped make no vault unsafe
            ilk = bytes.fromhex(venue.market.ilk[2:])
            chain.send(self.account, venue.market.jug, _DRIP, ilk)
            return
        for holding in position.debt:
            self._fund(holding.amount.token)

    def strike(self, position: Position) -> str | None:
        """Hand in the liquidation that the protocol would take now; its hash, None where it takes none."""
        for blow in self._blows(position):
            try:
                self._chain.call(blow.to, blow.signature, *blow.arguments, sender=self.account)
            except (Reverted, Rejected):
                continue  # healthy, or this much of this pair is not to be had
            data = encode_call(blow.signature, *blow.arguments)
            return self._chain.submit(self.account, blow.to, data, gas=GAS, tip_wei=TIP_WEI)
        return None

    def took(self, tx_hash: str | None) -> bool:
        """Whether that transaction liquidated."""
        return tx_hash is not None and self._chain.receipt(tx_hash)["status"] == "0x1"

    def left_usd(self, before: Position, after: Position) -> float:
        """What a liquidation between the two leaves to the owner beside the position: the rest of Maker's auction.

        The auction is taken to end at the oracle's price of its block: the penalty is lost, and no more.
        """
        if not isinstance(self._venue, Maker):
            return 0.0
        owed, still = (sum(h.value_base for h in p.debt) for p in (before, after))
        taken = 1.0 - still / owed if owed else 0.0
        penalty_usd = penalty_base(before) / 10**before.base_decimals
        return float(max(0.0, equity_usd(before) - taken * penalty_usd - equity_usd(after)))

    def _blows(self, position: Position) -> tuple[Blow, ...]:
        venue, user = self._venue, position.owner
        if isinstance(venue, AaveV3):
            pairs = sorted(
                (
                    (c, d)
                    for c in position.collateral
                    for d in position.debt
                    if c.threshold_wad and d.amount.units
                ),
                key=lambda p: -_worth(*p),
            )
            return tuple(
                Blow(
                    to=venue.market.pool,
                    signature=_AAVE,
                    arguments=(c.amount.token.address, d.amount.token.address, user, UINT256_MAX, False),
                )
                for c, d in pairs
            )
        if isinstance(venue, CompoundV3):
            return (Blow(to=venue.market.comet, signature=_COMPOUND, arguments=(self.account, [user])),)
        if isinstance(venue, Maker):
            taken = (bytes.fromhex(venue.market.ilk[2:]), position.id.account, self.account)
            return (Blow(to=venue.market.dog, signature=_MAKER, arguments=taken),)
        assert isinstance(venue, MorphoBlue)  # ``feeds.found`` refused every other
        market = venue.market
        params = (market.loan.address, market.collateral.address, market.oracle, market.irm, market.lltv_wad)
        shares = sum(d.stored for d in position.debt)
        seized = sum(c.amount.units for c in position.collateral)
        whole = ((0, shares), (seized, 0))
        return tuple(
            Blow(to=market.morpho, signature=_MORPHO, arguments=(params, user, *amounts, b""))
            for amounts in whole
        )

    def _fund(self, token: Token) -> None:
        """Tokens out of nothing, more than any debt, and leave for the venue to pull them."""
        units = 10 ** (token.decimals + 10)
        deal(self._chain, token, self.account, units)
        self._chain.send(self.account, token.address, "approve(address,uint256)", self._venue.spender, units)


def deal(chain: Chain, token: Token, account: str, units: int) -> None:
    """Set an account's balance of a token. Raises ConfigError where the fork cannot find how it is kept."""
    try:
        chain.rpc("anvil_dealERC20", account, token.address, hex(units))
    except Rejected as refused:
        why = f"the fork cannot make {token.symbol}: {refused}; is it a rebasing token?"
        raise ConfigError((why,)) from refused


def _worth(collateral: Holding, debt: Holding) -> int:
    return min(collateral.value_base, debt.value_base)
