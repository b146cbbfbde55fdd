"""What the owner and the keeper's wallet would have done before the night, done on the fork by impersonation.

Whatever stands on the chain is taken over; what is missing is made and said. An owner may be a contract (a Safe): the
node sends for whoever is named.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_executor import ChainVenues, deploy_executor, deploy_factory, executor_address
from anvil.drill import home as homes
from anvil.drill.fork import Market, balance, impersonated
from anvil.drill.home import Body, Home
from anvil.drill.rival import deal
from keeper.cli import owner_grant
from keeper.config import Settings, load
from keeper.errors import ConfigError, Rejected
from keeper.executor.grants import SET_BOT, Signing
from keeper.model import Mandate, Position, Side
from keeper.units import decimal_text
from keeper.venues.aave_v3 import AaveV3

GAS_WEI = 10**19
"""Native money of a wallet that the user has not named yet."""
SHARE = Decimal("0.3")
"""Of the debt that such a wallet holds where nothing can be sold."""
DAY_S = 86_400
APPROVE = "approve(address,uint256)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the drilled keeper may use, and what had to be made up for it."""

    told: tuple[str, ...]
    executor: str | None = None


def provide(chain: Chain, market: Market, body: Body, home: Home) -> Granted:
    """Give the throwaway wallet what the user's has, and let the owner allow it what he allows.

    Writes the Executor into the home's configuration where one had to be made up. Raises ConfigError.
    """
    position = market.position()
    impersonated(chain, position.owner)
    impersonated(chain, home.wallet)
    granted = _grants(chain, market, (body, home), position)
    native_wei = GAS_WEI if body.settings is None else _native_wei(chain, body.settings)
    chain.rpc("anvil_setBalance", home.wallet, hex(native_wei))
    return granted


def _native_wei(chain: Chain, settings: Settings) -> int:
    """What the user's wallet has for gas; what a first one should have where none is named."""
    named = settings.wallet.address
    return GAS_WEI if named is None else chain.balance_wei(named)


def _grants(chain: Chain, market: Market, at: tuple[Body, Home], position: Position) -> Granted:
    (body, home), settings = at, load(at[1].alone)
    told = _wallet(chain, market, body, home)
    named, quoter = body.position.get("executor"), settings.chains[0].uniswap_quoter
    if named is not None:
        told += _there(chain, market, str(named), quoter)
        return Granted(told=(*told, *_allowed(chain, home, body.label, position)), executor=str(named))
    if body.settings is not None:
        return Granted(told=tuple(told))
    if quoter is None or not isinstance(market.venue, AaveV3) or not chain.has_code(quoter):
        return Granted(told=(*told, *_funded(chain, market, home, position)))
    executor = _deployed(chain, market, position.owner, quoter)
    told.append(f"made up: the owner deploys an Executor, {executor}")
    homes.write(home, body, chain.url, executor=executor)
    return Granted(told=(*told, *_allowed(chain, home, body.label, position)), executor=executor)


def _there(chain: Chain, market: Market, executor: str, quoter: str | None) -> list[str]:
    """Deploy the Executor that the configuration names, where it is not yet. Raises ConfigError."""
    if chain.has_code(executor):
        return []
    if not isinstance(market.venue, AaveV3) or quoter is None:
        why = "is no contract, and the drill deploys one for Aave v3 with chains.uniswap_quoter only"
        raise ConfigError((f"executor {executor}: {why}",))
    owner = market.account
    made = executor_address(deploy_factory(chain), owner, own_artifact("AaveV3Executor"))
    if made != executor:
        raise ConfigError(
            (f"executor {executor}: no contract there; this owner's lies at {made} once deployed",)
        )
    _deployed(chain, market, owner, quoter)
    return [f"made up: the owner deploys his Executor, {executor}"]


