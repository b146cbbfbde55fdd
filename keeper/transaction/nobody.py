"""What a sender asks and tells where nobody listens."""

from __future__ import annotations

from keeper.model import Plan, PositionId, Refusal


def always(plan: Plan) -> Refusal | None:
    """Nobody objects."""
    return None


def nobody(id: PositionId) -> bool:
    """No position is rescued for practice."""
    return False


def nothing() -> None:
    """Nothing else is to be written."""


def silent(point: str) -> None:
    """The probe of ordinary life: nothing happens at the named points."""
