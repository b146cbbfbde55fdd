"""Return words of a Multicall3 ``aggregate3`` answer, located by numpy and read as exact integers."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from keeper.errors import Transient

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SHAPES_MAX = 16
"""Shapes of even answers whose opening words are kept: 64 KB each for 1,000 calls."""
_LEAD = 3 * 64
"""Hex digits before the payload of one result: success flag, offset of the bytes, their length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Even:
    """An ``aggregate3`` answer whose ``n`` calls all succeeded with ``width`` whole words: those words, joined."""

    payload: memoryview
    n: int
    width: int


class Words:
    """The answers of one batch: for call ``i`` whether it succeeded, and its 32-byte return words.

    Several ``aggregate3`` answers (one per gas chunk) are joined in call order. Shapes: ``ok`` is bool[n],
    ``count`` is int64[n] (whole 32-byte words returned by each call). A number is never read out of a failed
    call (its revert data would pass for one) nor out of a short answer: both raise Transient.
    """

    __slots__ = ("_answers", "_chunk", "_first", "_size", "_widths", "count", "ok")

    def __init__(self, answers: Sequence[bytes | Even], sizes: Sequence[int]) -> None:
        """``answers``: ABI-encoded ``(bool,bytes)[]`` a chunk; ``sizes``: calls in each. Raises Transient."""
        parts = [_place(a, n) for a, n in zip(answers, sizes, strict=True)]
        self._answers = tuple(a.payload if isinstance(a, Even) else a for a in answers)
        evens = [a.width for a in answers if isinstance(a, Even)]
        self._widths = tuple(evens) if len(evens) == len(parts) else ()
        """Words per result of each chunk, when every chunk is even and none of its results was replaced."""
        if len(parts) == 1:
            self.ok, self._first, self._size = parts[0]
            self._chunk: I64 = np.zeros(sizes[0], np.int64)
        else:
            nothing = np.zeros(0, np.int64)
            self._chunk = np.repeat(np.arange(len(parts), dtype=np.int64), np.array(sizes, np.int64))
            self.ok = np.concatenate([p[0] for p in parts] or [nothing.astype(np.bool_)])
            self._first = np.concatenate([p[1] for p in parts] or [nothing])
            self._size = np.concatenate([p[2] for p in parts] or [nothing])
        self.count: I64 = self._size // 32

    def __len__(self) -> int:
        return len(self.ok)

    def uint(self, i: int, k: int = 0) -> int:
        """Word ``k`` of answer ``i`` as an unsigned integer. Transient when the call failed or fell short."""
        self._check(i, k + 1)
        if k < 0:
            raise IndexError(f"word {k} asked")
        start = (int(self._first[i]) + k) * 32
        return int.from_bytes(self._answers[int(self._chunk[i])][start : start + 32])

    def uints(self, i: int) -> tuple[int, ...]:
        """Every whole word of answer ``i`` as unsigned integers. Transient when the call failed."""
        self._check(i, 0)
        raw = self.raw(i)
        return tuple(int.from_bytes(raw[j : j + 32]) for j in range(0, len(raw), 32))

    def raw(self, i: int) -> bytes:
        """The whole 32-byte words of answer ``i``, as bytes; of a failed call too."""
        return self._bytes(i, 32 * int(self.count[i]))

    def data(self, i: int) -> bytes:
        """Every byte of answer ``i``: return data, or the revert data of a failed call."""
        return self._bytes(i, int(self._size[i]))

    def limbs(self, start: int, stop: int, width: int) -> U64:
        """Answers ``start:stop`` of ``width`` words each as uint64[n, width, 4], most significant limb first.

        Raises Transient when one of them failed or has fewer words.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"answers {start}:{stop} of {len(self)} asked")
        out = np.empty((stop - start, width, 4), np.uint64)
        if self._widths and min(self._widths) >= width:
            return self._even_limbs(start, stop, out)
        if not self.ok[start:stop].all() or (self.count[start:stop] < width).any():
            raise Transient("a call of the batch failed or answered short")
        chunks, at = self._chunk[start:stop], self._first[start:stop, None] + np.arange(width)
        for chunk, answer in enumerate(self._answers):
            mine = chunks == chunk
            if mine.any():
                # take is nine times faster here than indexing by an array
                out[mine] = np.frombuffer(answer, ">u8").reshape(-1, 4).take(at[mine], axis=0)
        return out

    def _even_limbs(self, start: int, stop: int, out: U64) -> U64:
        """``limbs`` of even chunks: each lies there as a table, so it takes no list of places."""
        chunks, width = self._chunk[start:stop], out.shape[1]
        edges = chunks.searchsorted(range(len(self._widths) + 1)).tolist()
        for answer, wide, a, b in zip(self._answers, self._widths, edges, edges[1:], strict=False):
            if a < b:
                row = int(self._first[start + a]) // wide
                out[a:b] = np.frombuffer(answer, ">u8").reshape(-1, wide, 4)[row : row + b - a, :width]
        return out

    def failed(self) -> list[int]:
        """Indices of the calls that did not succeed."""
        return [int(i) for i in np.flatnonzero(~self.ok)]

    def replaced(self, at: Sequence[int], other: Words) -> Words:
        """A copy in which the answers at ``at`` are those of ``other``, in order."""
        if len(at) != len(other):
            raise ValueError(f"{len(other)} answers for {len(at)} places")
        new = Words((), ())
        where = np.array(at, np.int64)
        new._answers = self._answers + other._answers
        for name in ("ok", "_first", "_size", "count"):
            column = getattr(self, name).copy()
            column[where] = getattr(other, name)
            setattr(new, name, column)
        new._chunk = self._chunk.copy()
        new._chunk[where] = other._chunk + len(self._answers)
        return new

    def part(self, start: int, stop: int) -> Words:
        """Answers ``start:stop`` as words of their own (views, nothing is copied)."""
        new = Words((), ())
        new._answers, new._widths = self._answers, self._widths
        for name in ("ok", "_first", "_size", "count", "_chunk"):
            setattr(new, name, getattr(self, name)[start:stop])
        return new

    def _bytes(self, i: int, size: int) -> bytes:
        start = int(self._first[i]) * 32
        return bytes(self._answers[int(self._chunk[i])][start : start + size])

    def _check(self, i: int, words: int) -> None:
        if not 0 <= i < len(self):
            raise IndexError(f"answer {i} of {len(self)} asked")
        if not self.ok[i]:
            raise Transient(f"call {i} of the batch failed")
        if words > self.count[i]:
            raise Transient(f"call {i} of the batch answered {self.count[i]} words, {words} needed")


def from_hex(digits: bytes | bytearray, start: int, stop: int, n: int) -> bytes | Even:
    """The ``aggregate3`` answer of ``n`` calls out of ``digits[start:stop]``. Raises Transient if it is not hex.

    What it returns keeps nothing of ``digits``. Even answers, the usual case of a large read, are recognised
    while they are still hex: 1,000 results of six words take a third of what decoding all of them takes.
    """
    try:
        return _even(digits, start, stop, n) or binascii.unhexlify(memoryview(digits)[start:stop])
    except ValueError:
        raise Transient("eth_call answered something that is not hex") from None


def _even(digits: bytes | bytearray, start: int, stop: int, n: int) -> Even | None:
    """The answer if it is even and written canonically, else None. Raises ValueError if it is not hex.

    Each character is held to what it must be: those of the offsets and of every result's first three words by
    comparison, those of the payload by decoding. A column of eight digits that is the same in all results is
    compared with the first result's and decoded there; so zeros, most of any payload, cost one comparison.
    """
    first_at = start + 64 * (2 + n)
    step, rest = divmod(stop - first_at, n) if n else (0, 0)
    width, part = divmod(step - _LEAD, 64)
    if rest or part or width < 1 or not digits.startswith(_opening(n, width), start):
        return None
    grid = np.frombuffer(digits, np.uint64, n * step // 8, first_at).reshape(n, step // 8)
    (changing,) = (~np.logical_and.reduce(grid == grid[0])).nonzero()
    if len(changing) and changing[0] < _LEAD // 8:
        return None
    words = np.empty((n, 8 * width), np.uint32)
    words[:] = np.frombuffer(binascii.unhexlify(digits[first_at + _LEAD : first_at + step]), np.uint32)
    # indexing by an array is eight times faster than take here, and leaves each column in one piece
    columns = np.ascontiguousarray(grid[:, changing].T)
    told = np.frombuffer(binascii.unhexlify(columns.data), np.uint32).reshape(-1, n)
    for column, values in zip((changing - _LEAD // 8).tolist(), told, strict=True):
        words[:, column] = values
    return Even(payload=words.data.cast("B"), n=n, width=width)


@lru_cache(maxsize=SHAPES_MAX)
def _opening(n: int, width: int) -> bytes:
    """Hex of an even answer up to the payload of its first result, as Solidity encodes it."""
    step = 32 * (3 + width)
    offsets = [32 * n + i * step for i in range(n)]
    return b"".join(w.to_bytes(32) for w in (32, n, *offsets, 1, 64, 32 * width)).hex().encode("ascii")


def _place(answer: bytes | Even, n: int) -> tuple[Flags, I64, I64]:
    """``_locate``, of which an even answer has no need."""
    if not isinstance(answer, Even):
        return _locate(answer, n)
    if answer.n != n:
        raise ValueError(f"an answer of {answer.n} results for {n} calls")
    size = 32 * answer.width
    first = np.arange(0, n * answer.width, answer.width, dtype=np.int64)
    return np.ones(n, np.bool_), first, np.full(n, size, np.int64)


def _locate(answer: bytes, n: int) -> tuple[Flags, I64, I64]:
    """(ok, first word, byte count) of each of ``n`` results inside one answer; refuses a malformed one.

    Every word that is read as a number here must be small and canonical: its upper 24 bytes are zero, offsets
    are whole words behind the table of offsets, a flag is 0 or 1.
    """
    if len(answer) % 32 or len(answer) < 64 + 32 * n:
        raise Transient(f"multicall answered {len(answer)} bytes for {n} calls")
    grid = np.frombuffer(answer, ">u8").reshape(-1, 4)
    top, total = grid[: 2 + n].astype(np.uint64), len(grid)
    if top[:2, :3].any() or int(top[0, 3]) != 32 or int(top[1, 3]) != n:
        raise Transient(f"multicall did not answer {n} results")
    if n == 0:
        return np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64)
    offsets = top[2:, 3]
    # compared as uint64 first: a hostile offset above 2**63 must not turn negative
    if top[2:, :3].any() or (offsets & np.uint64(31)).any() or int(offsets.max()) > 32 * total:
        raise Transient("multicall answer points outside itself")
    heads = (offsets >> np.uint64(5)).astype(np.int64) + 2
    if int(heads.min()) < 2 + n or int(heads.max()) + 3 > total:
        raise Transient("multicall answer points outside itself")
    table = grid.take(heads[:, None] + np.arange(3), axis=0).astype(np.uint64)
    flags, inner, sizes = table[:, 0, 3], table[:, 1, 3], table[:, 2, 3]
    if table[:, :, :3].any() or (flags > 1).any() or (inner != 64).any():
        raise Transient("multicall answer is malformed")
    if int(sizes.max()) > 32 * total:
        raise Transient("multicall answer claims more bytes than it has")
    size, first = sizes.astype(np.int64), heads + 3
    if int((first + (size + 31) // 32).max()) > total:
        raise Transient("multicall answer is truncated")
    return flags == 1, first, size
