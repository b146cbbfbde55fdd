"""Rows that are not quite affine, made safe: a bound that never reads healthier than the chain."""

from __future__ import annotations

from dataclasses import replace

from keeper.model import WHOLE_BPS_AVERAGE, BookRow, Position

_BPS = 1e-4


def conservative(position: Position) -> BookRow:
    """The row by which shocks are judged: assets at most what the protocol would count, at any price.

    With floor(avg bps): A_chain = floor(1e4 A/C)/1e4 x C > A - 1e-4 C for collateral value C, and C is
    affine, so each counted collateral gives up one basis point of its threshold
    (GenericLogic.calculateUserAccountData).
    """
    row = position.row
    if row.slack:
        # what a perpetual's venue may stop counting (price impact grows with the price)
        row = replace(row, a0=row.a0 - row.slack)
    if WHOLE_BPS_AVERAGE not in row.flags:
        return row
    feeds, a = row.feeds, list(row.a)
    for holding in position.collateral:
        if holding.threshold_wad > 0:
            if holding.feed not in feeds:
                # a collateral that the row does not know cannot give anything up: the row is not to be trusted
                return replace(row, a=(*row.a, float("nan")))
            # a feed may stand twice in a row; its first entry gives up for all
            a[feeds.index(holding.feed)] -= _BPS * (
                holding.amount.units / 10.0**holding.amount.token.decimals
            )
    # written out: a thousand accounts a block, and copying by names costs thrice as much
    return BookRow(
        feeds=feeds,
        a=tuple(a),
        b=row.b,
        a0=row.a0,
        b0=row.b0,
        flags=row.flags,
        slack=row.slack,
        holds=row.holds,
    )
