"""What is driven through paper and chain, and how far they lie apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HEALTH_APART_MAX = 1e-6
COST_APART_MAX = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One account on one history: ``symbol`` against dollars; ``said`` and ``market`` float64[M] over the first."""

    name: str
    symbol: str
    value_usd: float
    health: float
    said: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    market: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    times_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One case under one keeper, paper and chain; USD. ``gas`` beside the rest of the cost."""

    name: str
    keeper: str
    moments: int
    health_apart: float
    """The largest difference of health at any moment."""
    paper_sunk: tuple[int, ...]
    chain_sunk: tuple[int, ...]
    """Moments at which liquidators acted."""
    paper_refused: tuple[str, ...]
    chain_refused: tuple[str, ...]
    """What the Executor said to the orders that reverted, by its own names; ``taken`` where it did not refuse."""
    paper_usd: float
    chain_usd: float
    paper_gas_usd: float
    chain_gas_usd: float

    @property
    def cost_apart(self) -> float:
        """Share by which the owner's costs differ, gas in them."""
        paper, chain = self.paper_usd + self.paper_gas_usd, self.chain_usd + self.chain_gas_usd
        return abs(chain - paper) / max(abs(paper), 1.0)

    @property
    def ok(self) -> bool:
        """Whether the paper told the truth."""
        same = self.paper_sunk == self.chain_sunk and self.paper_refused == self.chain_refused
        return same and self.health_apart <= HEALTH_APART_MAX and self.cost_apart <= COST_APART_MAX

    def cells(self) -> tuple[str, ...]:
        """A table's line."""
        return (
            self.name[:20],
            self.keeper,
            str(self.moments),
            f"{self.health_apart:.1e}",
            ",".join(map(str, self.paper_sunk)) or "never",
            ",".join(map(str, self.chain_sunk)) or "never",
            ",".join(self.chain_refused)
            + ("" if self.paper_refused == self.chain_refused else " (not on paper)"),
            f"{self.paper_usd + self.paper_gas_usd:,.2f}",
            f"{self.chain_usd + self.chain_gas_usd:,.2f}",
        )

    def document(self) -> dict[str, object]:
        """The same as JSON."""
        return {
            "name": self.name,
            "keeper": self.keeper,
            "moments": self.moments,
            "health_apart": self.health_apart,
            "paper_liquidated": list(self.paper_sunk),
            "chain_liquidated": list(self.chain_sunk),
            "paper_refused": list(self.paper_refused),
            "chain_refused": list(self.chain_refused),
            "paper_usd": self.paper_usd,
            "chain_usd": self.chain_usd,
            "paper_gas_usd": self.paper_gas_usd,
            "chain_gas_usd": self.chain_gas_usd,
            "ok": self.ok,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every case, and which accounts could not be brought to the chain."""

    compared: tuple[Compared, ...]
    left_out: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all agree."""
        return bool(self.compared) and all(c.ok for c in self.compared)

    def said(self) -> str:
        """One line."""
        if not self.compared:
            return "no account could be brought to the chain"
        health = max(c.health_apart for c in self.compared)
        cost = max(c.cost_apart for c in self.compared)
        return (
            f"paper against chain: health at most {health:.1e} apart (allowed {HEALTH_APART_MAX:g}), cost at most "
            f"{100 * cost:.2f} % (allowed {100 * COST_APART_MAX:g} %): {'agree' if self.ok else 'DO NOT AGREE'}"
        )
