"""GMX v2's fixed-point formulas: price impact of closing, borrowing and funding since the last update.

Written from the published behaviour, in integers; powers are taken to 60 digits where the venue's own are good to
about 18, so both agree to 1e-15 of a size.
"""

from __future__ import annotations

from decimal import Context, Decimal

from keeper.venues.gmx_v2.layout import FACTOR, PER_SIZE, USD, Held, Market

_DIGITS = Context(prec=60)


def applied(value: int, factor: int) -> int:
    """value x factor, rounded down."""
    return value * factor // FACTOR


def up(numerator: int, denominator: int) -> int:
    """Rounded up."""
    return -(-numerator // denominator)


def power(usd: int, exponent: int) -> int:
    """usd ^ exponent of dollars, in USD; 0 below one dollar, as the venue has it."""
    if usd < USD:
        return 0
    if exponent % FACTOR == 0:
        whole = exponent // FACTOR
        return int(usd**whole // USD ** (whole - 1)) if whole else USD
    base = _DIGITS.divide(Decimal(usd), Decimal(USD))
    raised = _DIGITS.power(base, _DIGITS.divide(Decimal(exponent), Decimal(FACTOR)))
    return int(_DIGITS.multiply(raised, Decimal(10**18))) * 10**12


def balance(market: Market) -> tuple[int, int]:
    """(longs, shorts) in USD, as the market judges balance."""
    if market.in_tokens:
        mid = market.prices.index.mid
        return market.long.tokens.total * mid, market.short.tokens.total * mid
    return market.long.usd.total, market.short.usd.total


def impact_of_closing(market: Market, held: Held) -> tuple[int, bool]:
    """(USD that closing all of it wins or costs by the change of balance, whether balance improves)."""
    long, short = balance(market)
    moved = held.tokens * market.prices.index.mid if market.in_tokens else held.size
    after_long = max(long - moved, 0) if held.long else long
    after_short = short if held.long else max(short - moved, 0)
    before, after = abs(long - short), abs(after_long - after_short)
    curve, improved = market.curve, after < before
    # what improves never wins more than what worsens costs
    positive = min(curve.positive, curve.negative)
    if (long <= short) == (after_long <= after_short):
        factor = positive if improved else curve.negative
        exponent = curve.exponent_positive if improved else curve.exponent_negative
        size = abs(applied(power(before, exponent), factor) - applied(power(after, exponent), factor))
        return (size if improved else -size), improved
    won = applied(power(before, curve.exponent_positive), positive)
    lost = applied(power(after, curve.exponent_negative), curve.negative)
    return won - lost, improved


def borrowing_untold(market: Market, long: bool) -> str:
    """Why what one side pays cannot be told; empty where it can.

    GMX's own arithmetic stops there as well, and with it every order and every liquidation.
    """
    if not _charged(market, long):
        return ""
    pool, rule = _pool(market, long), market.borrowing[0 if long else 1]
    side = "longs" if long else "shorts"
    if not pool:
        return f"the pool that pays {side} is empty: what they pay for borrowing cannot be told"
    if rule.kink.optimal and not applied(pool, rule.reserve):
        return f"{side} may reserve nothing of the pool, and do: what they pay for borrowing cannot be told"
    return ""


def _charged(market: Market, long: bool) -> int:
    """USD that one side pays borrowing for."""
    longs, shorts = balance(market)
    if market.smaller_side_free and (longs < shorts if long else shorts < longs):
        return 0
    return market.long.tokens.total * market.prices.index.max if long else market.short.usd.total


def _pool(market: Market, long: bool) -> int:
    return market.pool.of(long) * (market.prices.long if long else market.prices.short).min


def borrowing_a_second(market: Market, long: bool) -> int:
    """Factor a second that one side pays for what it reserves of the pool, where ``borrowing_untold`` is empty."""
    reserved, pool, rule = _charged(market, long), _pool(market, long), market.borrowing[0 if long else 1]
    if reserved == 0:
        return 0
    kink = rule.kink
    if not kink.optimal:
        return applied(power(reserved, rule.exponent) * FACTOR // pool, rule.factor)
    usage = reserved * FACTOR // applied(pool, rule.reserve)
    rate = applied(usage, kink.base)
    if usage > kink.optimal and kink.optimal < FACTOR:
        rate += max(kink.above - kink.base, 0) * (usage - kink.optimal) // (FACTOR - kink.optimal)
    return rate


def funding_a_second(market: Market) -> tuple[int, bool]:
    """(factor a second, whether longs pay shorts) after the seconds since the last update."""
    longs, shorts = balance(market)
    rule, imbalance = market.funding, abs(longs - shorts)
    if longs + shorts == 0 or (imbalance == 0 and rule.increase == 0):
        return 0, True
    share = power(imbalance, rule.exponent) * FACTOR // (longs + shorts)
    if rule.increase == 0:
        return min(applied(share, rule.factor), rule.most), longs > shorts
    moved = _adapted(market, share, longs, shorts)
    rate = min(max(abs(moved), rule.least), rule.most)
    return rate, moved >= 0


def _adapted(market: Market, share: int, longs: int, shorts: int) -> int:
    """The signed rate (longs pay where positive) after it rose, fell or stood since the last update."""
    rule, saved, seconds = market.funding, market.funding.saved, market.fund_s
    grows = (saved > 0 and longs > shorts) or (saved < 0 and shorts > longs)
    moved = saved
    if not grows or share > rule.stable:
        step = applied(share, rule.increase) * seconds
        moved = saved - step if longs < shorts else saved + step
    elif share < rule.decaying and saved:
        fallen = rule.decrease * seconds
        sign = 1 if saved > 0 else -1
        moved = sign if abs(saved) <= fallen else sign * (abs(saved) - fallen)
    sign = -1 if moved < 0 else 1
    return sign * min(abs(moved), rule.most)


def funding_since(market: Market, held: Held) -> int:
    """What the position's side and collateral owe per size since the last update, on top of what is stored."""
    if not market.long.usd.total or not market.short.usd.total:
        return 0
    rate, longs_pay = funding_a_second(market)
    if held.long != longs_pay:
        return 0
    paying = market.side(longs_pay).usd
    mine = paying.of(held.long_token)
    owed = applied(paying.total, market.fund_s * rate)
    part = owed * mine // paying.total
    if not part or not mine:
        return 0
    price = (market.prices.long if held.long_token else market.prices.short).max
    return up(up(part * FACTOR * PER_SIZE, mine), price)
