"""Each plan's haste and its gas in money: what the risk room knows of a position, told to whoever pays the fees."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from keeper.daemon.foresight import Asks, plainly
from keeper.daemon.isolation import alone
from keeper.model import Plan, Position, PositionId, Refusal, Snapshot
from keeper.phrases import usd_text
from keeper.plan import Case
from keeper.risk.distance import linear_beta
from keeper.risk.factors import for_symbols
from keeper.risk.stake import position_loss_usd
from keeper.transaction.fees_urgency import Urgency, blocks_left, cap_wei, money_cap_usd
from keeper.triggers import emergency, gas_cap_usd
from keeper.units import UINT256_MAX, WAD

PAST_BLOCKS = 8
"""Over so many judged blocks the trend of a health is taken: a minute and a half on Ethereum."""
DAY_S = 86_400.0


class Healths:
    """The healths of the last judged blocks."""

    def __init__(self) -> None:
        self._past: deque[tuple[int, Mapping[PositionId, int | None]]] = deque(maxlen=PAST_BLOCKS + 1)

    def see(self, snapshot: Snapshot) -> None:
        """One more judged block; what a reorganisation took back is forgotten."""
        number = snapshot.block.number
        while self._past and self._past[-1][0] >= number:
            self._past.pop()
        self._past.append((number, {p.id: p.health_wad for p in snapshot.positions}))

    def of(self, id: PositionId, number: int) -> tuple[tuple[int, float], ...]:
        """(blocks ago, log health then) of the blocks before ``number``, newest first."""
        found = ((number - at, healths.get(id)) for at, healths in reversed(self._past) if at < number)
        return tuple((ago, log_health(wad)) for ago, wad in found if wad)


def hastened(
    plan: Plan, case: Case, block_time_s: float, past: Healths, ask: Asks = plainly
) -> Plan | Refusal:
    """The plan under the urgency of its position, its fees within the money that they may cost.

    Refusal ``gas_cap`` when this block's fees cost more than that.
    """
    found, _ = alone(partial(urgency_of, case, block_time_s, past, ask))
    # a risk core that breaks over one position must not cost its rescue, nor slow it
    urgency = found or Urgency(blocks_left=0.0, emergency=emergency(case.position.health_wad, case.policy))
    means, bounds = case.snapshot.means, plan.bounds
    loss = position_loss_usd(case.position)
    fee_wei_max = bounds.fee_wei_max
    if means.native_price_base:
        gas_usd = gas_cap_usd(case.position.health_wad, case.policy)
        usd = money_cap_usd(gas_usd, loss, case.policy.caps.gas_loss_pct, emergency=urgency.emergency)
        fee_wei_max = min(fee_wei_max, cap_wei(usd, means.native_price_base, means.native_price_decimals))
        now_wei = bounds.gas_limit * (case.snapshot.block.base_fee_wei + means.tip_wei)
        if now_wei > fee_wei_max:
            lost = f"{usd_text(usd)}, of {usd_text(loss or 0.0)} that a liquidation would take"
            why = f"gas costs {now_wei / WAD:.6f} native now, more than {lost}"
            return Refusal(who="fees", code="gas_cap", why=why)
    told = plan.why
    if urgency.pressing and not urgency.emergency:
        told += f", PRESSING: health 1 within {urgency.blocks_left:.1f} blocks at this pace"
    return replace(
        plan,
        urgent=plan.urgent or urgency.pressing,
        bounds=replace(bounds, fee_wei_max=fee_wei_max),
        why=told,
    )


def urgency_of(case: Case, block_time_s: float, past: Healths, ask: Asks = plainly) -> Urgency:
    """How soon the case's position must be helped."""
    position, snapshot = case.position, case.snapshot
    beta = ask(("beta", position.id), _beta, position, snapshot.prices, block_time_s)
    now = log_health(position.health_wad or 0)
    # the first order: a margin of beta standard deviations is a log health of as many
    sigma = now / beta if beta > 0.0 and math.isfinite(now) else 0.0
    return Urgency(
        blocks_left=blocks_left(now, sigma, past.of(position.id, snapshot.block.number)),
        emergency=emergency(position.health_wad, case.policy),
    )


def _beta(position: Position, prices: Mapping[str, float], block_time_s: float) -> float:
    """Standard deviations of one block's move to a health of 1."""
    symbols = {h.feed: h.amount.token.symbol for h in (*position.collateral, *position.debt)}
    return linear_beta(position.row, prices, for_symbols(symbols), block_time_s / DAY_S)


def log_health(wad: int) -> float:
    """Log of a health; minus infinity at 0, infinite without debt."""
    if wad == UINT256_MAX:
        return math.inf
    return math.log(wad / WAD) if wad > 0 else -math.inf
