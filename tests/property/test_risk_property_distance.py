"""x* is the nearest boundary point in the Mahalanobis metric, by numeric search that knows nothing of
gradients.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from keeper.risk import form
from keeper.risk.book import Book

pytestmark = pytest.mark.property

SETTINGS = settings(max_examples=80, deadline=None)
number = st.floats(-5.0, 5.0).map(lambda x: round(x, 3))


@st.composite
def problems(draw, signed=True):
    n = draw(st.integers(1, 3))
    w = np.array([draw(number) for _ in range(n)])
    m0 = draw(st.one_of(st.just(0.0), number))
    if m0 + w.sum() < 0:
        w, m0 = -w, -m0
    root = np.array([[draw(st.floats(-0.6, 0.6)) for _ in range(n)] for _ in range(n)])
    return w, m0, np.ascontiguousarray(root @ root.T + 0.01 * np.eye(n))


def solve(w, m0, cov):
    n = len(w)
    book = Book(
        np.array([0, n]),
        np.arange(n, dtype=np.int32),
        w,
        np.zeros(n),
        np.array([m0]),
        np.zeros(1),
        np.ones(n),
    )
    found = form.search(book, cov)
    return int(found.status[0]), float(found.beta[0]), found.shift, found.off[0]


def margin(w, m0, y):
    return m0 + float((w * np.exp(y)).sum())


def directions(n):
    if n == 1:
        return np.array([[1.0], [-1.0]])
    if n == 2:
        angle = np.linspace(0, 2 * math.pi, 721)
        return np.c_[np.cos(angle), np.sin(angle)]
    v = np.random.default_rng(1).normal(size=(3000, 3))
    return v / np.linalg.norm(v, axis=1)[:, None]


@SETTINGS
@given(problems())
def test_form__signed_books__on_the_boundary_and_first_order(problem):
    w, m0, cov = problem
    status, beta, y, off = solve(w, m0, cov)
    if status == form.FOUND and beta > 0:
        size = abs(m0) + float(np.abs(w * np.exp(y)).sum())
        assert abs(margin(w, m0, y)) <= 1e-10 * size
        assert off[0] <= 1e-6
        assert math.sqrt(y @ np.linalg.solve(cov, y)) == pytest.approx(beta, rel=1e-6, abs=1e-9)
    elif status == form.NONE:
        assert m0 >= 0
        assert (w >= 0).all()


@SETTINGS
@given(problems())
def test_form__any_other_direction__is_not_nearer(problem):
    w, m0, cov = problem
    status, beta, _, _ = solve(w, m0, cov)
    if status != form.FOUND or not 0 < beta < 6:
        return
    rays = directions(len(w)) @ np.linalg.cholesky(cov).T
    for t in np.linspace(0.0, 0.97 * beta, 60):
        inside = m0 + (w * np.exp(t * rays)).sum(axis=1)
        assert (inside >= -1e-9 * (abs(m0) + np.abs(w).sum())).all()


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 1000))
def test_form__nearest_in_mahalanobis__no_optimiser_finds_a_nearer_point(problem, seed):
    """min |u| with margin(exp(L u)) = 0, u = L^-1 y: SLSQP from starts of its own, which knows nothing of ours."""
    w, m0, cov = problem
    status, beta, y, _ = solve(w, m0, cov)
    if status != form.FOUND or not 0.05 < beta < 6:
        return
    root = np.linalg.cholesky(cov)
    size = abs(m0) + float(np.abs(w).sum())
    assert np.linalg.norm(np.linalg.solve(root, y)) == pytest.approx(beta, rel=1e-6)
    rng = np.random.default_rng(seed)
    reached = []
    for start in [np.linalg.solve(root, y) * 1.2, *(rng.normal(size=(4, len(w))) * beta)]:
        found = minimize(
            lambda u: 0.5 * float(u @ u),
            start,
            jac=lambda u: u,
            constraints={
                "type": "eq",
                "fun": lambda u: margin(w, m0, root @ u) / size,
                "jac": lambda u: (w * np.exp(root @ u)) @ root / size,
            },
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        )
        if found.success and abs(margin(w, m0, root @ found.x)) <= 1e-9 * size:
            reached.append(float(np.linalg.norm(found.x)))
    # the constraint's tolerance over the slope at the boundary is how much nearer it may seem to be
    assert all(r >= beta * (1 - 1e-4) for r in reached), (beta, reached)


@SETTINGS
@given(problems())
def test_form__lost__only_where_nothing_is_near(problem):
    w, m0, cov = problem
    status, _, _, _ = solve(w, m0, cov)
    if status == form.LOST:
        rays = directions(len(w)) @ np.linalg.cholesky(cov).T
        for t in np.linspace(0.0, 8.0, 100):
            assert (m0 + (w * np.exp(t * rays)).sum(axis=1) >= 0).all()


@SETTINGS
@given(problems(), st.floats(0.2, 5.0))
def test_form__wider_covariance__is_nearer_in_proportion(problem, k):
    w, m0, cov = problem
    one, two = solve(w, m0, cov), solve(w, m0, np.ascontiguousarray(cov * k * k))
    if one[0] == two[0] == form.FOUND and 0 < one[1] < 4:
        assert two[1] == pytest.approx(one[1] / k, rel=1e-6)


@SETTINGS
@given(problems())
def test_ray__both_ways__margin_is_zero_there_and_positive_before(problem):
    w, m0, _ = problem
    v = np.linspace(1.0, 2.0, len(w))
    out = np.empty(2)
    form.ray(w, v, m0, out)
    for side, t in ((-1.0, out[0]), (1.0, out[1])):
        if not math.isfinite(t):
            continue
        y = side * t * v
        assert abs(margin(w, m0, y)) <= 1e-11 * (abs(m0) + float(np.abs(w * np.exp(y)).sum()))
        for s in np.linspace(0.0, 0.999, 50):
            assert margin(w, m0, s * y) >= -1e-12 * (abs(m0) + np.abs(w).sum())
