"""What a keeper may call of a pool for a guarded account. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keeper.allowed import AllowedCall, Argument, Venued, exactly, owners, units
from keeper.venues.aave_v3.encode import VARIABLE


def calls(venue: Venued) -> tuple[AllowedCall, ...]:
    """``supply`` and ``repay``."""
    return aave_v3_calls(venue.spender, venue.units_max, venue.accounts)


def aave_v3_calls(
    pool: str, units_max: Mapping[str, int | None], accounts: Iterable[str]
) -> tuple[AllowedCall, ...]:
    """Supply and repay on one Aave v3 pool for the guarded ``accounts``.

    ``units_max``: token address -> most units in one call (None: no bound but 2**256 - 2, so that
    ``type(uint256).max``, which means "everything", is never signed).
    """
    who, mode = owners(accounts), exactly(VARIABLE)
    referral = Argument(kind="uint16", among=frozenset({0}))
    found: list[AllowedCall] = []
    for token, most in units_max.items():
        asset, amount = exactly(token), units(most)
        found.append(AllowedCall(target=pool, name="supply", arguments=(asset, amount, who, referral)))
        found.append(AllowedCall(target=pool, name="repay", arguments=(asset, amount, mode, who)))
    return tuple(found)
