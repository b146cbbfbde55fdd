"""``[canary]``: a rescue of a tiny position through everything that a big one needs, now and then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from keeper.config import schema
from keeper.config.schema import Exact, Name, Table
from keeper.config.wording import did_you_mean, shown
from keeper.units import wad_from

if TYPE_CHECKING:
    from keeper.config.parts import Parts

HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """Which position is rescued for practice, how often, and what that may cost at most."""

    position: str
    """Its label."""
    every_s: float | None
    """None: only when somebody asks."""
    gain_wad: int
    """So much health each rescue adds."""
    value_usd_max: int
    """A position whose collateral is worth more is no canary: nothing is done to it."""
    spend_usd_max: int
    """Of one rescue, and of all of the position's within 24 hours."""
    gas_usd_max: int
    """Dearer gas is waited out."""
    within_blocks: int | None
    """So soon it must be settled; None: 30 blocks, or those of two minutes where they are more."""


def _gain(value: Decimal) -> Decimal:
    # the least that may be asked for by hand too; and a canary is fed, not fattened
    if not Decimal("0.01") <= value <= Decimal("0.5"):
        raise ValueError("must be 0.01 to 0.5: so much health each rescue adds")
    return value


class CanaryTable(Table):
    """``[canary]``."""

    position: Name
    every_hours: Annotated[int, Field(ge=1, le=24 * 92)] | None = None
    gain: Annotated[Exact, AfterValidator(_gain)] = Decimal("0.02")
    value_usd_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    spend_usd_max: Annotated[int, Field(ge=1, le=1_000)] = 25
    gas_usd_max: Annotated[int, Field(ge=1, le=100)] = 10
    within_blocks: Annotated[int, Field(ge=4, le=10_000)] | None = None


def canary_settings(table: CanaryTable | None) -> CanarySettings | None:
    """The record of ``[canary]``; None where there is none."""
    if table is None:
        return None
    return CanarySettings(
        position=table.position,
        every_s=None if table.every_hours is None else HOUR_S * table.every_hours,
        gain_wad=wad_from(table.gain),
        value_usd_max=table.value_usd_max,
        spend_usd_max=table.spend_usd_max,
        gas_usd_max=table.gas_usd_max,
        within_blocks=table.within_blocks,
    )


def canary_problems(parts: Parts) -> list[str]:
    """A canary is a guarded loan of this machine's, and somebody must hear it."""
    table = parts.canary
    if table is None:
        return []
    rows = [row for _, row in parts.rows("positions")]
    labels = {str(row.get("label") or f"position-{i}"): row for i, row in enumerate(rows, 1)}
    chosen, out = labels.get(table.position), []
    if chosen is None:
        hint = did_you_mean(table.position, labels)
        out.append(f"canary.position: {shown(table.position)} is no label of a position{hint}")
    elif _kind(parts, chosen) in list(schema.PERPS):
        why = "is a perpetual position, whose orders end in a second step; name a small loan"
        out.append(f"canary.position: {shown(table.position)} {why}")
    if parts.alarms is not None and parts.alarms.targets_file is None:
        out.append("canary: nobody would hear it, and hearing it is part of it; set alarms.targets_file")
    if parts.standby is not None:
        out.append(
            "canary: [standby] leaves every position to the first machine; let that one have the canary"
        )
    return out


def canary_digest(table: CanaryTable | None, places: Iterable[tuple[str, str]]) -> dict[str, object]:
    """What of it decides about money, for the digest that arming is bound to. ``places``: label -> venue and
    account, for one account may have a loan at each of several venues."""
    if table is None:
        return {}
    caps = [table.value_usd_max, table.spend_usd_max, table.gas_usd_max]
    return {"canary": [dict(places).get(table.position), str(table.gain), *caps]}


def _kind(parts: Parts, position: dict[str, object]) -> object:
    name = position.get("venue")
    return next((row.get("kind") for _, row in parts.rows("venues") if row.get("name") == name), None)
