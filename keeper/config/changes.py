"""What a configuration changes of another: which part may be taken over while the daemon runs, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace

from keeper.config.records import PositionSettings, Settings
from keeper.units import decimal_text

HOT = ("policies", "shocks_pct")
"""Parts that are taken over at once, beside which policy a position follows."""
SILENT = ("path", "digest")
"""Told by what they follow from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The difference of two configurations."""

    lines: tuple[str, ...]
    """What would change at once, a line each: ``policies.default.trigger 1.25 -> 1.3``."""
    restart: tuple[str, ...]
    """Parts that differ and that only a restart takes over; named without their values, which may be secret."""
    disarms: bool
    """It moves money differently: arming holds for the other configuration only."""

    @property
    def none(self) -> bool:
        """Nothing differs."""
        return not (self.lines or self.restart)


def changes(old: Settings, new: Settings) -> Changes:
    """How ``new`` differs from ``old``; pure."""
    lines = [*_policies(old, new), *_positions(old, new)]
    if old.shocks_pct != new.shocks_pct:
        lines.append(f"shocks.ladder_pct {list(old.shocks_pct)} -> {list(new.shocks_pct)}")
    same = replace(
        new,
        policies=old.policies,
        shocks_pct=old.shocks_pct,
        positions=tuple(_as_before(p, old) for p in new.positions),
    )
    names = [f.name for f in fields(Settings) if f.name not in (*HOT, *SILENT)]
    restart = tuple(name for name in names if getattr(same, name) != getattr(old, name))
    return Changes(lines=tuple(lines), restart=restart, disarms=old.digest != new.digest)


def _as_before(position: PositionSettings, old: Settings) -> PositionSettings:
    """``position`` with the policy that it follows now, where it is there already."""
    was = next((p for p in old.positions if p.label == position.label), position)
    return replace(position, policy=was.policy, accept_thin_emergency=was.accept_thin_emergency)


def _policies(old: Settings, new: Settings) -> Iterator[str]:
    before, after = ({p.name: p for p in s.policies} for s in (old, new))
    for name in sorted(before.keys() | after.keys()):
        where = f"policies.{name}"
        if name not in after:
            yield f"{where} is gone"
        elif name not in before:
            yield f"{where} is new"
        else:
            yield from _fields(where, before[name], after[name])


def _fields(where: str, old: object, new: object) -> Iterator[str]:
    assert is_dataclass(old)
    for f in fields(old):
        was, now = getattr(old, f.name), getattr(new, f.name)
        if was == now:
            continue
        if is_dataclass(was):
            yield from _fields(f"{where}.{f.name}", was, now)
        else:
            name = f.name.removesuffix("_wad")
            yield f"{where}.{name} {_text(f.name, was)} -> {_text(f.name, now)}"


def _text(name: str, value: object) -> str:
    if name.endswith("_wad") and isinstance(value, int):
        return decimal_text(value, 18)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _positions(old: Settings, new: Settings) -> Iterator[str]:
    before = {p.label: p for p in old.positions}
    for position in new.positions:
        was = before.get(position.label)
        if was is None:
            continue
        if was.policy != position.policy:
            yield f"positions.{position.label}.policy {was.policy} -> {position.policy}"
        if was.accept_thin_emergency != position.accept_thin_emergency:
            now = str(position.accept_thin_emergency).lower()
            yield f"positions.{position.label}.accept_thin_emergency -> {now}"
