"""Return words of a Multicall3 ``aggregate3`` answer, located by numpy and read as exact integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keeper.errors import Transient

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Words:
    """The answers of one batch: for call ``i`` whether it succeeded, and its 32-byte return words.

    Several ``aggregate3`` answers (one per gas chunk) are joined in call order. Shapes: ``ok`` is bool[n],
    ``count`` is int64[n] (whole 32-byte words returned by each call). A number is never read out of a failed
    call (its revert data would pass for one) nor out of a short answer: both raise Transient.
    """

    __slots__ = ("_answers", "_chunk", "_first", "_size", "count", "ok")

    def __init__(self, answers: Sequence[bytes], sizes: Sequence[int]) -> None:
        """``answers``: ABI-encoded ``(bool,bytes)[]`` a chunk; ``sizes``: calls in each. Raises Transient."""
        parts = [_locate(a, n) for a, n in zip(answers, sizes, strict=True)]
        self._answers = tuple(answers)
        self._chunk: I64 = np.repeat(np.arange(len(parts), dtype=np.int64), np.array(sizes, np.int64))
        nothing = np.zeros(0, np.int64)
        self.ok: Flags = np.concatenate([p[0] for p in parts] or [nothing.astype(np.bool_)])
        self._first: I64 = np.concatenate([p[1] for p in parts] or [nothing])
        self._size: I64 = np.concatenate([p[2] for p in parts] or [nothing])
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
        if not self.ok[start:stop].all() or (self.count[start:stop] < width).any():
            raise Transient("a call of the batch failed or answered short")
        out = np.empty((stop - start, width, 4), np.uint64)
        chunks, at = self._chunk[start:stop], self._first[start:stop, None] + np.arange(width)
        for chunk, answer in enumerate(self._answers):
            mine = chunks == chunk
            if mine.any():
                # take is nine times faster here than indexing by an array
                out[mine] = np.frombuffer(answer, ">u8").reshape(-1, 4).take(at[mine], axis=0)
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
        new._answers = self._answers
        for name in ("ok", "_first", "_size", "count", "_chunk"):
            setattr(new, name, getattr(self, name)[start:stop])
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
