"""Small vector formulas inside the distance kernels: margin and gradient on log prices, products, a
solver.
"""

from __future__ import annotations

import math

from keeper.risk.book import Floats
from keeper.risk.jit import formula


@formula
def margin_at(w: Floats, y: Floats, m0: float, g: Floats) -> float:
    """M(y) and g_j = w_j exp(y_j), the gradient."""
    total = m0
    for j in range(w.shape[0]):
        g[j] = w[j] * math.exp(y[j])
        total += g[j]
    return total


@formula
def turnover(g: Floats, m0: float) -> float:
    """What M's rounding is measured against."""
    total = abs(m0)
    for j in range(g.shape[0]):
        total += abs(g[j])
    return total


@formula
def dot(a: Floats, b: Floats) -> float:
    """a . b"""
    total = 0.0
    for j in range(a.shape[0]):
        total += a[j] * b[j]
    return total


@formula
def times(c: Floats, v: Floats, out: Floats) -> None:
    """out = C v"""
    for i in range(v.shape[0]):
        total = 0.0
        for j in range(v.shape[0]):
            total += c[i, j] * v[j]
        out[i] = total


@formula
def solve(matrix: Floats, b: Floats, n: int) -> bool:
    """Gauss with partial pivoting, in place; the solution in ``b``. False when singular."""
    for i in range(n):
        p = i
        for r in range(i + 1, n):
            if abs(matrix[r, i]) > abs(matrix[p, i]):
                p = r
        if not abs(matrix[p, i]) > 1e-300:
            return False
        if p != i:
            for q in range(n):
                matrix[i, q], matrix[p, q] = matrix[p, q], matrix[i, q]
            b[i], b[p] = b[p], b[i]
        for r in range(i + 1, n):
            f = matrix[r, i] / matrix[i, i]
            if f != 0.0:
                for q in range(i, n):
                    matrix[r, q] -= f * matrix[i, q]
                b[r] -= f * b[i]
    for i in range(n - 1, -1, -1):
        for q in range(i + 1, n):
            b[i] -= matrix[i, q] * b[q]
        b[i] /= matrix[i, i]
    return True
