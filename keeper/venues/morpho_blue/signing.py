"""What a keeper may call of one market for a guarded account. Pure."""

from __future__ import annotations

from keeper.allowed import SHARES_PER_UNIT, AllowedCall, Argument, Venued, exactly, owners
from keeper.units import UINT256_MAX


def calls(venue: Venued) -> tuple[AllowedCall, ...]:
    """``supplyCollateral`` and ``repay`` (by units, or by shares for all) of one market, without a callback."""
    loan, collateral, *_ = venue.terms
    market = tuple(exactly(t) for t in venue.terms)
    who = owners(venue.accounts)
    params = "(address,address,address,address,uint256)"
    most = {str(t): venue.units_max.get(str(t)) or UINT256_MAX - 1 for t in (loan, collateral)}
    given, owed = (Argument(kind="uint256", at_most=most[str(t)]) for t in (collateral, loan))
    shares = Argument(kind="uint256", at_most=min(most[str(loan)] * SHARES_PER_UNIT, UINT256_MAX - 1))
    # bytes without a byte: where they begin, and their length
    short, long = ((exactly(32 * at), exactly(0)) for at in (8, 9))
    return (
        AllowedCall(
            target=venue.spender,
            name="supplyCollateral",
            arguments=(*market, given, who, *short),
            signature=f"supplyCollateral({params},uint256,address,bytes)",
        ),
        *(
            AllowedCall(
                target=venue.spender,
                name="repay",
                arguments=(*market, *amounts, who, *long),
                signature=f"repay({params},uint256,uint256,address,bytes)",
            )
            for amounts in ((owed, exactly(0)), (exactly(0), shares))
        ),
    )
