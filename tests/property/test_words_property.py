"""Words against an independent ABI codec, and against answers that a broken or hostile node could give."""

from __future__ import annotations

import binascii

import numpy as np
import pytest
from eth_abi import decode, encode
from eth_abi.exceptions import NonEmptyPaddingBytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.errors import Transient
from keeper.words import Even, Words, from_hex

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


@settings(max_examples=400)
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


@settings(max_examples=200)
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


even_tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(
            st.one_of(st.integers(0, 9), st.integers(2**60, 2**62), st.integers(0, 2**256 - 1)),
            min_size=width,
            max_size=width,
        ),
        min_size=1,
        max_size=12,
    )
)


def _hex(table: list[list[int]]) -> bytes:
    return _answer([(True, b"".join(w.to_bytes(32) for w in row)) for row in table]).hex().encode()


def _told(words: Words, width: int) -> object:
    """All that a reader can ask of an even answer."""
    n = len(words)
    return (
        _everything(words),
        words.ok.tolist(),
        words.count.tolist(),
        [
            words.limbs(a, b, w).tolist()
            for a in range(n)
            for b in range(a, n + 1)
            for w in range(1, width + 1)
        ],
        [words.raw(i) for i in range(n)],
        words.failed(),
    )


@settings(max_examples=80, deadline=None)
@given(table=even_tables, cut=st.integers(0, 12), repeat=st.booleans())
def test_even__when_all_calls_answer_alike__then_the_same_as_without_the_short_way(
    table: list[list[int]], cut: int, repeat: bool
) -> None:
    table = table * 3 if repeat else table
    width, parts = len(table[0]), [p for p in (table[:cut], table[cut:]) if p]
    evens = [from_hex(memoryview(_hex(p)), len(p)) for p in parts]
    assert all(isinstance(e, Even) for e in evens), "the short way was not taken"
    sizes = [len(p) for p in parts]
    plain = [binascii.unhexlify(_hex(p)) for p in parts]
    short, general = Words(evens, sizes), Words(plain, sizes)
    assert _told(short, width) == _told(general, width)
    assert _told(short.part(1, len(table)), width) == _told(general.part(1, len(table)), width)
    mixed = Words([evens[0], *plain[1:]], sizes)
    assert _told(mixed, width) == _told(general, width)
    other = Words([_answer([(False, b"why")])], [1])
    for at in (0, len(table) - 1):
        assert _everything(short.replaced([at], other)) == _everything(general.replaced([at], other))
        assert short.replaced([at], other).failed() == [at]
    for bad in (width + 1, 99):
        with pytest.raises(Transient):
            short.limbs(0, 1, bad)
        with pytest.raises(Transient):
            short.uint(0, bad - 1)


@settings(max_examples=250, deadline=None)
@given(table=even_tables, data=st.data())
def test_even__when_a_digit_is_damaged__then_the_same_as_without_the_short_way(
    table: list[list[int]], data: st.DataObject
) -> None:
    digits = bytearray(_hex(table))
    n = data.draw(st.sampled_from([len(table), len(table), len(table) - 1, len(table) + 1]))
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["digit", "digit", "lead", "cut", "more", "case"]))
        at = data.draw(st.integers(0, len(digits) - 1))
        if kind == "lead":
            # the words that say where and how long: a table of offsets, or the three before a payload
            step = 64 * (3 + len(table[0]))
            row = 64 * (2 + len(table)) + step * data.draw(st.integers(0, len(table) - 1))
            at = data.draw(st.integers(0, 64 * (2 + len(table)) - 1) | st.integers(row, row + 191))
            at = min(at, len(digits) - 1)
        if kind in ("digit", "lead"):
            digits[at] = data.draw(st.sampled_from(list(b'0123456789abcdefABCDEFg"x \0\xff')))
        elif kind == "cut":
            del digits[at : at + data.draw(st.integers(1, 640))]
        elif kind == "more":
            digits[at:at] = b"0" * data.draw(st.integers(1, 640))
        else:
            digits = bytearray(digits.upper())
        if not digits:
            return
    try:
        want: object = Words([binascii.unhexlify(digits)], [n])
    except (Transient, ValueError):
        want = None
    try:
        got: object = Words([from_hex(memoryview(digits), n)], [n])
    except Transient:
        got = None
    assert (got is None) == (want is None)
    if isinstance(got, Words) and isinstance(want, Words):
        assert _everything(got) == _everything(want)
        assert got.count.tolist() == want.count.tolist()


