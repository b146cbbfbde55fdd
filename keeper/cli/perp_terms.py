"""The terms of a GMX position that its owner is asked to sign, from how the position stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.model import Block, Perp, Policy
    from keeper.venues.gmx_v2.book import Slot

Terms = tuple[int | bool, ...]
"""The struct ``PerpTerms``, in its order."""
SIZE = "USD"
USD = 10**30
COOLDOWN_S = 30
EPOCH_S = 86_400
STALE_MORE_S, STALE_MAX_S = 3_600, 172_800
SLIPPAGE_BPS = 500
"""Two hundredths above what the keeper asks for: the feed may have moved when the order is mined."""
RESERVE_PPM = 5_000
"""Above what this position needs, with all that it will owe at today's rates: those rise, and feeds differ."""
GRID_PPM = 5_000
"""Triggers lie on it, not more than the reserve apart: what was announced a day ago is still enough today."""
CARRY_S_MAX = 90 * 86_400
"""What accrues is foreseen so far at most; `keeper check` tells when a grant covers it no more (`late_trigger`)."""
MAX_TIMES, MAX_MORE_PPM = 3, 50_000
SIZE_LEAST_USD = 100
MARGIN_PART = 100
FEE_GAS, FEE_GWEI_LEAST, FEE_TIMES = 5_000_000, 20, 20
"""An execution may cost so much gas at twenty times today's base fee, and never less than at twenty gwei, doubled as
often as needed: who orders pays it, the owner gets back what is not used, and a storm must not stop a rescue."""
EXPIRY, TRIGGER, MAX, FEE = 0, 6, 7, 12
"""Places in the struct."""
_NEVER_MORE = (EXPIRY, 3, 4, 5, TRIGGER, MAX, 8, 10, FEE)
_NEVER_LESS = (1, 9, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """What terms are made of."""

    policy: Policy
    slot: Slot
    perp: Perp
    block: Block
    until_s: int
    amounts: Mapping[str, str]


def terms(wished: Wished) -> Terms:
    """Those that cover the position until the grant ends. Raises ConfigError of an amount that nothing is called."""
    policy, slot = wished.policy, wished.slot
    size, margin = _caps(wished)
    stale_s = max(feed.heartbeat_s for _, feed in slot.feeds) + STALE_MORE_S
    trigger = needed_ppm(wished, margin)
    return (
        wished.until_s,
        COOLDOWN_S,
        EPOCH_S,
        min(stale_s, STALE_MAX_S),
        SLIPPAGE_BPS,
        "close_perp" in policy.strategies,
        trigger,
        _most_ppm(policy, trigger),
        size * USD,
        min(size, SIZE_LEAST_USD) * USD,
        margin,
        margin // MARGIN_PART,
        _fee_wei(wished.block.base_fee_wei),
    )


def needed_ppm(wished: Wished, margin: int) -> int:
    """``triggerPpm``: of the position as it may stand until then, with the reserve, rounded up to the grid."""
    from keeper.executor.perp_need import grown, least_trigger

    carry_s = min(wished.until_s - wished.block.timestamp_s, CARRY_S_MAX)
    least = max(
        least_trigger(perp, wished.policy.trigger_wad) for perp in grown(wished.perp, carry_s, margin)
    )
    return -(-(least + RESERVE_PPM) // GRID_PPM) * GRID_PPM


def near(policy: Policy, wanted: Terms) -> tuple[Terms, ...]:
    """The same terms first, then others that the command may have printed a day ago, and that still do."""
    trigger, fee = int(wanted[TRIGGER]), int(wanted[FEE])
    triggers = [trigger + k * GRID_PPM for k in (0, 1, 2, 3, 4, -1) if trigger + k * GRID_PPM > 0]
    fees = [fee, 2 * fee, 4 * fee, fee // 2]
    found = []
    for ppm in triggers:
        for wei in fees:
            each = list(wanted)
            each[TRIGGER], each[MAX], each[FEE] = ppm, _most_ppm(policy, ppm), wei
            found.append(tuple(each))
    return tuple(found)


def looser(new: Terms, old: Sequence[int]) -> bool:
    """``GmxV2Settings._looser``; new of a position that is not known."""
    if not old or not old[EXPIRY]:
        return True
    return (
        any(new[i] > old[i] for i in _NEVER_MORE)
        or any(new[i] < old[i] for i in _NEVER_LESS)
        or new[2] != old[2]
    )


def _caps(wished: Wished) -> tuple[int, int]:
    """(Dollars closed, units of margin added) in a day. Raises ConfigError."""
    from keeper.errors import ConfigError

    symbol, amounts = wished.slot.collateral.symbol, wished.amounts
    unknown = [s for s in amounts if s not in (SIZE, symbol)]
    if unknown or SIZE not in amounts:
        why = f"write --amount {SIZE}=SIZE, closed in a day at most, and --amount {symbol}=MARGIN"
        raise ConfigError((f"--amount {', '.join(unknown) or SIZE}: {why}",))
    return int(Decimal(amounts[SIZE])), int(
        Decimal(amounts.get(symbol, "0")).scaleb(wished.slot.collateral.decimals)
    )


def _most_ppm(policy: Policy, trigger_ppm: int) -> int:
    """``maxPpm``: a part is closed to no more than that of the rest."""
    from keeper.executor.perp_rules import ppm_of

    step = max(ppm_of(policy.target_wad) - ppm_of(policy.trigger_wad), 0)
    return MAX_TIMES * (trigger_ppm + step) + MAX_MORE_PPM


def _fee_wei(base_fee_wei: int) -> int:
    """``feeMax``."""
    from keeper.units import GWEI

    fee_wei = FEE_GAS * FEE_GWEI_LEAST * GWEI
    while fee_wei < FEE_GAS * FEE_TIMES * base_fee_wei:
        fee_wei *= 2
    return fee_wei
