"""What each kind of venue lets a keeper call for a guarded account, with a rule for every argument. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keeper.signer.perps import AllowedCancel, AllowedPerp
from keeper.signer.policy import SHARES_PER_UNIT, AllowedCall, Argument, aave_v3_calls
from keeper.signer.vaults import AllowedVault
from keeper.units import UINT256_MAX

Allowed = AllowedCall | AllowedVault | AllowedPerp | AllowedCancel
PRICE_TIMES = 4
"""An order may be filled at a quarter of the day's price, or at four times: what the guard allows is far less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Venued:
    """One venue as its calls are bounded."""

    spender: str
    units_max: Mapping[str, int | None]
    """Token address -> most units in one call (None: no bound but 2**256 - 2)."""
    accounts: tuple[str, ...]
    terms: tuple[str | int, ...] = ()
    """What names the market where one contract holds many: Morpho's loan token, collateral token, oracle, rate model
    and LLTV; Maker's actions, manager, adapter and token of the collateral and of Dai, then the vaults' numbers;
    GMX's router, order vault, market, margin token, side and index token."""
    prices: Mapping[str, int] = field(default_factory=dict)
    """Token address -> dollars of one smallest unit, 30 decimals; of a perpetual's index."""
    fee_wei_max: int = 0
    """Most that a transaction may pay a venue's keeper for a second step."""


def calls_of(kind: str, venue: Venued) -> tuple[Allowed, ...]:
    """Everything that rescues by wallet need on a venue of that kind; nothing for a kind without a rule."""
    rule = KINDS.get(kind)
    return rule(venue) if rule is not None else ()


def _aave(venue: Venued) -> tuple[AllowedCall, ...]:
    return aave_v3_calls(venue.spender, venue.units_max, venue.accounts)


def _compound(venue: Venued) -> tuple[AllowedCall, ...]:
    """``supplyTo`` a guarded account: collateral, or the base token, which repays."""
    owners = Argument(kind="address", among=frozenset(a.lower() for a in venue.accounts))
    return tuple(
        AllowedCall(
            target=venue.spender,
            name="supplyTo",
            arguments=(
                owners,
                Argument(kind="address", among=frozenset({token.lower()})),
                Argument(kind="uint256", at_most=UINT256_MAX - 1 if most is None else most),
            ),
        )
        for token, most in venue.units_max.items()
    )


def _morpho(venue: Venued) -> tuple[AllowedCall, ...]:
    """``supplyCollateral`` and ``repay`` (by units, or by shares for all) of one market, without a callback."""
    loan, collateral, *_ = venue.terms
    market = tuple(_exactly(t) for t in venue.terms)
    owners = Argument(kind="address", among=frozenset(a.lower() for a in venue.accounts))
    params = "(address,address,address,address,uint256)"
    most = {str(t): venue.units_max.get(str(t)) or UINT256_MAX - 1 for t in (loan, collateral)}
    given, owed = (Argument(kind="uint256", at_most=most[str(t)]) for t in (collateral, loan))
    shares = Argument(kind="uint256", at_most=min(most[str(loan)] * SHARES_PER_UNIT, UINT256_MAX - 1))
    # bytes without a byte: where they begin, and their length
    short, long = ((_exactly(32 * at), _exactly(0)) for at in (8, 9))
    return (
        AllowedCall(
            target=venue.spender,
            name="supplyCollateral",
            arguments=(*market, given, owners, *short),
            signature=f"supplyCollateral({params},uint256,address,bytes)",
        ),
        *(
            AllowedCall(
                target=venue.spender,
                name="repay",
                arguments=(*market, *amounts, owners, *long),
                signature=f"repay({params},uint256,uint256,address,bytes)",
            )
            for amounts in ((owed, _exactly(0)), (_exactly(0), shares))
        ),
    )


def _exactly(value: str | int) -> Argument:
    if isinstance(value, int):
        return Argument(kind="uint256", among=frozenset({value}))
    return Argument(kind="address", among=frozenset({value.lower()}))


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
            units_max=venue.units_max.get(str(token)) or UINT256_MAX - 1,
        )
        for join, token, wipes in ((gem_join, gem, False), (dai_join, dai, True))
    )


def _gmx(venue: Venued) -> tuple[AllowedPerp | AllowedCancel, ...]:
    """Orders of one slot, and taking one back; nothing while its index has no price."""
    target, vault, market, collateral, long, index = venue.terms
    price = venue.prices.get(str(index), 0)
    if price <= 0:
        return (AllowedCancel(target=str(target)),)
    orders = AllowedPerp(
        target=str(target),
        vault=str(vault),
        market=str(market),
        collateral=str(collateral),
        long=bool(long),
        accounts=frozenset(a.lower() for a in venue.accounts),
        units_max=venue.units_max.get(str(collateral)) or UINT256_MAX - 1,
        fee_wei_max=venue.fee_wei_max,
        price_least=price // PRICE_TIMES,
        price_most=price * PRICE_TIMES,
    )
    return orders, AllowedCancel(target=str(target))


KINDS: dict[str, Callable[[Venued], tuple[Allowed, ...]]] = {
    "aave_v3": _aave,
    "aave_v3_0": _aave,
    "compound_v3": _compound,
    "gmx_v2": _gmx,
    "maker": _maker,
    "morpho_blue": _morpho,
}
