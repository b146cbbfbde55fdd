"""Rules between the numbers of one policy, each said with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from keeper.config import schema
from keeper.config.limits import limit_problems
from keeper.config.parts import Row
from keeper.config.wording import did_you_mean, path_text, shown

SLACK = Decimal("0.02")
"""Room between target and max_health that rounding and a moving price need."""
PLUGIN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def policy_problems(where: str, policy: schema.PolicyTable, broken: set[str]) -> list[str]:
    """warn > trigger > emergency, target >= trigger + hysteresis, max_health >= target + slack, caps.

    A rule that needs one of the ``broken`` keys is left out: its problem is already told.
    """
    return [
        f"{where}.{field}: {problem}"
        for field, needs, problem in (
            *_order(policy),
            *_digits(policy),
            *_caps(policy),
            *_closing(policy),
            *_exits(policy),
            *_band(policy),
            *limit_problems(policy),
        )
        if not broken & {field.split(".")[0], *needs}
    ]


def strategy_problems(where: str, names: list[str]) -> list[str]:
    """Every strategy is one that ships, or a third party's ``module:Class``; none twice."""
    out = []
    for i, name in enumerate(names):
        at = f"{where}.strategies[{i}]"
        if name in names[:i]:
            out.append(f"{at}: {shown(name)} is listed twice")
        elif name not in schema.STRATEGIES and not PLUGIN.fullmatch(name):
            known = did_you_mean(name, schema.STRATEGIES)
            out.append(f"{at}: {shown(name)} is not known{known} (a third party's is written module:Class)")
    return out


def perp_problems(
    venues: Sequence[Row], positions: Sequence[Row], policies: Mapping[str, schema.PolicyTable]
) -> list[str]:
    """A perpetual position's policy names something that can be done for it; a loan's strategies cannot."""
    # as written: what should be a name may be anything
    perps = [row.get("name") for _, row in venues if row.get("kind") in list(schema.PERPS)]
    problems = []
    for at, row in positions:
        name = str(row.get("policy") or "default")
        if row.get("venue") not in perps or (policy := policies.get(name)) is None:
            continue
        if not any(s in schema.PERP_STRATEGIES or ":" in s for s in policy.strategies):
            ways = ", ".join(schema.PERP_STRATEGIES)
            problems.append(
                f"{path_text((*at, 'policy'))}: {name!r} names no strategy for a perpetual position: {ways}"
            )
    return problems


def standby_problems(
    table: schema.Standby, positions: Sequence[Row], policies: Mapping[str, schema.PolicyTable]
) -> list[str]:
    """A standby acts through the Executor alone: what its own wallet would pay could be paid twice. And it acts in
    time: at a health of 1 there is nothing left to guard."""
    names = dict.fromkeys(str(row.get("policy") or "default") for _, row in positions)
    problems = []
    for name in names:
        paid = (
            [s for s in policies[name].strategies if s in schema.WALLET_STRATEGIES]
            if name in policies
            else []
        )
        if paid:
            why = f"{', '.join(paid)} would spend the wallet, and [standby] acts through the Executor alone: name "
            why += "deleverage, repay_from_reserve or supply_from_reserve"
            problems.append(f"{path_text(('policies', name))}.strategies: {why}")
        if name in policies and policies[name].trigger - table.margin <= 1:
            trigger = f"trigger ({policies[name].trigger}) of {path_text(('policies', name))}"
            why = "is a health of 1 or less, where positions are liquidated already; write a smaller one"
            problems.append(f"standby.margin: {table.margin} below {trigger} {why}")
    return problems


def venue_problems(rows: Iterable[Row]) -> list[str]:
    """Each kind of venue has the keys that it needs and none that it does not know."""
    out = []
    every = {key for keys in (*schema.VENUE_KEYS.values(), *schema.VENUE_EXTRAS.values()) for key in keys}
    for at, row in rows:
        kind = row.get("kind")
        if not isinstance(kind, str) or kind not in schema.VENUE_KEYS:
            continue
        needed, where = schema.VENUE_KEYS[kind], path_text(at)
        out += [f"{where}.{key}: is required by kind {shown(kind)}" for key in needed if row.get(key) is None]
        strange = sorted(every & set(row) - {*needed, *schema.VENUE_EXTRAS.get(kind, ())})
        out += [f"{where}.{key}: is no key of kind {shown(kind)}; remove it" for key in strange]
        market = row.get("market")
        if isinstance(market, str) and (kind in schema.PERPS) != bool(schema.GMX_SLOT.fullmatch(market)):
            wanted = '"0xMARKET:0xMARGIN:long" or ":short"' if kind in schema.PERPS else "one id or name"
            out.append(f"{where}.market: {shown(market)} is no market of kind {shown(kind)}; write {wanted}")
    return out


Broken = tuple[str, tuple[str, ...], str]
"""(field, other fields the rule needs, what is wrong and what to do)."""


