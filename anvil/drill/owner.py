"""What the owner and the keeper's wallet would have done before the night, done on the fork by impersonation.

Whatever stands on the chain is taken over; what is missing is made and said. An owner may be a contract (a Safe): the
node sends for whoever is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from anvil.client import Chain
from anvil.drill import home as homes
from anvil.drill.fork import Market, balance, impersonated
from anvil.drill.home import Body, Home
from anvil.drill.rival import deal
from keeper.cli.owner_grant import Asked, wanted
from keeper.cli.owner_place import placed
from keeper.config import Settings, load
from keeper.errors import ConfigError
from keeper.executor.grants import SET_BOT, Signing
from keeper.executor.verify import executor_address
from keeper.model import Mandate, Position, Side
from keeper.units import decimal_text
from keeper.venues import registry
from keeper.venues.maker import Maker
from keeper.venues.maker.book import ZERO

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
    told = [*_wallet(chain, market, body, home), *_proxied(chain, market, home)]
    named, kind = body.position.get("executor"), registry.executor_of(market.venue.kind)
    if named is None and body.settings is not None:
        if body.settings.wallet.address is None and market.venue.spender != ZERO:
            told += _funded(chain, market, home, position)  # as after `init`: a file that names no wallet yet
        return Granted(told=tuple(told))
    if named is None and not (kind and _sells(chain, settings)):
        return Granted(told=(*told, *_funded(chain, market, home, position)))
    executor = str(named) if named else executor_address(position.owner, kind)
    if not chain.has_code(executor):
        told.append(
            f"made up: the owner deploys his Executor, {executor}, and signs what `keeper grant` prints"
        )
        _sign(
            chain, position.owner, asyncio.run(wanted(settings, _asked(body, position, deploy=True))).signings
        )
    if named is None:
        homes.write(home, body, chain.url, executor=executor)
    return Granted(told=(*told, *_allowed(chain, home, body, position)), executor=executor)


def _sells(chain: Chain, settings: Settings) -> bool:
    """Whether there is a quoter, without which nothing is sold."""
    quoter = settings.chains[0].uniswap_quoter
    return quoter is not None and chain.has_code(quoter)


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


def _proxied(chain: Chain, market: Market, home: Home) -> list[str]:
    """Maker: the keeper's proxy, which obeys the drill's key as it obeys the wallet."""
    if not isinstance(market.venue, Maker):
        return []
    named = market.venue.market
    if named.proxy == ZERO:
        return [
            f"venues.{named.name}.proxy is not set: without a proxy of its own no keeper can touch a vault"
        ]
    impersonated(chain, named.proxy_owner)
    chain.send(named.proxy_owner, named.proxy, "setOwner(address)", home.wallet)
    return [f"the proxy {named.proxy} obeys the throwaway key"]


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


def _allowed(chain: Chain, home: Home, body: Body, position: Position) -> list[str]:
    """Terms, tokens, bot and grant as far as they are missing, signed by the owner whom the node impersonates."""
    settings = load(home.alone)
    mandate = asyncio.run(_mandate(settings, body.label))
    if mandate is None:
        raise ConfigError((f"positions.{body.label}.executor: could not be read on the fork",))
    granted = any(a.granted for a in mandate.assets if a.side is Side.COLLATERAL)
    if mandate.terms.trigger_wad and granted and mandate.bot_share_bps:
        return []
    found = asyncio.run(wanted(settings, _asked(body, position)))
    signed, refused = found.signings, {s.announcement for s in found.refused}
    told = ["made up: the owner signs what `keeper grant --executor` prints, for his whole collateral"]
    if mandate.terms.trigger_wad and granted:
        signed = tuple(s for s in signed if s.call.data.startswith(SET_BOT))
        told = [
            "the Executor, its terms and its grant stand as they are; the owner lets the throwaway key act"
        ]
    late = [s for s in signed if s.announcement in refused]
    for one in late:
        announced = bytes.fromhex(one.announcement[2:])
        chain.send(position.owner, mandate.executor, "announce(bytes32)", announced)
    if late:
        # by the block's own time: anvil passes over evm_increaseTime where blocks have a fixed interval
        chain.mine(chain.block().timestamp_s + DAY_S + 60)
        told.append(
            "made up: a day passes, for what an Executor older than an hour takes only when announced"
        )
    _sign(chain, position.owner, signed)
    return told


def _asked(body: Body, position: Position, *, deploy: bool = False) -> Asked:
    """All of the collateral that counts may be sold."""
    amounts = {
        h.amount.token.symbol: decimal_text(h.amount.units, h.amount.token.decimals)
        for h in position.collateral
        if h.threshold_wad
    }
    return Asked(label=body.label, amounts=amounts, deploy=deploy)


def _sign(chain: Chain, owner: str, signed: Iterable[Signing]) -> None:
    for one in signed:
        chain.send(owner, one.call.target, one.call.data)


async def _mandate(settings: Settings, label: str) -> Mandate | None:
    async with placed(settings, label) as at:
        return (await at.site.view()).snapshot.means.mandate(at.guarded.id)
