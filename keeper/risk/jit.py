"""The one place that imports numba: how a kernel is declared and compiled.

A kernel is declared with its explicit signature, compiled at ``warm`` (or at first use in a command), and
after ``warm`` refuses any other signature instead of compiling again in the middle of a block.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from keeper.risk.book import EMPTY
from keeper.risk.cache import writable

_nb: Any = numba
"""numba's own types stop half way; here it is what it is at run time."""

types: Any = numba.types

F = TypeVar("F", bound=Callable[..., Any])

EVERY_BLOCK = ("keeper.risk.kernels",)
"""Modules whose ``KERNELS`` the daemon needs before it is ready."""
ON_REQUEST = (
    "keeper.risk.watch",
    "keeper.risk.form",
    "keeper.risk.sides",
    "keeper.risk.fused",
    "keeper.risk.pruned",
    "keeper.risk.passage",
    "keeper.risk.cascade",
    "keeper.risk.screen",
)
"""Those that only commands and replays use: compiled, or loaded, at first use."""

Kernels = tuple[tuple[Any, Callable[[], Any]], ...]
"""(kernel, maker of its numba signature) pairs; signatures are made late because NamedTuple types cost
time.
"""


def compiled() -> bool:
    """False under ``NUMBA_DISABLE_JIT=1``, where kernels are plain Python functions."""
    return not _nb.config.DISABLE_JIT


def kernel(function: F) -> F:
    """A compiled kernel: IEEE semantics (NaN stays NaN), division by zero gives inf or NaN, no GIL."""
    options = {"cache": _cached(), "error_model": "numpy", "nogil": True}
    return cast(F, _nb.njit(**options)(function))


def lean(function: F) -> F:
    """A kernel that allocates nothing and therefore counts no references: of a dozen arrays in a hot loop numba
    fails to remove the counting, which then costs more than the arithmetic."""
    options = {"cache": _cached(), "error_model": "numpy", "nogil": True, "_nrt": False}
    return cast(F, _nb.njit(**options)(function))


def inlined(function: F) -> F:
    """A piece of a kernel, always inlined: a call would pass every array of a book by value."""
    return cast(F, _nb.njit(cache=_cached(), error_model="numpy", nogil=True, forceinline=True)(function))


def formula(function: F) -> F:
    """A longer piece of a kernel, called: inlined everywhere it would take minutes to compile."""
    return cast(F, _nb.njit(cache=_cached(), error_model="numpy", nogil=True)(function))


def record_type(example: object) -> Any:
    """The numba type of a NamedTuple of arrays, by an example of it."""
    return _nb.typeof(example)


def signature(pattern: str, **records: Any) -> Any:
    """A kernel's void signature from letters: B book, d float64, l int64, v float64[:], m float64[:, :],
    i int64[:], t int32[:], b boolean, and those of ``records``; every array contiguous."""
    letters = {
        "B": _nb.typeof(EMPTY),
        "d": _nb.float64,
        "l": _nb.int64,
        "v": _nb.float64[::1],
        "m": _nb.float64[:, ::1],
        "i": _nb.int64[::1],
        "t": _nb.int32[::1],
        "b": _nb.boolean,
        **records,
    }
    return _nb.void(*(letters[c] for c in pattern))


def scalars() -> Any:
    """The signature of a formula of two numbers."""
    return _nb.float64(_nb.float64, _nb.float64)


def warm(everything: bool) -> int:
    """Compile, or load, the daemon's kernels, or every one; returns how many."""
    count = 0
    for name in EVERY_BLOCK + (ON_REQUEST if everything else ()):
        kernels: Kernels = importlib.import_module(name).KERNELS
        for function, signature in kernels:
            count += 1
            if compiled():
                _compile(function, signature())
    return count


def _compile(function: Any, signature: Any) -> None:
    if signature.args in function.overloads:
        return
    try:
        function.compile(signature)
    except OSError:
        # the cache became unwritable after it was probed: compile in memory rather than not at all
        function._cache = _nb.core.caching.NullCache()
        function.compile(signature)
    function.disable_compile()


def _cached() -> bool:
    # njit(cache=True) raises at import when no folder can be written, so ask first
    folder = _nb.config.CACHE_DIR
    return bool(folder) and writable(Path(folder))