def _order(p: schema.PolicyTable) -> Iterator[Broken]:
    if p.warn <= p.trigger:
        yield "warn", ("trigger",), f"{p.warn} must be above trigger ({p.trigger})"
    if p.trigger <= p.emergency:
        yield "trigger", ("emergency",), f"{p.trigger} must be above emergency ({p.emergency})"
    least = p.trigger + p.hysteresis
    if p.target < least:
        sum_text = f"{p.trigger} + {p.hysteresis} = {least}"
        yield (
            "target",
            ("trigger", "hysteresis"),
            f"{p.target} must be at least trigger + hysteresis ({sum_text})",
        )
    if p.max_health is not None and p.max_health < p.target + SLACK:
        yield (
            "max_health",
            ("target",),
            f"{p.max_health} must be at least target + {SLACK} ({p.target + SLACK})",
        )


def _closing(p: schema.PolicyTable) -> Iterator[Broken]:
    """A stop-loss has a level, below which money may be spent, and a strategy that asks for it."""
    if p.close_at is not None and p.close_at > p.trigger:
        yield (
            "close_at",
            ("trigger",),
            f"{p.close_at} must be at most trigger ({p.trigger}): only below is spent",
        )
    levels = p.close_at is not None or bool(p.close_prices)
    closes = {"close_position", "close_perp"} & set(p.strategies)
    if levels and not closes:
        field = "close_at" if p.close_at is not None else "close_prices"
        yield field, ("strategies",), 'does nothing by itself: name "close_position" in strategies'
    if closes and not levels:
        yield "strategies", ("close_at", "close_prices"), f'"{min(closes)}" needs close_at or close_prices'
    for field in ("close_prices", "take_profit"):
        for symbol, price in getattr(p, field).items():
            if -int(price.as_tuple().exponent) > 18:
                yield f"{field}.{symbol}", (), f"{price} has more than 18 decimals; shorten it"


def _exits(p: schema.PolicyTable) -> Iterator[Broken]:
    """An exit by price has its level, its strategy, and a health at which it may be made."""
    for field, name in (("trail_pct", "trailing_stop"), ("take_profit", "take_profit")):
        levels, named = getattr(p, field), name in p.strategies
        if levels and not named:
            yield field, ("strategies",), f'does nothing by itself: name "{name}" in strategies'
        if named and not levels:
            yield "strategies", (field,), f'"{name}" needs {field}'
    if p.take_profit and not p.close_above_trigger:
        why = "needs close_above_trigger = true: at a profit health is above trigger, where nothing else is spent"
        yield "take_profit", ("close_above_trigger",), why
    if p.close_above_trigger and not (p.trail_pct or p.take_profit or p.close_prices):
        why = "does nothing by itself: give close_prices, trail_pct or take_profit"
        yield "close_above_trigger", ("close_prices", "trail_pct", "take_profit"), why
    for symbol, pct in p.trail_pct.items():
        if -int(pct.as_tuple().exponent) > 4:
            yield f"trail_pct.{symbol}", (), f"{pct} has more than 4 decimals; shorten it"


def leverage_max(p: schema.PolicyTable) -> Decimal | None:
    """The top of the band: as given, else above the target by what a sale's cost makes worth waiting for.

    (3/4 L^2 (L - 1)^2 c)^(1/3) for a share L of equity in one volatile asset, logarithmic utility and a sale that
    loses c: the first term in Gerhold, Guasoni, Muhle-Karbe and Schachermayer, Finance and Stochastics 18 (2014).
    """
    if p.leverage_max is not None or p.leverage_target is None:
        return p.leverage_max
    share = float(p.leverage_target)
    width = (0.75 * (share * (share - 1.0)) ** 2 * float(p.leverage_cost_pct) / 100.0) ** (1.0 / 3.0)
    return p.leverage_target + Decimal(f"{width:.6f}")


def _band(p: schema.PolicyTable) -> Iterator[Broken]:
    """A band of leverage has its middle below its top, and goes one way."""
    if p.leverage_max is not None and p.leverage_target is None:
        yield "leverage_max", ("leverage_target",), "needs leverage_target, which is restored above it"
    if p.leverage_max is not None and p.leverage_target is not None and p.leverage_max <= p.leverage_target:
        why = f"{p.leverage_max} must be above leverage_target ({p.leverage_target})"
        yield "leverage_max", ("leverage_target",), why
    if p.leverage_boost:
        why = "boost_not_permitted: to raise leverage the keeper would borrow for the owner, and no grant of his, no "
        why += "Executor and no subaccount allows that; a band lowers leverage only. What you would borrow yourself: "
        why += "keeper leverage --target"
        yield "leverage_boost", (), why


def _digits(p: schema.PolicyTable) -> Iterator[Broken]:
    for name in ("warn", "trigger", "target", "emergency", "max_health", "hysteresis", "close_at"):
        value = getattr(p, name)
        if value is not None and -int(value.as_tuple().exponent) > 18:
            yield name, (), f"{value} has more than 18 decimals; shorten it"


def _caps(p: schema.PolicyTable) -> Iterator[Broken]:
    caps = p.caps
    if caps.per_action_usd > caps.per_day_usd:
        day = f"per_day_usd ({caps.per_day_usd})"
        yield "caps.per_action_usd", (), f"{caps.per_action_usd} must not exceed {day}"
    if caps.gas_usd_max > caps.gas_usd_emergency:
        least = f"gas_usd_max ({caps.gas_usd_max})"
        yield "caps.gas_usd_emergency", (), f"{caps.gas_usd_emergency} must be at least {least}"
