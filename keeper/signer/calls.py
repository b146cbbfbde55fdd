"""Rules of the kinds of venue whose calldata is nested, which the signer takes apart by classes of its own. Pure.

The other kinds say in their folders what may be called (``signing.py``), as plain ``AllowedCall`` records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keeper.allowed import AllowedCall, Venued
from keeper.executor import perp_bounded
from keeper.signer.bounded import AllowedBounded
from keeper.signer.perps import AllowedCancel, AllowedPerp
from keeper.signer.vaults import AllowedVault
from keeper.units import UINT256_MAX

Allowed = AllowedCall | AllowedVault | AllowedPerp | AllowedCancel | AllowedBounded
PRICE_TIMES = 4
"""An order may be filled at a quarter of the day's price, or at four times: what the guard allows is far less."""


def calls_of(kind: str, venue: Venued) -> tuple[Allowed, ...]:
    """Everything that rescues by wallet need on a venue of that kind; nothing for a kind without a rule here."""
    rule = KINDS.get(kind)
    return rule(venue) if rule is not None else ()


def _maker(venue: Venued) -> tuple[AllowedVault, ...]:
    """``lockGem`` and ``wipe`` by the keeper's own proxy; nothing without one."""
    if not int(venue.spender, 16):
        return ()
    actions, manager, gem_join, gem, dai_join, dai, *numbers = venue.terms
    return tuple(
        AllowedVault(
            target=venue.spender,
            actions=str(actions),
            manager=str(manager),
            join=str(join),
            wipes=wipes,
            numbers=frozenset(int(n) for n in numbers),
            units_max=_most(venue, token),
            token=str(token),
        )
        for join, token, wipes in ((gem_join, gem, False), (dai_join, dai, True))
    )


def _gmx(venue: Venued) -> tuple[AllowedPerp | AllowedCancel | AllowedBounded, ...]:
    """Orders of one slot, and taking one back; nothing while its index has no price."""
    target, vault, market, collateral, long, index, *through = venue.terms
    price = venue.prices.get(str(index), 0)
    own = next((str(t).lower() for t in through if isinstance(t, str)), "")
    if any(through) and not own:
        return _bounded(venue, price)
    if price <= 0:
        return (AllowedCancel(target=str(target)),)
    orders = AllowedPerp(
        target=str(target),
        vault=str(vault),
        market=str(market),
        collateral=str(collateral),
        long=bool(long),
        accounts=frozenset(a.lower() for a in venue.accounts if a.lower() == (own or a.lower())),
        units_max=_most(venue, collateral),
        fee_wei_max=venue.fee_wei_max,
        price_least=price // PRICE_TIMES,
        price_most=price * PRICE_TIMES,
        own=bool(own),
    )
    return orders, AllowedCancel(target=str(target))


def _bounded(venue: Venued, price: int) -> tuple[AllowedBounded, ...]:
    """The same three through the owner's Executor."""
    target, _, market, collateral, long, *_ = venue.terms
    keys = (perp_bounded.position_key(a, str(market), str(collateral), bool(long)) for a in venue.accounts)
    rule = AllowedBounded(
        target=str(target),
        does="takeBack",
        collateral=str(collateral),
        long=bool(long),
        positions=frozenset(keys),
        units_max=_most(venue, collateral),
        fee_wei_max=venue.fee_wei_max,
        price_least=price // PRICE_TIMES,
        price_most=price * PRICE_TIMES,
    )
    if price <= 0:
        return (rule,)
    return rule, replace(rule, does="addMargin"), replace(rule, does="reduce")


def _most(venue: Venued, token: object) -> int:
    """Units of a token in one call; a bound of nothing is a bound."""
    found = venue.units_max.get(str(token))
    return UINT256_MAX - 1 if found is None else found


KINDS: dict[str, Callable[[Venued], tuple[Allowed, ...]]] = {
    "gmx_v2": _gmx,
    "maker": _maker,
}
