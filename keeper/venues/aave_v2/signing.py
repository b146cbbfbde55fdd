"""What a keeper may call of a pool for a guarded account. Pure."""

from __future__ import annotations

from keeper.allowed import AllowedCall, Argument, Venued, exactly, owners, units
from keeper.venues.aave_v3.encode import VARIABLE

TOKEN_AND_UNITS = (0, 1)


def calls(venue: Venued) -> tuple[AllowedCall, ...]:
    """``deposit`` and ``repay``."""
    who, referral = owners(venue.accounts), Argument(kind="uint16", among=frozenset({0}))
    return tuple(
        AllowedCall(
            target=venue.spender,
            name=name,
            arguments=(exactly(token), units(most), *rest),
            spends=TOKEN_AND_UNITS,
        )
        for token, most in venue.units_max.items()
        for name, rest in (("deposit", (who, referral)), ("repay", (exactly(VARIABLE), who)))
    )
