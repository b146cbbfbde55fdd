"""The options of ``keeper grant``, and what those for an owner say."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, TypedDict

import typer

from keeper.cli.owner_words import address, shares, time_s

SLIPPAGE_BPS_MAX = 300
"""What the Executor's policies allow at the most (contracts/libraries/Policies.sol)."""
Amount = Annotated[
    list[str] | None,
    typer.Option("--amount", metavar="TOKEN=NUMBER", help="Whole tokens, by symbol; repeat it; 0 revokes."),
]
Send = Annotated[bool, typer.Option("--send", help="Sign and send; needs the wallet's key.")]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="LABEL", help="What the owner of that position signs, so that it may be sold."
    ),
]
Safe = Annotated[bool, typer.Option("--safe", help="With --executor: a Safe's file and hashes.")]
Reserve = Annotated[
    list[str] | None,
    typer.Option(
        "--reserve", metavar="TOKEN=NUMBER", help="With --executor: may be paid in, a day and in all."
    ),
]
Share = Annotated[
    float, typer.Option("--share", metavar="PERCENT", help="Of each cap, for the keeper's wallet.")
]
Bot = Annotated[
    list[str] | None,
    typer.Option("--bot", metavar="ADDRESS=PERCENT", help="Another keeper's share of each cap; repeat it."),
]
Guardian = Annotated[
    str, typer.Option("--guardian", metavar="ADDRESS", help="Who may pause, and nothing else.")
]
Until = Annotated[
    str, typer.Option("--until", metavar="DATE", help="End of the grant: 2027-03-01, or Unix seconds.")
]
Slippage = Annotated[
    float,
    typer.Option(
        "--slippage",
        metavar="PERCENT",
        help="With --executor: how much less than the oracle's price a sale may bring, 3 at the most.",
    ),
]
Deploy = Annotated[
    bool, typer.Option("--deploy", help="Put the Executor there first, where it is not there yet.")
]
Announce = Annotated[
    bool, typer.Option("--announce", help="Only what must be announced a day before the rest.")
]

Module = Annotated[
    bool,
    typer.Option(
        "--module",
        help="With --executor, of a Safe: enable a module that renews --amount and --reserve, until --until.",
    ),
]
Period = Annotated[
    float | None,
    typer.Option(
        "--period", metavar="HOURS", help="With --module: hours between two renewals, 24 unless named."
    ),
]
Subaccount = Annotated[
    str | None,
    typer.Option(
        "--subaccount",
        metavar="LABEL",
        help="What the owner of that GMX position signs, so that it may be guarded.",
    ),
]
Actions = Annotated[
    int, typer.Option("--actions", metavar="NUMBER", help="With --subaccount: orders from now on.")
]


Stop = Annotated[
    bool,
    typer.Option("--stop", help="With --subaccount: a stop that the owner himself leaves on the venue."),
]


class Roles(TypedDict):
    """Who may act, with which share, until when, and who may pause."""

    share_bps: int
    others: dict[str, int]
    guardian: str
    until_s: int | None
    slippage_bps: int


def read(share: float, bots: list[str], guardian: str, until: str, slippage: float = 1.0) -> Roles:
    """What these options say. Exit 2."""
    from keeper.cli.endings import usage

    slippage_bps = round(slippage * 100) if isfinite(slippage) else 0
    if not 1 <= slippage_bps <= SLIPPAGE_BPS_MAX:
        most = SLIPPAGE_BPS_MAX / 100
        raise usage(
            "--slippage", f"{slippage:g} is not between 0.01 and {most:g} percent, which the Executor takes"
        )
    return Roles(
        share_bps=shares([f"wallet={share}"], "--share")["wallet"],
        others={address(who, "--bot"): bps for who, bps in shares(bots, "--bot").items()},
        guardian=address(guardian, "--guardian") if guardian else "",
        until_s=time_s(until) if until else None,
        slippage_bps=slippage_bps,
    )
