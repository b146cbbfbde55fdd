"""What a keeper may call of a market for a guarded account. Pure."""

from __future__ import annotations

from keeper.allowed import AllowedCall, Venued, exactly, owners, units


def calls(venue: Venued) -> tuple[AllowedCall, ...]:
    """``supplyTo`` a guarded account: collateral, or the base token, which repays."""
    return tuple(
        AllowedCall(
            target=venue.spender,
            name="supplyTo",
            arguments=(owners(venue.accounts), exactly(token), units(most)),
        )
        for token, most in venue.units_max.items()
    )
