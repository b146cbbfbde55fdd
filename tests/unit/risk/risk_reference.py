"""The risk core's formulas once more, in plain Fractions, written without looking at arrays."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from keeper.model import BookRow


def assets(row: BookRow, prices: Mapping[str, float]) -> Fraction:
    return Fraction(row.a0) + sum(
        (Fraction(a) * Fraction(prices[f]) for f, a in zip(row.feeds, row.a, strict=True)), Fraction(0)
    )


def requirement(row: BookRow, prices: Mapping[str, float]) -> Fraction:
    return Fraction(row.b0) + sum(
        (Fraction(b) * Fraction(prices[f]) for f, b in zip(row.feeds, row.b, strict=True)), Fraction(0)
    )


def health(row: BookRow, prices: Mapping[str, float]) -> Fraction | None:
    needed = requirement(row, prices)
    return assets(row, prices) / needed if needed else None


def liquidation_price(row: BookRow, prices: Mapping[str, float], feed: str) -> Fraction | None:
    margin = assets(row, prices) - requirement(row, prices)
    slope = sum(
        (Fraction(a) - Fraction(b) for f, a, b in zip(row.feeds, row.a, row.b, strict=True) if f == feed),
        Fraction(0),
    )
    if slope == 0:
        return None
    root = Fraction(prices[feed]) - margin / slope
    return root if root > 0 else None


def moved(prices: Mapping[str, float], moves: Mapping[str, float]) -> dict[str, float]:
    return {f: p * (1.0 + moves.get(f, moves.get("*", 0.0))) for f, p in prices.items()}
