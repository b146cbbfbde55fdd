"""``[[pairs]]``: a loan, the short that hedges it, and what a key of its own would do to keep that short; opt-in.

What it says decides about money, so it is part of what arming is bound to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from keeper.config.files import Files
from keeper.config.schema import (
    PERPS,
    Address,
    Health,
    Name,
    PolicyTable,
    Table,
    Usd,
    _at_most,
    _positive,
    _wad_digits,
)
from keeper.config.schema import Dec as Number
from keeper.config.wording import did_you_mean, path_text, shown
from keeper.units import wad_from

Row = tuple[tuple[str | int, ...], dict[str, object]]
Pct = Annotated[int, Field(ge=1, le=100)]
Line = Annotated[Health, AfterValidator(_wad_digits)]
PATIENCE_S = 60
SECRETS = {"keystore", "password_file"}
"""Paths, which arming is not bound to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeSettings:
    """``[pairs.hedge]``: at which share of the collateral a key that no rescue uses would keep the short."""

    key: str
    share_pct: int
    band_pct: int
    leverage: int
    notional_usd_max: int
    action_usd_max: int
    day_usd_max: int
    funding_year_max_pct: int
    slip_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeKey:
    """Where the key of a hedge lies; without one, what it would do is journaled and signed by nobody."""

    short: str
    """The label of its position."""
    address: str
    keystore: Path
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """A loan and its short, by the labels of their positions."""

    loan: str
    short: str
    assets: tuple[str, ...]
    """Symbols of the loan's collateral that fall with the short's index."""
    trigger_wad: int | None
    target_wad: int | None
    """The loan's while it is covered; None: its own."""
    cover_pct: int
    short_health_wad: int
    take_profit: bool
    """A winning short may be closed in part, so that its profit repays the loan."""
    patience_s: int
    hedge: HedgeSettings | None = field(default=None)


class HedgeTable(Table):
    """``[pairs.hedge]``; what bounds it in money has no default."""

    key: Address
    share_pct: Pct
    notional_usd_max: Usd
    action_usd_max: Usd
    day_usd_max: Usd
    band_pct: Annotated[int, Field(ge=1, le=50)] = 10
    leverage: Annotated[int, Field(ge=1, le=10)] = 3
    funding_year_max_pct: Annotated[int, Field(ge=0, le=1_000)] = 40
    slip_bps: Annotated[int, Field(ge=1, le=1_000)] = 100
    keystore: str | None = None
    password_file: str | None = None