def _wallet(chain: Chain, market: Market, body: Body, home: Home) -> list[str]:
    """The user's wallet's money and approvals, copied to the drill's key."""
    named = body.settings.wallet.address if body.settings else None
    if named is None:
        return [f"made up: the keeper's wallet holds {GAS_WEI / 1e18:g} of the native token for gas"]
    copied = []
    for token in market.venue.tokens:
        units = balance(chain, token, named)
        allowed = chain.call(
            token.address, "allowance(address,address)(uint256)", named, market.venue.spender
        )
        if units:
            deal(chain, token, home.wallet, units)
        if allowed:
            chain.send(home.wallet, token.address, APPROVE, market.venue.spender, allowed)
        if units and allowed:
            copied.append(token.symbol)
    held = ", ".join(copied) or "nothing but gas"
    return [f"a throwaway key stands for the wallet {named}; what that may pay with is copied: {held}"]


def _funded(chain: Chain, market: Market, home: Home, position: Position) -> list[str]:
    """Where nothing can be sold: money of the debt's kind, as a user would set aside."""
    told = []
    for debt in position.debt:
        units = int(debt.amount.units * SHARE)
        deal(chain, debt.amount.token, home.wallet, units)
        chain.send(home.wallet, debt.amount.token.address, APPROVE, market.venue.spender, units)
        told.append(
            f"made up: the keeper's wallet holds {SHARE:.0%} of the debt in {debt.amount.token.symbol}"
        )
    return told


def _deployed(chain: Chain, market: Market, owner: str, quoter: str) -> str:
    """The owner's Executor, deployed by him when it is not there."""
    assert isinstance(market.venue, AaveV3)  # the only kind whose Executor ships
    address = executor_address(deploy_factory(chain), owner, own_artifact("AaveV3Executor"))
    if not chain.has_code(address):
        factory = str(chain.call(quoter, "factory()(address)"))
        pool = market.venue.market.pool
        deploy_executor(chain, owner, ChainVenues(aave_v3_pool=pool, uniswap_v3_factory=factory))
    return address


def _allowed(chain: Chain, home: Home, label: str, position: Position) -> list[str]:
    """Terms, tokens, bot and grant as far as they are missing, signed by the owner whom the node impersonates."""
    settings = load(home.alone)
    mandate = asyncio.run(_mandate(settings, label))
    if mandate is None:
        raise ConfigError((f"positions.{label}.executor: could not be read on the fork",))
    granted = any(a.granted for a in mandate.assets if a.side is Side.COLLATERAL)
    amounts = {
        h.amount.token.symbol: decimal_text(h.amount.units, h.amount.token.decimals)
        for h in position.collateral
        if h.threshold_wad
    }
    signed = asyncio.run(owner_grant.wanted(settings, label, amounts)).signings
    if mandate.terms.trigger_wad and granted:
        signed = tuple(s for s in signed if s.call.data.startswith(SET_BOT))
        told = [
            "the Executor, its terms and its grant stand as they are; the owner lets the throwaway key act"
        ]
    else:
        what = "whole collateral" if not granted else "terms"
        told = [f"made up: the owner signs what `keeper grant --executor` prints, for his {what}"]
    waits = [s for s in signed if not _passes(chain, position.owner, s)]
    if waits:
        for one in waits:
            chain.send(
                position.owner, mandate.executor, "announce(bytes32)", bytes.fromhex(one.announcement[2:])
            )
        chain.rpc("evm_increaseTime", hex(DAY_S + 60))
        chain.mine()
        told.append(
            "made up: a day passes, for what an Executor older than an hour takes only when announced"
        )
    for one in signed:
        chain.send(position.owner, one.call.target, one.call.data)
    return told


async def _mandate(settings: Settings, label: str) -> Mandate | None:
    async with owner_grant.placed(settings, label) as at:
        return (await at.site.view()).snapshot.means.mandate(at.guarded.id)


def _passes(chain: Chain, owner: str, signing: Signing) -> bool:
    """Whether the Executor would take the call now, unannounced."""
    try:
        asked = {"from": owner, "to": signing.call.target, "data": "0x" + signing.call.data.hex()}
        chain.rpc("eth_call", asked, "latest")
    except Rejected:
        return False
    return True
