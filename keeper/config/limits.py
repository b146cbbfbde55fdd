"""Rules of what makes positions smaller: limits, a stable off its peg, a floor; and of what a warning may raise."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from keeper.config import schema
from keeper.config.wording import did_you_mean, shown
from keeper.issuers import ISSUERS, LIMIT_KINDS

DEPEG_LEAST = Decimal("0.5")
"""Nearer to the peg than this lies what pools and fees do every day."""
Broken = tuple[str, tuple[str, ...], str]
"""(field, other fields the rule needs, what is wrong and what to do)."""


def limit_of(key: str) -> tuple[str, str]:
    """``asset:WETH`` as (kind, name); a key that is none comes back as it is, and is a problem of its own."""
    kind, _, name = key.partition(":")
    return kind.strip(), name.strip()


def limit_problems(p: schema.PolicyTable) -> Iterator[Broken]:
    """Each rule has its numbers and its strategy, and none is given without an effect."""
    yield from _exposure(p)
    yield from _named(p, "depeg_pct", "depeg_playbook")
    yield from _named(p, "floor_usd", "floor")
    if p.depeg_pct is not None and p.depeg_pct < DEPEG_LEAST:
        yield (
            "depeg_pct",
            (),
            f"{p.depeg_pct} must be at least {DEPEG_LEAST}: nearer is what pools do every day",
        )
    yield from _floor(p)
    reduces = p.exposure_max_usd or p.depeg_pct or p.floor_usd
    if p.reduce_above_trigger and not reduces:
        why = "does nothing by itself: give exposure_max_usd, depeg_pct or floor_usd"
        yield "reduce_above_trigger", ("exposure_max_usd", "depeg_pct", "floor_usd"), why
    for field in ("depeg_pct", "floor_ratchet_pct"):
        value = getattr(p, field)
        if value is not None and -int(value.as_tuple().exponent) > 4:
            yield field, (), f"{value} has more than 4 decimals; shorten it"
    for field in ("warning_target", "warning_trigger", "floor_times"):
        value = getattr(p, field)
        if value is not None and -int(value.as_tuple().exponent) > 18:
            yield field, (), f"{value} has more than 18 decimals; shorten it"


def _named(p: schema.PolicyTable, field: str, name: str) -> Iterator[Broken]:
    given, named = getattr(p, field) is not None, name in p.strategies
    if given and not named:
        yield field, ("strategies",), f'does nothing by itself: name "{name}" in strategies'
    if named and not given:
        yield "strategies", (field,), f'"{name}" needs {field}'


def _exposure(p: schema.PolicyTable) -> Iterator[Broken]:
    if "exposure_limits" in p.strategies and not p.exposure_max_usd:
        yield "strategies", ("exposure_max_usd",), '"exposure_limits" needs exposure_max_usd'
    for key in p.exposure_max_usd:
        kind, name = limit_of(key)
        if kind not in LIMIT_KINDS or not name:
            yield (
                "exposure_max_usd",
                (),
                f'{shown(key)} is not {", ".join(LIMIT_KINDS)} and a name: "asset:WETH"',
            )
        elif kind == "venue" and name not in schema.KINDS:
            known = did_you_mean(name, schema.KINDS)
            yield "exposure_max_usd", (), f"{shown(key)}: no kind of venue is named so{known}"
        elif kind == "issuer" and name.lower() not in {x.lower() for x in ISSUERS}:
            why = f"{shown(key)}: not known; limit its assets by name (known: {', '.join(ISSUERS)})"
            yield "exposure_max_usd", (), why


def _floor(p: schema.PolicyTable) -> Iterator[Broken]:
    if (p.floor_usd is None) != (p.floor_times is None):
        field, other = ("floor_usd", "floor_times") if p.floor_times is None else ("floor_times", "floor_usd")
        yield field, (other,), f"needs {other}: what is at risk may be floor_times the equity above floor_usd"
    if p.floor_ratchet_pct is not None and p.floor_usd is None:
        yield "floor_ratchet_pct", ("floor_usd",), "needs floor_usd, from which it starts"