class PairTable(Table):
    """``[[pairs]]``."""

    loan: Name
    short: Name
    assets: Annotated[list[Name], Field(min_length=1, max_length=8)]
    trigger: Line | None = None
    target: Line | None = None
    cover_pct: Pct = 50
    short_health: Annotated[Line, AfterValidator(_at_most(10, ""))] = Decimal("1.1")
    take_profit: bool = False
    patience_s: Annotated[Number, AfterValidator(_positive), AfterValidator(_at_most(600, " seconds"))] = (
        Decimal(PATIENCE_S)
    )
    hedge: HedgeTable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a pair is judged against, as written."""

    venues: Sequence[Row]
    positions: Sequence[Row]
    policies: Mapping[str, PolicyTable]
    wallet: str | None
    standby: bool


def pair_problems(pairs: Sequence[tuple[tuple[str | int, ...], PairTable]], known: Known) -> list[str]:
    """Both labels are positions of their kind on one chain; lower lines stay above emergency; the key is another."""
    out: list[str] = []
    taken: dict[str, str] = {}
    keys: dict[str, str] = {}
    for at, pair in pairs:
        where = path_text(at)
        if pair.hedge is not None and keys.setdefault(pair.hedge.key.lower(), where) != where:
            first = keys[pair.hedge.key.lower()]
            out.append(f"{where}.hedge.key: is already the key of {first}; a hedge has a key of its own")
        out += [
            f"{where}.{line}" for line in (*_legs(pair, known), *_lines(pair, known), *_hedge(pair, known))
        ]
        for label in (pair.loan, pair.short):
            first = taken.setdefault(label, where)
            if first != where or pair.loan == pair.short:
                out.append(f"{where}: {shown(label)} is already used by {first}; a position is in one pair")
    return out


def _row(label: str, known: Known) -> tuple[dict[str, object], dict[str, object]] | None:
    """The position of that label and its venue."""
    for i, (_, row) in enumerate(known.positions, 1):
        if (row.get("label") or f"position-{i}") == label:
            venue = next((v for _, v in known.venues if v.get("name") == row.get("venue")), None)
            return None if venue is None else (row, venue)
    return None


def _legs(pair: PairTable, known: Known) -> Iterator[str]:
    labels = [str(row.get("label") or f"position-{i}") for i, (_, row) in enumerate(known.positions, 1)]
    chains = []
    for name, label, perp in (("loan", pair.loan, False), ("short", pair.short, True)):
        found = _row(label, known)
        if found is None:
            yield f"{name}: {shown(label)} is no position{did_you_mean(label, labels)}"
            continue
        venue = found[1]
        chains.append(venue.get("chain"))
        # as written: what should be a name may be anything
        if (venue.get("kind") in list(PERPS)) != perp:
            wanted = "a perpetual position" if perp else "a lending position"
            yield f"{name}: {shown(label)} is not {wanted}"
        elif perp and not str(venue.get("market") or "").endswith(":short"):
            yield f"{name}: {shown(label)} is on a slot of longs: it falls with the loan"
    if len(chains) == 2 and chains[0] != chains[1]:
        yield f"short: {shown(pair.short)} is on another chain: a hedge is judged within one block of one chain"


def _lines(pair: PairTable, known: Known) -> Iterator[str]:
    if (pair.trigger is None) != (pair.target is None):
        lacks = "target" if pair.target is None else "trigger"
        yield f"{lacks}: is required beside {'trigger' if lacks == 'target' else 'target'}"
        return
    found = _row(pair.loan, known)
    policy = known.policies.get(str((found[0].get("policy") if found else None) or "default"))
    if policy is None or found is None:
        return
    if pair.take_profit and "repay_from_reserve" not in policy.strategies:
        why = 'needs "repay_from_reserve" in the strategies: profit is the owner\'s, and his Executor pays with it'
        yield f"take_profit: {why}"
    if pair.take_profit and known.standby:
        yield "take_profit: a machine in [standby] acts through the Executor alone; leave it to the first machine"
    if pair.trigger is None or pair.target is None:
        return
    if not policy.emergency + policy.hysteresis <= pair.trigger < policy.trigger:
        yield (
            f"trigger: {pair.trigger} must be from emergency + hysteresis "
            f"({policy.emergency + policy.hysteresis}) to below the loan's own trigger ({policy.trigger})"
        )
    if not pair.trigger + policy.hysteresis <= pair.target <= policy.target:
        yield (
            f"target: {pair.target} must be from trigger + hysteresis ({pair.trigger + policy.hysteresis}) "
            f"to the loan's own target ({policy.target})"
        )


def _hedge(pair: PairTable, known: Known) -> Iterator[str]:
    hedge = pair.hedge
    if hedge is None:
        return
    if (hedge.keystore is None) != (hedge.password_file is None):
        lacks = "password_file" if hedge.password_file is None else "keystore"
        yield f"hedge.{lacks}: is required beside {'keystore' if lacks == 'password_file' else 'password_file'}"
    if hedge.keystore is not None and known.standby:
        yield "hedge.keystore: a machine in [standby] hedges nothing; leave the key to the first machine"
    if known.wallet is not None and hedge.key.lower() == known.wallet.lower():
        yield f"hedge.key: {hedge.key} is the rescue's wallet; a hedge has a key of its own"
    if not hedge.action_usd_max <= hedge.day_usd_max <= hedge.notional_usd_max:
        yield (
            f"hedge.action_usd_max: {hedge.action_usd_max} <= day_usd_max {hedge.day_usd_max} <= "
            f"notional_usd_max {hedge.notional_usd_max} must hold"
        )


def pair_settings(pair: PairTable) -> PairSettings:
    """The record of one pair."""
    return PairSettings(
        loan=pair.loan,
        short=pair.short,
        assets=tuple(pair.assets),
        trigger_wad=None if pair.trigger is None else wad_from(pair.trigger),
        target_wad=None if pair.target is None else wad_from(pair.target),
        cover_pct=pair.cover_pct,
        short_health_wad=wad_from(pair.short_health),
        take_profit=pair.take_profit,
        patience_s=int(pair.patience_s),
        hedge=None if pair.hedge is None else HedgeSettings(**pair.hedge.model_dump(exclude=SECRETS)),
    )


def hedge_keys(pairs: Sequence[PairTable], files: Files, *, live: bool) -> tuple[HedgeKey, ...]:
    """The keys that are named, located and not read."""
    found = []
    for pair in pairs:
        hedge = pair.hedge
        if hedge is None or hedge.keystore is None or hedge.password_file is None:
            continue
        keystore = files.secret("hedge.keystore", hedge.keystore, needed=live)
        password = files.secret("hedge.password_file", hedge.password_file, needed=live)
        if keystore is not None and password is not None:
            found.append(
                HedgeKey(short=pair.short, address=hedge.key, keystore=keystore, password_file=password)
            )
    return tuple(found)
