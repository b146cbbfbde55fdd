"""What each kind of venue lets a keeper call for a guarded account, with a rule for every argument. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.signer.policy import AllowedCall, Argument, aave_v3_calls
from keeper.units import UINT256_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Venued:
    """One venue as its calls are bounded."""

    spender: str
    units_max: Mapping[str, int | None]
    """Token address -> most units in one call (None: no bound but 2**256 - 2)."""
    accounts: tuple[str, ...]


def calls_of(kind: str, venue: Venued) -> tuple[AllowedCall, ...]:
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


KINDS: dict[str, Callable[[Venued], tuple[AllowedCall, ...]]] = {
    "aave_v3": _aave,
    "aave_v3_0": _aave,
    "compound_v3": _compound,
}
