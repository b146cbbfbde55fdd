"""What a hedge's key would do at each block, journaled and signed by nobody: ``[pairs.hedge]`` without a keystore.

The order is told as it would be given, with its bounds, or why none is; said when that changes. The key's wallet is
taken to hold the margin of the whole hedge, for nobody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.config.pairing import HedgeSettings, PairSettings
from keeper.daemon.tick import Tick
from keeper.decision.legs import Hedged
from keeper.model import Amount, Entry, Means, Position, Refusal
from keeper.units import mul_div_up
from strategies.hedge import USD, Order, Seen, Terms, propose

KIND = "hedge"
PCT = 100


class Hedging:
    """What was said last of each pair that asks for it."""

    def __init__(self, asked: Sequence[tuple[Hedged, PairSettings]]) -> None:
        self._asked = [(h, s.hedge, s.assets) for h, s in asked if s.hedge is not None]
        self._said: dict[str, str] = {}

    def rows(self, tick: Tick) -> tuple[Entry, ...]:
        """A row for each hedge whose order, or reason for none, is another than before."""
        found = []
        for hedged, settings, assets in self._asked:
            if settings is None:
                continue
            loan, short = tick.snapshot.position(hedged.loan), tick.snapshot.position(hedged.short)
            told = propose(loan, short, terms(settings, assets), seen(settings, short, tick.snapshot.means))
            subject, sort = str(hedged.short), sort_of(told)
            if self._said.get(subject) == sort:
                continue
            self._said[subject] = sort
            found.append(row_of(tick, subject, told))
        return tuple(found)


def terms(settings: HedgeSettings, assets: tuple[str, ...]) -> Terms:
    """The strategy's terms, as configured."""
    return Terms(
        on=True,
        key=settings.key,
        assets=assets,
        share_pct=settings.share_pct,
        band_pct=settings.band_pct,
        leverage=settings.leverage,
        notional_usd_max=settings.notional_usd_max,
        action_usd_max=settings.action_usd_max,
        day_usd_max=settings.day_usd_max,
        funding_year_max_pct=settings.funding_year_max_pct,
        slip_bps=settings.slip_bps,
    )


def seen(settings: HedgeSettings, short: Position | None, means: Means) -> Seen:
    """The means of the key, on paper: margin for the whole hedge; and what the short pays a year."""
    perp = short.perp if short is not None else None
    balances: tuple[Amount, ...] = ()
    carry = None
    if perp is not None:
        margin = mul_div_up(
            settings.notional_usd_max * USD, 1, settings.leverage * max(perp.collateral_price, 1)
        )
        balances = (Amount(token=perp.collateral, units=margin),)
        carry = perp.side.carry_year if perp.side is not None else None
    paper = replace(means, wallet=settings.key, balances=balances, allowances=(), mandates=())
    year_pct = None if carry is None else carry * PCT / 10**30
    return Seen(keeper=means.wallet, means=paper, funding_year_pct=year_pct)


def sort_of(told: Order | Refusal) -> str:
    """What a change of it is worth a row: why none, or which way."""
    return told.code if isinstance(told, Refusal) else f"order {'opens' if told.opens else 'closes'}"


def row_of(
    tick: Tick, subject: str, told: Order | Refusal, head: str = "would be ordered, and is signed by nobody"
) -> Entry:
    """The journal's row of it."""
    data: Mapping[str, object]
    if isinstance(told, Refusal):
        why, data = told.why, {"code": told.code}
    else:
        why = f"{head}: {told.why}"
        data = {
            "opens": told.opens,
            "size_usd": str(told.size_usd),
            "margin_units": str(told.margin.units),
            "worst_price": str(told.worst_price),
        }
    return Entry(
        kind=KIND,
        chain_id=tick.block.chain_id,
        block_number=tick.block.number,
        subject=subject,
        why=why,
        data=data,
    )
