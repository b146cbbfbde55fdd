"""The fused sweep in float32 (kernel): twice the numbers in a register, rounding said and bounded.

Counts and first scenarios are those of float64. A sum of n terms in float32 is off by at most
e = (n + 8) 2^-22 size, size = the sum of the terms' absolute values at each feed's highest price; a group in
which some |c - d| <= e, or some d is not far above e, is computed in float64. What float32 leaves: the minimum
is off by at most e (1 + |minimum|) / d and each requirement added up by at most e.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keeper.risk.book import Floats
from keeper.risk.fused import WIDE, open_groups, ranges, reset, room_for
from keeper.risk.groups import GROUP, LARGEST, Room, Tally, examine
from keeper.risk.jit import Kernels, inlined, lean, record_type, signature
from keeper.risk.pairs import judge_pairs
from keeper.risk.sides import Sides, empty_sides
from keeper.risk.simd import (
    LANES,
    add,
    bits,
    choose,
    div,
    either,
    fma,
    halves,
    least,
    less,
    load,
    lowest,
    minimum,
    mul,
    spread,
    store,
    where,
    widen,
)

Singles = npt.NDArray[np.float32]

_BITS = 2.0**-22
"""Twice float32's spacing at 1: conversion of both factors, product and sum, doubled."""
_CLEAR = np.float32(16.0)
"""Times e: a requirement below is too near nothing to divide by."""
_FEWEST, _MOST = 1e-6, 1e30
"""Turnovers in USD within which float32 neither overflows nor loses small terms that matter."""
_WIDE_LANES = 2 * LANES
_FAR = np.float32(math.inf)
_NOTHING = np.float32(0.0)


class Short(NamedTuple):
    """A book's and its scenarios' numbers in float32: ``weight`` float32[N], ``prices`` float32[F, S]; and in
    float64 ``top`` float64[F] each feed's highest price, ``error`` float64[] e of one block of positions."""

    weight: Singles
    prices: Singles
    top: Floats
    error: Floats


@inlined
def side(sides: Sides, short: Short, first: Any, last: Any, s: Any) -> Any:
    """Two vectors of sum weight x price over entries first:last, for the group from s on."""
    n = np.uint64(short.prices.shape[1])
    c0, c1 = spread(_NOTHING), spread(_NOTHING)
    for j in range(first, last):
        o = np.uint64(sides.feed[j]) * n + s
        x = spread(short.weight[j])
        c0 = fma(x, load(short.prices, o), c0)
        c1 = fma(x, load(short.prices, o + np.uint64(_WIDE_LANES)), c1)
    return c0, c1


@inlined
def quotient(c: Any, d: Any) -> Any:
    """c / d in every lane; without requirement +inf when nothing is missing, -inf when something is."""
    zero = spread(_NOTHING)
    bare = choose(less(c, zero), spread(-_FAR), spread(_FAR))
    return choose(less(zero, d), div(c, d), bare)


@inlined
def smallest(tally: Tally, i: Any, s: Any, c: Any, d: Any) -> None:
    """The minimum over one group, where it undercuts what the tally has."""
    h0, h1 = quotient(c[0], d[0]), quotient(c[1], d[1])
    here = least(minimum(h0, h1))
    if here < tally.low[i]:
        tally.low[i] = here
        x = spread(here)
        above = bits(less(x, h0)) | (bits(less(x, h1)) << _WIDE_LANES)
        tally.worst[i] = np.int64(s) + lowest(~above)


@inlined
def record(tally: Tally, s: Any, mask: Any, d: Any) -> None:
    """Count and add up, in float64, the lanes of one vector that are liquidatable."""
    one, (m0, m1), (d0, d1) = spread(1.0), halves(mask), widen(d)
    t = s + np.uint64(LANES)
    store(tally.hits, s, add(load(tally.hits, s), where(m0, one)))
    store(tally.hits, t, add(load(tally.hits, t), where(m1, one)))
    store(tally.notional, s, add(load(tally.notional, s), where(m0, d0)))
    store(tally.notional, t, add(load(tally.notional, t), where(m1, d1)))