def test_even__when_its_digits_change_afterwards__then_it_does_not() -> None:
    digits = bytearray(_hex([[1, 2**200], [3, 4]]))
    words = Words([from_hex(memoryview(digits), 2)], [2])
    digits[:] = b"f" * len(digits)
    assert [words.uints(i) for i in range(2)] == [(1, 2**200), (3, 4)]
    with pytest.raises(ValueError, match="read-only"):
        words.limbs(0, 2, 1)[0, 0, 0] = 9


def test_even__when_for_another_number_of_calls__then_it_is_never_taken() -> None:
    even = from_hex(memoryview(_hex([[1], [2]])), 2)
    for answers, sizes in (([even], [3]), ([even, _answer([(False, b"")])], [1, 1]), ([even, even], [2, 1])):
        with pytest.raises(ValueError, match="results for"):
            Words(answers, sizes)


@pytest.mark.parametrize("more", [b"0", b"00", b"0" * 4, b"0" * 32, b"0" * 62])
def test_even__when_a_few_digits_follow__then_refused_as_on_the_long_way(more: bytes) -> None:
    digits = _hex([[i] for i in range(70)])
    with pytest.raises(Transient):
        Words([from_hex(memoryview(digits + more), 70)], [70])


@given(
    rows=st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), min_size=1, max_size=9),
    wide=st.integers(1, 3),
    even=st.booleans(),
    picks=st.lists(st.integers(0, 8), max_size=9),
)
def test_taken__when_any_answers_are_picked_in_any_order__then_each_is_as_it_was(
    rows: list[Result], wide: int, even: bool, picks: list[int]
) -> None:
    if even:
        rows = [(True, data[: 32 * wide].ljust(32 * wide, b"\1")) for _, data in rows]
    answer = _answer(rows)
    read = from_hex(memoryview(answer.hex().encode()), len(rows))
    words = Words([read], [len(rows)])
    at = [i % len(rows) for i in picks]
    taken = words.taken(at)
    assert [(bool(taken.ok[k]), taken.data(k)) for k in range(len(at))] == [rows[i] for i in at]
    assert [taken.uints(k) for k, i in enumerate(at) if rows[i][0]] == [
        words.uints(i) for i in at if rows[i][0]
    ]
    if even:
        assert (taken.limbs(0, len(at), wide) == words.limbs(0, len(rows), wide)[at]).all()


@given(
    widths=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), max_size=5),
    seed=st.integers(0, 255),
)
@example(widths=[(2, 1, True), (3, 1, True)], seed=1)
@example(widths=[(2, 1, True), (3, 2, True), (1, 2, False)], seed=1)
def test_joined__when_chunks_are_located_one_by_one__then_as_if_they_had_been_together(
    widths: list[tuple[int, int, bool]], seed: int
) -> None:
    """Chunks of (calls, words a call, whether every call succeeds)."""
    answers, sizes = list[bytes | Even](), list[int]()
    for n, width, well in widths:
        rows = [(well or i % 2 == 0, bytes([seed ^ i]) * 32 * width) for i in range(n)]
        answers.append(from_hex(memoryview(_answer(rows).hex().encode()), n))
        sizes.append(n)
    together = Words(answers, sizes)
    apart = Words.joined([Words([a], [n]) for a, n in zip(answers, sizes, strict=True)])
    assert _everything(apart) == _everything(together)
    assert apart.failed() == together.failed()
    for start in range(len(together) + 1):
        for k in range(3):
            try:
                want = together.limbs(start, len(together), k + 1)[:, k]
            except Transient:
                with pytest.raises(Transient):
                    apart.column(start, len(together), k)
                continue
            assert np.array_equal(apart.column(start, len(together), k), want)
