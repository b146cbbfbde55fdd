"""Words against an independent ABI codec, and against answers that a broken or hostile node could give."""

from __future__ import annotations

import numpy as np
import pytest
from eth_abi import decode, encode
from eth_abi.exceptions import NonEmptyPaddingBytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.errors import Transient
from keeper.words import Words

pytestmark = pytest.mark.property

Result = tuple[bool, bytes]
results = st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=12)


def _answer(rows: list[Result]) -> bytes:
    return encode(["(bool,bytes)[]"], [rows])


@given(rows=results, cut=st.integers(0, 12))
def test_words__when_encoded_by_another_codec__then_read_back_exactly(rows: list[Result], cut: int) -> None:
    parts = [rows[:cut], rows[cut:]]
    words = Words([_answer(p) for p in parts], [len(p) for p in parts])
    assert len(words) == len(rows)
    for i, (ok, data) in enumerate(rows):
        assert bool(words.ok[i]) is ok
        assert words.data(i) == data
        assert words.raw(i) == data[: len(data) // 32 * 32]
        assert words.count[i] == len(data) // 32
        if ok:
            want = tuple(int.from_bytes(data[j : j + 32]) for j in range(0, len(data) // 32 * 32, 32))
            assert words.uints(i) == want
            assert tuple(words.uint(i, k) for k in range(len(want))) == want
        for k in range(words.count[i], words.count[i] + 2):
            with pytest.raises(Transient):
                words.uint(i, int(k))
    assert words.failed() == [i for i, (ok, _) in enumerate(rows) if not ok]


@given(
    rows=st.lists(st.lists(st.integers(0, 2**256 - 1), min_size=3, max_size=5), min_size=1, max_size=9),
    cut=st.integers(0, 9),
)
def test_limbs__when_rows_span_chunks__then_each_word_is_its_four_limbs(
    rows: list[list[int]], cut: int
) -> None:
    data = [(True, b"".join(w.to_bytes(32) for w in row)) for row in rows]
    parts = [data[:cut], data[cut:]]
    limbs = Words([_answer(p) for p in parts], [len(p) for p in parts]).limbs(0, len(rows), 3)
    assert limbs.shape == (len(rows), 3, 4)
    back = [
        [sum(int(limbs[i, k, j]) << 64 * (3 - j) for j in range(4)) for k in range(3)]
        for i in range(len(rows))
    ]
    assert back == [row[:3] for row in rows]


def _everything(words: Words) -> list[object]:
    seen: list[object] = []
    for i in range(len(words)):
        seen.append((bool(words.ok[i]), words.data(i)))
        if words.ok[i]:
            seen.append(words.uints(i))
    return seen


@settings(max_examples=1500)
@given(rows=results.filter(bool), data=st.data())
def test_words__when_the_answer_is_damaged__then_transient_or_exactly_what_it_says(
    rows: list[Result], data: st.DataObject
) -> None:
    answer = bytearray(_answer(rows))
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["byte", "word", "cut", "more"]))
        at = data.draw(st.integers(0, max(0, len(answer) - 1)))
        if kind == "byte" and answer:
            answer[at] = data.draw(st.integers(0, 255))
        elif kind == "word":
            value = data.draw(
                st.sampled_from([0, 1, 31, 32, 64, 2**31, 2**63 - 1, 2**63, 2**64 - 32, 2**64, 2**256 - 1])
            )
            answer[at // 32 * 32 : at // 32 * 32 + 32] = value.to_bytes(32)
        elif kind == "cut":
            del answer[at:]
        else:
            answer += bytes(data.draw(st.integers(1, 64)))
    raw = bytes(answer)
    try:
        words = Words([raw], [len(rows)])
    except Transient:
        return
    seen = _everything(words)
    # whatever is accepted must be what an independent decoder reads from the same bytes
    try:
        (again,) = decode(["(bool,bytes)[]"], raw)
    except NonEmptyPaddingBytes:
        # bytes behind the length are nobody's value; the other codec is stricter about them
        return
    assert [s for s in seen if isinstance(s, tuple) and s and isinstance(s[0], bool)] == list(again)


@settings(max_examples=500)
@given(raw=st.binary(max_size=400), n=st.integers(0, 6))
@example(raw=b"", n=0)
@example(raw=b"\xff" * 256, n=3)
@example(raw=(32).to_bytes(32) + (1).to_bytes(32) + (2**64 - 32).to_bytes(32) + bytes(96), n=1)
def test_words__when_the_answer_is_noise__then_only_transient_comes_out(raw: bytes, n: int) -> None:
    try:
        _everything(Words([raw], [n]))
    except Transient:
        return


@given(rows=results, other=results, data=st.data())
def test_replaced__when_some_answers_are_asked_again__then_only_those_change(
    rows: list[Result], other: list[Result], data: st.DataObject
) -> None:
    n = min(len(rows), len(other))
    at = data.draw(st.permutations(range(len(rows))))[:n]
    words = Words([_answer(rows)], [len(rows)]).replaced(at, Words([_answer(other[:n])], [n]))
    want = list(rows)
    for place, row in zip(at, other[:n], strict=True):
        want[place] = row
    assert [(bool(words.ok[i]), words.data(i)) for i in range(len(words))] == want


def test_word__when_its_call_failed__then_revert_data_is_no_number() -> None:
    words = Words([_answer([(False, (7).to_bytes(32))])], [1])
    for read in (lambda: words.uint(0), lambda: words.uints(0), lambda: words.limbs(0, 1, 1)):
        with pytest.raises(Transient, match="failed"):
            read()
    assert words.data(0) == (7).to_bytes(32)


def test_index__when_out_of_range__then_index_error_and_never_another_answer() -> None:
    words = Words([_answer([(True, bytes(32)), (True, bytes(64))])], [2])
    for i, k in ((-1, 0), (2, 0), (0, -1)):
        with pytest.raises(IndexError):
            words.uint(i, k)
    with pytest.raises(IndexError):
        words.limbs(1, 3, 1)


def test_words__when_there_are_no_calls__then_empty() -> None:
    words = Words([], [])
    assert len(words) == 0
    assert words.limbs(0, 0, 6).shape == (0, 6, 4)
    assert words.ok.dtype == np.bool_
