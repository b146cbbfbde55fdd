"""What ``keeper renew`` shows: each token that a module renews, and what somebody must look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.units import decimal_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One token that a module renews."""

    module: str
    token: str
    symbol: str
    decimals: int
    units: int
    standing: int | None
    """Units that the Executor may take now; None: the token did not answer."""
    ready_s: int | None
    """None: the module did not answer."""
    until_s: int
    transaction: str = ""
    """The hash of its renewal, or why there is none."""
    failed: bool = False
    """It was due and asked for, and is not renewed."""

    def shown(self, units: int) -> str:
        """So many units as people write them."""
        return decimal_text(units, self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewals:
    """What modules of one owner renew for one Executor."""

    rows: tuple[Due, ...] = ()
    wrong: tuple[str, ...] = ()
    """Modules that say so and are not proven, or do not answer: nothing of theirs is asked for."""
    unread: str = ""
    """Why these may not be all; empty when they are."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody must look at, in words."""
        return (*self.wrong, *((f"{self.unread}: what those renew is not shown",) if self.unread else ()))

    @property
    def failed(self) -> bool:
        """Whether something that should be renewed is not, or somebody must look."""
        return bool(self.problems) or not self.rows or any(row.failed for row in self.rows)
