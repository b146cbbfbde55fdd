"""One number for a reader: what it is, its unit, what it means; and why, where it is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keeper.cli import subject

HEADERS = ("measure", "value", "unit", "what it means")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """``value`` NaN: not known, and ``means`` says why; infinite: ``means`` says what that is."""

    name: str
    value: float
    unit: str
    means: str
    digits: int = 2

    @property
    def cells(self) -> tuple[str, ...]:
        """Its line of a table."""
        shown = (
            f"{self.value:+,.{self.digits}f}" if self.unit in _SIGNED else f"{self.value:,.{self.digits}f}"
        )
        return (self.name, shown if math.isfinite(self.value) else "-", self.unit, self.means)

    @property
    def document(self) -> dict[str, object]:
        """The same as JSON; null where it is not known."""
        return {
            "measure": self.name,
            "value": subject.number(self.value),
            "unit": self.unit,
            "means": self.means,
        }


_SIGNED = frozenset({"-1 to 1", "% a year", "% in a day", "ln a day", "a day", "%", "sigma"})


def unknown(name: str, unit: str, why: str) -> Measure:
    """A measure that cannot be told, and why."""
    return Measure(name=name, value=math.nan, unit=unit, means=f"unknown: {why}")


def rows(found: Sequence[Measure]) -> list[tuple[str, ...]]:
    """The lines of a table."""
    return [m.cells for m in found]
