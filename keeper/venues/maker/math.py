"""The vault system's integer arithmetic: stability fees, spot, health and the verdict of ``Dog.bark``.

Scales: wad 1e18 (collateral, normalised debt), ray 1e27 (rates, ratios), rad 1e45 (their products). Sources: dss
Jug.drip and Jug._rpow, Spotter.poke, Vat.frob, Dog.bark, DssProxyActions._getWipeDart.

``bark`` judges by the rate and the spot that the Vat holds, but anyone may drip and poke in the same transaction: so
health is taken with the rate accrued to the block, and what a poke would make of the price is predicted beside it.
"""

from __future__ import annotations

from keeper.units import RAY, UINT256_MAX, WAD

RAD = WAD * RAY
PRICE_DECIMALS = 18
"""Prices of the vault system are wads."""


def rpow(x: int, n: int) -> int:
    """``x ** n`` in rays by squaring, each product rounded half up (Jug._rpow)."""
    z = x if n % 2 else RAY
    n //= 2
    while n:
        x = (x * x + RAY // 2) // RAY
        if n % 2:
            z = (z * x + RAY // 2) // RAY
        n //= 2
    return z


def dripped(rate: int, duty: int, base: int, age_s: int) -> int:
    """The rate after ``age_s`` seconds of fees (Jug.drip)."""
    return rpow(base + duty, age_s) * rate // RAY


def spot_of(price_wad: int, par: int, mat: int) -> int:
    """What the Vat holds after a poke: price per unit over par and over the ratio, rounded down twice."""
    return price_wad * 10**9 * RAY // par * RAY // mat


def price_down(spot: int, par: int, mat: int) -> int:
    """The price, wad, behind a spot; at most what was poked."""
    return spot * par // RAY * mat // RAY // 10**9


def is_unsafe(ink: int, art: int, spot: int, rate: int) -> bool:
    """Whether ``bark`` takes the vault: its debt exceeds what its collateral allows."""
    return spot > 0 and ink * spot < art * rate


def health_down(ink: int, art: int, spot: int, rate: int) -> int:
    """Allowed over owed, wad, rounded down: below 1e18 exactly where the vault is unsafe."""
    owed = art * rate
    return ink * spot * WAD // owed if owed else UINT256_MAX


def owed_up(art: int, rate: int) -> int:
    """Dai (wad) that closes a normalised debt, rounded up (DssProxyActions._getWipeAllWad)."""
    return -(-art * rate // RAY)


def wiped_down(units: int, art: int, rate: int) -> int:
    """Normalised debt that ``units`` of Dai repay, at most all of it (DssProxyActions._getWipeDart)."""
    return min(units * RAY // rate, art)
