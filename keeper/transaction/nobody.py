"""What a sender asks and tells where nobody listens."""

from __future__ import annotations

from keeper.model import Plan, Refusal


def always(plan: Plan) -> Refusal | None:
    """Nobody objects."""
    return None


def nothing() -> None:
    """Nothing else is to be written."""


def silent(point: str) -> None:
    """The probe of ordinary life: nothing happens at the named points."""
