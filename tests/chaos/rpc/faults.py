"""What can be wrong with an endpoint, by the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """One way in which one request goes wrong."""

    TOO_MANY = "429 with Retry-After"
    SERVER_ERROR = "5xx"
    RESET_BEFORE = "connection reset, nothing was forwarded"
    RESET_AFTER = "forwarded, the answer is lost"
    TRUNCATED = "cut-off JSON"
    WRONG_ID = "another request's id"
    STALE = "an older head than it has shown"
    OTHER_HEAD = "a head that nobody else has"
    SWALLOW = "a transaction accepted and forgotten"
    HANG = "no answer, connection open"


ERRORS = (
    Fault.TOO_MANY,
    Fault.SERVER_ERROR,
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER,
    Fault.TRUNCATED,
    Fault.WRONG_ID,
    Fault.STALE,
)
"""What a bad endpoint does while it still answers at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The temper of one endpoint."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    """Share of the requests that meet it; together at most 1."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Typical and most: drawn from an exponential with that mean, cut at the most."""
    retry_after_s: float = 1.0
    lag_blocks: int = 0
    """So many blocks it is always behind."""
    old_state_blocks: int = 0
    """It lies: its ``eth_call`` answers are those of so many blocks ago, whatever block is asked for, while heads and
    all else are true."""


def mixed(share: float, *, latency_s: tuple[float, float] = (0.0, 0.0)) -> Faults:
    """Errors of every kind, ``share`` of the requests in all."""
    return Faults(rates=dict.fromkeys(ERRORS, share / len(ERRORS)), latency_s=latency_s)


class Dice:
    """Draws by a seed of its own, so that what one endpoint does never changes another's luck."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self.faults = faults
        self.random = random.Random(seed)

    def draw(self) -> Fault | None:
        """What befalls the next request."""
        left = self.random.random()
        for fault, rate in self.faults.rates.items():
            left -= rate
            if left < 0:
                return fault
        return None

    def latency_s(self) -> float:
        """How long the next request takes on the way."""
        typical_s, most_s = self.faults.latency_s
        return min(most_s, self.random.expovariate(1 / typical_s)) if typical_s else 0.0
