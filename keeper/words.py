"""Return words of a Multicall3 ``aggregate3`` answer, located by numpy and read as exact integers."""

from __future__ import annotations

import binascii
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from keeper.errors import Transient

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SHAPES_MAX = 16
"""Shapes of even answers of which what never changes is kept: 0.1 MB each for 1,000 calls."""
_LEAD = 3 * 64
"""Hex digits before the payload of one result: success flag, offset of the bytes, their length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Even:
    """An ``aggregate3`` answer whose calls all succeeded with equally many whole words, as numbers already.

    ``limbs`` is uint64[n, width, 4], most significant limb first, and read-only.
    """

    limbs: U64

    def __getitem__(self, at: slice) -> bytes:
        """The calls' return data, joined, as bytes; ``at`` counts bytes and cuts between words."""
        return self.limbs.reshape(-1)[at.start // 8 : at.stop // 8].astype(">u8").tobytes()


class Words:
    """The answers of one batch: for call ``i`` whether it succeeded, and its 32-byte return words.

    Several ``aggregate3`` answers (one per gas chunk) are joined in call order. Shapes: ``ok`` is bool[n],
    ``count`` is int64[n] (whole 32-byte words returned by each call). A number is never read out of a failed
    call (its revert data would pass for one) nor out of a short answer: both raise Transient.
    """

    __slots__ = ("_answers", "_chunk", "_even", "_first", "_size", "count", "ok")

    def __init__(self, answers: Sequence[bytes | Even], sizes: Sequence[int]) -> None:
        """``answers``: ABI-encoded ``(bool,bytes)[]`` a chunk; ``sizes``: calls in each. Raises Transient."""
        self._even = _joined(answers, sizes)
        """The one table in which answer ``i`` is row ``self._first[i] / width``, if there is such a table."""
        if self._even is not None:
            self._answers: tuple[bytes | Even, ...] = (self._even,)
            self.ok, self.count, self._chunk, self._first, self._size = _frame(*self._even.limbs.shape[:2])
            return
        parts = [_place(a, n) for a, n in zip(answers, sizes, strict=True)]
        self._answers = tuple(answers)
        self._chunk = np.repeat(np.arange(len(parts), dtype=np.int64), np.array(sizes, np.int64))
        nothing = np.zeros(0, np.int64)
        self.ok = np.concatenate([p[0] for p in parts] or [nothing.astype(np.bool_)])
        self._first = np.concatenate([p[1] for p in parts] or [nothing])
        self._size = np.concatenate([p[2] for p in parts] or [nothing])
        self.count = self._size // 32

    @classmethod
    def joined(cls, parts: Sequence[Words]) -> Words:
        """The answers of several batches as one, in order: as if all of them had been located together."""
        if len(parts) < 2:
            return parts[0] if parts else cls((), ())
        answers = [a for part in parts for a in part._answers]
        if (even := _joined(answers, [len(part) for part in parts])) is not None:
            return cls([even], [len(even.limbs)])
        new = cls.__new__(cls)
        new._answers, new._even = tuple(answers), None
        starts = accumulate([len(part._answers) for part in parts[:-1]], initial=0)
        new._chunk = np.concatenate([part._chunk + at for part, at in zip(parts, starts, strict=True)])
        for name in ("ok", "_first", "_size", "count"):
            setattr(new, name, np.concatenate([getattr(part, name) for part in parts]))
        return new

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

    def answers(self) -> tuple[tuple[bool, bytes], ...]:
        """Of each call whether it succeeded and every byte that it answered: for comparing two readings exactly."""
        at, first, sizes = self._chunk.tolist(), self._first.tolist(), self._size.tolist()
        told = [self._answers[c][32 * f : 32 * f + size] for c, f, size in zip(at, first, sizes, strict=True)]
        return tuple(zip(self.ok.tolist(), told, strict=True))

    def limbs(self, start: int, stop: int, width: int) -> U64:
        """Answers ``start:stop`` of ``width`` words each as uint64[n, width, 4], most significant limb first.

        Not to be written into: it may be a view. Raises Transient when one of them failed or has fewer words.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"answers {start}:{stop} of {len(self)} asked")
        if self._even is not None and start < stop and width <= self._even.limbs.shape[1]:
            row = int(self._first[start]) // self._even.limbs.shape[1]
            return self._even.limbs[row : row + stop - start, :width]
        return self._taken(start, stop, range(width))

    def column(self, start: int, stop: int, k: int) -> U64:
        """Word ``k`` of the answers ``start:stop`` as uint64[n, 4]; as ``limbs(start, stop, k + 1)[:, k]``."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"answers {start}:{stop} of {len(self)} asked")
        if self._even is not None and start < stop and k < self._even.limbs.shape[1]:
            row = int(self._first[start]) // self._even.limbs.shape[1]
            return self._even.limbs[row : row + stop - start, k]
        return self._taken(start, stop, range(k, k + 1))[:, 0]

    def _taken(self, start: int, stop: int, which: range) -> U64:
        """Those words of each of the answers. Raises Transient when one of them failed or fell short."""
        if not self.ok[start:stop].all() or (self.count[start:stop] < which.stop).any():
            raise Transient("a call of the batch failed or answered short")
        out = np.empty((stop - start, len(which), 4), np.uint64)
        if start == stop:
            return out
        chunks, at = self._chunk[start:stop], self._first[start:stop, None] + np.array(which, np.int64)
        for chunk in sorted(set(chunks.tolist())):
            mine = chunks == chunk
            # take is nine times faster here than indexing by an array
            out[mine] = _rows(self._answers[chunk]).take(at[mine], axis=0)
        return out

    def failed(self) -> list[int]:
        """Indices of the calls that did not succeed."""
        if self._even is not None:
            return []
        return [int(i) for i in np.flatnonzero(~self.ok)]

    def replaced(self, at: Sequence[int], other: Words) -> Words:
        """A copy in which the answers at ``at`` are those of ``other``, in order."""
        if len(at) != len(other):
            raise ValueError(f"{len(other)} answers for {len(at)} places")
        new = Words.__new__(Words)
        where = np.array(at, np.int64)
        new._answers, new._even = self._answers + other._answers, None
        for name in ("ok", "_first", "_size", "count"):
            column = getattr(self, name).copy()
            column[where] = getattr(other, name)
            setattr(new, name, column)
        new._chunk = self._chunk.copy()
        new._chunk[where] = other._chunk + len(self._answers)
        return new

    def part(self, start: int, stop: int) -> Words:
        """Answers ``start:stop`` as words of their own (views, nothing is copied)."""
        new = Words.__new__(Words)
        new._answers, new._even = self._answers, self._even
        for name in ("ok", "_first", "_size", "count", "_chunk"):
            setattr(new, name, getattr(self, name)[start:stop])
        return new

    def taken(self, at: Sequence[int] | I64) -> Words:
        """The answers at ``at``, in that order, as words of their own; nothing of them is copied."""
        # no table of its own: there the rows are read by spans, and these may lie anywhere in it
        new = Words.__new__(Words)
        new._answers, new._even = self._answers, None
        where = np.array(at, np.int64)
        for name in ("ok", "_first", "_size", "count", "_chunk"):
            setattr(new, name, getattr(self, name)[where])
        return new

    def _bytes(self, i: int, size: int) -> bytes:
        start = int(self._first[i]) * 32
        return self._answers[int(self._chunk[i])][start : start + size]

    def _check(self, i: int, words: int) -> None:
        if not 0 <= i < len(self):
            raise IndexError(f"answer {i} of {len(self)} asked")
        if not self.ok[i]:
            raise Transient(f"call {i} of the batch failed")
        if words > self.count[i]:
            raise Transient(f"call {i} of the batch answered {self.count[i]} words, {words} needed")


def from_hex(digits: memoryview, n: int) -> bytes | Even:
    """The ``aggregate3`` answer of ``n`` calls out of its hex digits. Raises Transient if they are none.

    What it returns keeps nothing of ``digits``. Even answers, the usual case of a large read, are recognised
    while they are still hex: 1,000 results of six words take a third of what decoding all of them takes.
    """
    try:
        return _even(digits, n) or binascii.unhexlify(digits)
    except ValueError:
        raise Transient("eth_call answered something that is not hex") from None


def _even(digits: memoryview, n: int) -> Even | None:
    """The answer if it is even and written canonically, else None. Raises ValueError if it is not hex.

    Each character is held to what it must be: those of the offsets and of every result's first three words by
    comparison, those of the payload by decoding. A column of eight digits that is the same in all results is
    compared with the first result's and decoded there; so zeros, most of any payload, cost one comparison.
    """
    first_at = 64 * (2 + n)
    step, rest = divmod(len(digits) - first_at, n) if n else (0, 0)
    width, part = divmod(step - _LEAD, 64)
    if rest or part or width < 1 or sys.byteorder != "little":
        return None
    opening = _opening(n, width)
    # two memoryviews would be compared byte by byte
    if bytes(digits[: len(opening)]) != opening:
        return None
    grid = np.frombuffer(digits, np.uint64, n * step // 8, first_at).reshape(n, step // 8)
    (changing,) = (~np.logical_and.reduce(grid == grid[0])).nonzero()
    if len(changing) and changing[0] < _LEAD // 8:
        return None
    # each row of ``halves`` is a result's payload in native halves of limbs, the low half before the high one
    halves = np.empty((n, 8 * width), np.uint32)
    first = binascii.unhexlify(digits[first_at + _LEAD : first_at + step])
    halves[:] = np.frombuffer(first, ">u8").astype(np.uint64).view(np.uint32)
    # indexing by an array is eight times faster than take here, and leaves each column in one piece
    columns = np.ascontiguousarray(grid[:, changing].T)
    told = np.frombuffer(binascii.unhexlify(columns.data), ">u4").astype(np.uint32).reshape(-1, n)
    halves[:, (changing - _LEAD // 8) ^ 1] = told.T
    limbs = halves.view(np.uint64).reshape(n, width, 4)
    limbs.flags.writeable = False
    return Even(limbs=limbs)


@lru_cache(maxsize=SHAPES_MAX)
def _opening(n: int, width: int) -> bytes:
    """Hex of an even answer up to the payload of its first result, as Solidity encodes it."""
    step = 32 * (3 + width)
    offsets = [32 * n + i * step for i in range(n)]
    return b"".join(w.to_bytes(32) for w in (32, n, *offsets, 1, 64, 32 * width)).hex().encode("ascii")


@lru_cache(maxsize=SHAPES_MAX)
def _frame(n: int, width: int) -> tuple[Flags, I64, I64, I64, I64]:
    """(ok, word count, chunk, first word, byte count) of each result of an even answer; read-only."""
    count, first = np.full(n, width, np.int64), np.arange(0, n * width, width, dtype=np.int64)
    frame = np.ones(n, np.bool_), count, np.zeros(n, np.int64), first, 32 * count
    for column in frame:
        column.flags.writeable = False
    return frame


def _joined(answers: Sequence[bytes | Even], sizes: Sequence[int]) -> Even | None:
    """All answers as one table, if every one is even and they are equally wide."""
    tables = [a.limbs for a in answers if isinstance(a, Even)]
    if not tables or len(tables) < len(answers) or len({t.shape[1] for t in tables}) > 1:
        return None
    if [len(t) for t in tables] != list(sizes):
        raise ValueError(f"answers of {[len(t) for t in tables]} results for {list(sizes)} calls")
    if len(tables) == 1:
        return Even(limbs=tables[0])
    limbs = np.concatenate(tables)
    limbs.flags.writeable = False
    return Even(limbs=limbs)


def _rows(answer: bytes | Even) -> npt.NDArray[np.uint64]:
    """The words of an answer, a row of four limbs each."""
    return (
        answer.limbs.reshape(-1, 4)
        if isinstance(answer, Even)
        else np.frombuffer(answer, ">u8").reshape(-1, 4)
    )


def _place(answer: bytes | Even, n: int) -> tuple[Flags, I64, I64]:
    """``_locate``, of which an even answer has no need."""
    if not isinstance(answer, Even):
        return _locate(answer, n)
    if len(answer.limbs) != n:
        raise ValueError(f"an answer of {len(answer.limbs)} results for {n} calls")
    ok, _, _, first, size = _frame(*answer.limbs.shape[:2])
    return ok, first, size


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