@inlined
def look(sides: Sides, short: Short, here: Tally, at: Any) -> bool:
    """As ``groups.examine``, in float32; False, and nothing done, where that does not decide."""
    u, i, s = at
    begin, mid = np.uint64(sides.start[u]), np.uint64(sides.middle[u])
    c0, c1 = side(sides, short, begin, mid, s)
    d0, d1 = side(sides, short, mid, np.uint64(sides.start[u + np.uint64(1)]), s)
    a0, b0 = spread(np.float32(sides.a0[u])), spread(np.float32(sides.b0[u]))
    c0, c1, d0, d1 = add(c0, a0), add(c1, a0), add(d0, b0), add(d1, b0)
    error = np.float32(short.error[i])
    up, down, clear = spread(error), spread(-error), spread(error * _CLEAR)
    sure0, sure1 = less(c0, add(d0, down)), less(c1, add(d1, down))
    maybe0, maybe1 = less(c0, add(d0, up)), less(c1, add(d1, up))
    sure = bits(sure0) | (bits(sure1) << _WIDE_LANES)
    maybe = bits(maybe0) | (bits(maybe1) << _WIDE_LANES)
    if sure != maybe or bits(either(less(d0, clear), less(d1, clear))) != 0 or not error < _FAR:
        return False
    edge = spread(np.float32(min(here.low[i], _MOST)))
    if bits(either(less(c0, mul(edge, d0)), less(c1, mul(edge, d1)))) != 0:
        smallest(here, i, s, (c0, c1), (d0, d1))
    if sure != 0:
        if here.first[i] < 0:
            here.first[i] = np.int64(s) + lowest(sure)
        record(here, s, sure0, d0)
        record(here, s + np.uint64(_WIDE_LANES), sure1, d1)
    return True


@inlined
def errors(sides: Sides, short: Short, span: Any) -> None:
    """e of positions span[0]:span[1]; inf where float32 is not fit for the numbers."""
    for u in range(np.uint64(span[0]), np.uint64(span[1])):
        size, fit = abs(sides.a0[u]) + sides.b0[u], True
        first, last = np.uint64(sides.start[u]), np.uint64(sides.start[u + np.uint64(1)])
        for j in range(first, last):
            top = short.top[np.uint64(sides.feed[j])]
            size += abs(sides.weight[j]) * top
            fit = fit and abs(sides.weight[j]) <= _MOST and top <= _MOST
        fit = fit and size >= _FEWEST and size <= _MOST
        n = np.int64(last - first) + 8
        short.error[u - np.uint64(span[0])] = n * _BITS * size if fit else math.inf


@inlined
def sweep(sides: Sides, prices: Floats, room: Room, short: Short, span: Any) -> None:
    """As ``fused.sweep``, the first group before the bounds of its neighbours; ``span`` (first, last, group,
    results)."""
    at, here, groups = span[2], span[3], prices.shape[1] // GROUP
    valid = (1 << min(WIDE, groups - at)) - (2 if at == 0 else 1)
    for u in range(np.uint64(span[0]), np.uint64(span[1])):
        i = u - np.uint64(span[0])
        if room.todo[i] == 0:
            continue
        for turn in range(0 if at == 0 else 1, 2):
            work = 1
            if turn == 1:
                m = min(max(here.low[i], 1.0), LARGEST)
                work = open_groups(sides, room.table, u, m, np.uint64(at)) & valid
            while work != 0:
                place = (u, i, np.uint64((at + lowest(work)) * GROUP))
                if not look(sides, short, here, place):
                    examine(sides, prices, here, place)
                work &= work - 1


@lean
def run(sides: Sides, prices: Floats, short: Short, room: Room, tally: Tally) -> None:
    """``fused.run`` with ``look`` before ``examine``."""
    users, groups, block = sides.a0.shape[0], prices.shape[1] // GROUP, room.todo.shape[0]
    ranges(prices, room.table)
    here = Tally(room.low, room.worst, room.first, tally.hits, tally.notional)
    for u0 in range(0, users, block):
        u1 = min(u0 + block, users)
        reset(sides, here, room.todo, (u0, u1))
        errors(sides, short, (u0, u1))
        if groups > 0:
            judge_pairs(sides, prices, room, here, (u0, u1))
        for at in range(0, groups, WIDE):
            sweep(sides, prices, room, short, (u0, u1, at, here))
        for u in range(u0, u1):
            i, r = np.uint64(u - u0), np.uint64(sides.row[np.uint64(u)])
            tally.low[r], tally.worst[r], tally.first[r] = here.low[i], here.worst[i], here.first[i]


def shortened(sides: Sides, prices: Floats) -> Short:
    """The numbers of a sweep in float32."""
    with np.errstate(over="ignore"):
        weight, narrow = sides.weight.astype(np.float32), prices.astype(np.float32)
    top = prices.max(axis=1, initial=0.0)
    return Short(weight, narrow, top, np.zeros(len(room_for(0, 0).todo)))


def fused_single(sides: Sides, prices: Floats, tally: Tally) -> None:
    """As ``fused.fused``, in float32."""
    run(sides, prices, shortened(sides, prices), room_for(prices.shape[0], prices.shape[1]), tally)


def _types() -> object:
    """The signature of ``run``."""
    floats, whole = np.zeros(1), np.zeros(1, np.int64)
    tally = record_type(Tally(floats, whole, whole, floats, floats))
    short = record_type(shortened(empty_sides(0, 0), np.zeros((1, GROUP))))
    room = record_type(room_for(1, GROUP))
    return signature("SmHRT", S=record_type(empty_sides(0, 0)), H=short, R=room, T=tally)


KERNELS: Kernels = ((run, _types),)
