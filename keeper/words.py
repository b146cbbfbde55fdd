"""Return words of a Multicall3 ``aggregate3`` answer, located by numpy and read as exact integers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keeper.errors import Transient

U64 = npt.NDArray[np.uint64]


class Words:
    """The answers of one batch: for call ``i`` whether it succeeded, and its 32-byte return words.

    Several ``aggregate3`` answers (one per gas chunk) are joined in call order. Shapes: ``ok`` is bool[n],
    ``count`` is int64[n] (whole 32-byte words returned by each call).
    """

    __slots__ = ("_answers", "_chunk", "_first", "count", "ok")

    def __init__(self, answers: Sequence[bytes], sizes: Sequence[int]) -> None:
        """``answers``: ABI-encoded ``(bool,bytes)[]`` per chunk; ``sizes``: calls in each. Raises Transient."""
        parts = [_locate(a, n) for a, n in zip(answers, sizes, strict=True)]
        self._answers = tuple(answers)
        self._chunk = np.repeat(np.arange(len(parts)), sizes) if parts else np.zeros(0, np.int64)
        empty: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.ok: npt.NDArray[np.bool_] = np.concatenate([p[0] for p in parts] or [np.zeros(0, np.bool_)])
        self._first = np.concatenate([p[1] for p in parts] or empty)
        self.count = np.concatenate([p[2] for p in parts] or empty)

    def __len__(self) -> int:
        return len(self.ok)

    def uint(self, i: int, k: int = 0) -> int:
        """Word ``k`` of answer ``i`` as an unsigned integer. IndexError when it was not returned."""
        if k >= self.count[i]:
            raise IndexError(f"answer {i} has {self.count[i]} words, word {k} asked")
        start = (int(self._first[i]) + k) * 32
        return int.from_bytes(self._answers[self._chunk[i]][start : start + 32])

    def uints(self, i: int) -> tuple[int, ...]:
        """Every word of answer ``i`` as unsigned integers."""
        raw = self.raw(i)
        return tuple(int.from_bytes(raw[j : j + 32]) for j in range(0, len(raw), 32))

    def raw(self, i: int) -> bytes:
        """The whole 32-byte words of answer ``i``, as bytes."""
        start = int(self._first[i]) * 32
        return self._answers[self._chunk[i]][start : start + 32 * int(self.count[i])]

    def limbs(self, start: int, stop: int, width: int) -> U64:
        """Answers ``start:stop`` of ``width`` words each as uint64[n, width, 4], most significant limb first.

        Raises Transient when one of them failed or has fewer words.
        """
        if not self.ok[start:stop].all() or (self.count[start:stop] < width).any():
            raise Transient("a call of the batch failed or answered short")
        out = np.empty((stop - start, width, 4), np.uint64)
        for chunk, answer in enumerate(self._answers):
            mine = np.flatnonzero(self._chunk[start:stop] == chunk)
            if len(mine):
                grid = np.frombuffer(answer, ">u8").reshape(-1, 4)
                at = self._first[start:stop][mine][:, None] + np.arange(width)[None, :]
                out[mine] = grid[at]
        return out


def _locate(
    answer: bytes, n: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(ok, first word, word count) of each of ``n`` results inside one answer; refuses a malformed one."""
    if len(answer) % 32 or len(answer) < 64 + 32 * n:
        raise Transient(f"multicall answered {len(answer)} bytes for {n} calls")
    low = np.frombuffer(answer, ">u8").reshape(-1, 4)[:, 3]
    total = len(low)
    if int(low[0]) != 32 or int(low[1]) != n:
        raise Transient(f"multicall answered {int(low[1])} results for {n} calls")
    # uint64 first: a hostile offset above 2**63 must not turn negative
    heads_u = low[2 : 2 + n] // 32 + 2
    if n and int(heads_u.max()) + 2 >= total:
        raise Transient("multicall answer points outside itself")
    heads = heads_u.astype(np.int64)
    bytes_u = low[heads + 2] if n else low[:0]
    if n and int(bytes_u.max()) > 32 * total:
        raise Transient("multicall answer claims more bytes than it has")
    count = (bytes_u // 32).astype(np.int64)
    first = heads + 3
    if n and int((first + (bytes_u.astype(np.int64) + 31) // 32).max()) > total:
        raise Transient("multicall answer is truncated")
    return low[heads] != 0, first, count
