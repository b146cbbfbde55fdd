"""Bars: what a file may hold, every fault named by file, row and column; what is odd is kept and said."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from keeper.errors import ConfigError
from keeper.replay import bars, paths, together

pytestmark = pytest.mark.unit

BEGIN_S = 1_621_296_000
HEADER = "ts,symbol,open,high,low,close"


def row(n: int, price: float = 100.0, symbol: str = "ETH/USDT", **changes: object) -> str:
    cells = {
        "ts": BEGIN_S + 60 * n,
        "symbol": symbol,
        "open": price,
        "high": price * 1.01,
        "low": price * 0.99,
        "close": price,
        **changes,
    }
    return ",".join(str(cells[c]) for c in HEADER.split(","))


def read(tmp_path: Path, rows: list[str], header: str = HEADER) -> bars.Bars:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([header, *rows]))
    return bars.read(path)


def problems(tmp_path: Path, rows: list[str], header: str = HEADER) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, rows, header)
    return "\n".join(caught.value.problems)


def test_read__csv_gz_and_parquet__same_bars(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet is an extra")
    parquet = pytest.importorskip("pyarrow.parquet", reason="parquet is an extra")
    rows = [row(n, 100.0 + n) for n in range(5)]
    plain = read(tmp_path, rows)
    (tmp_path / "bars.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *rows]).encode()))
    cells = [r.split(",") for r in rows]
    columns = {"ts": [int(c[0]) for c in cells], "symbol": [c[1] for c in cells]}
    prices = {f: [float(c[2 + k]) for c in cells] for k, f in enumerate(bars.FIELDS)}
    parquet.write_table(pyarrow.table({**columns, **prices}), tmp_path / "bars.parquet")
    for name in ("bars.csv.gz", "bars.parquet"):
        other = bars.read(tmp_path / name)
        assert other.symbols == plain.symbols
        for field in ("times_s", *bars.FIELDS):
            np.testing.assert_array_equal(getattr(other, field), getattr(plain, field))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"close": 0.0}, "row 4, column close: 0.0 of ETH/USDT is no price above 0"),
        ({"low": -1.0}, "row 4, column low: -1.0 of ETH/USDT is no price above 0"),
        ({"high": "nan"}, "row 4, column high: nan of ETH/USDT is no price above 0"),
        ({"open": ""}, "row 4, column open: an empty cell is not a price"),
        ({"close": "n/a"}, "row 4, column close: 'n/a' is not a price"),
        ({"low": 101.0}, "row 4, column low: 101 of ETH/USDT lies inside its open and close"),
        (
            {"ts": "2021-05-18T02:00:00+02:00"},
            "row 4, column ts: '2021-05-18T02:00:00+02:00' is not a time in UTC",
        ),
        (
            {"ts": (BEGIN_S + 120) * 1000},
            "row 4, column ts: 1.6213e+12 is no time in seconds, UTC; milliseconds?",
        ),
        ({"ts": BEGIN_S + 125}, "off the beat of 60 s"),
        ({"ts": BEGIN_S + 60, "close": 99.5}, "is there twice with different prices"),
    ],
)
def test_read__bad_cell__then_named_by_row_and_column(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    rows = [row(n) for n in range(200)]
    rows[2] = row(2, **changes)
    text = problems(tmp_path, rows)
    assert says in text
    assert "bars.csv" in text
    assert len(text.splitlines()) == 1, "one wrong cell is one problem"


def test_read__shape_is_another__then_says_what_is_there(tmp_path: Path) -> None:
    assert "lacks symbol, open, high, low, close; the columns are ts, price" in problems(
        tmp_path, ["1,2"], "ts,price"
    )
    assert "has no bars" in problems(tmp_path, [])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ConfigError, match=r"empty\.csv: is empty; bars need ts, symbol"):
        bars.read(tmp_path / "empty.csv")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        bars.read(tmp_path / "nowhere.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ConfigError, match=r"bad\.parquet: cannot be read"):
        bars.read(tmp_path / "bad.parquet")


def test_read__unordered_and_repeated_alike__then_mended_and_said(tmp_path: Path) -> None:
    rows = [row(n, 100.0 + n) for n in range(6)]
    found = read(tmp_path, [*rows[:2], rows[3], rows[2], *rows[4:], rows[4]])
    assert found.close[:, 0].tolist() == [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]
    assert any("bars.csv: row 5, column ts: ETH/USDT is not in order of time" in n for n in found.notes)
    assert any(
        "bars.csv: row 8, column ts: ETH/USDT at 2021-05-18 00:04 is there twice" in n for n in found.notes
    )


def test_read__gap__then_last_price_is_held_and_a_long_one_refused(tmp_path: Path) -> None:
    rows = [row(n, 100.0 + n % 7) for n in range(200) if n not in (50, 51)]
    found = read(tmp_path, rows)
    assert len(found.times_s) == 198
    assert any(
        "bars.csv: row 52, column ts: ETH/USDT: bars missing: 2, the longest" in n for n in found.notes
    )
    both = [row(n, 7.0, "BTC/USDT") for n in range(200)]
    joined = read(tmp_path, [*rows, *both])
    assert joined.live[50].tolist() == [False, True]
    assert joined.low[50, 0] == joined.close[49, 0]
    late = [row(n) for n in range(100)] + [row(n) for n in range(300, 400)]
    said = problems(tmp_path, late)
    assert "200 of 400 bars are missing; at most 5 % may be" in said
    assert "row 102, column ts" in said


def test_read__no_symbol_or_a_cell_too_many__then_named_by_row(tmp_path: Path) -> None:
    rows = [row(n) for n in range(5)]
    said = problems(tmp_path, [*rows[:2], row(2, symbol=""), rows[3] + ",9", rows[4]])
    assert "row 4, column symbol: an empty cell is no symbol" in said
    assert "row 5: has cells beyond the columns of row 1: '9'" in said
    assert "one bar" not in said


@pytest.mark.parametrize("price", [0.0001, 2e9])
def test_read__a_whole_bar_that_reverts__then_named_and_no_feed_says_it(tmp_path: Path, price: float) -> None:
    for others in ({}, {"open": 100.0, "high": max(price, 100.0), "low": min(price, 100.0)}):
        rows = [row(n) for n in range(10)]
        rows[5] = row(5, price, **others)
        if others:
            # the next bar opens where the last one ended
            rows[6] = row(6, 100.0, open=price, high=max(price, 100.0), low=min(price, 100.0))
        found = read(tmp_path, rows)
        assert any("row 7, column close" in n and "between 100 and 100" in n for n in found.notes)
        moved = paths.project(found, ("ETH",), ("low", "high", "close"), {"*": paths.EVERY}, ())
        assert 0.98 < moved.said.min() < moved.said.max() < 1.02


def test_read__a_price_that_changes_its_unit__then_refused_by_row_and_a_collapse_is_kept(
    tmp_path: Path,
) -> None:
    rows = [row(n) for n in range(5)]
    said = problems(tmp_path, rows + [row(n, 100_000.0) for n in range(5, 10)])
    assert "bars.csv: row 7, column close: 100000 of ETH/USDT" in said
    assert "1,000 times the bar before it and stays" in said
    # traded on its way: it opens where the last one closed
    collapse = row(5, 1.0, open=100.0, high=100.0, low=0.9)
    found = read(tmp_path, [*rows, collapse, *(row(n, 1.0) for n in range(6, 10))])
    assert any(
        "column close: 1 of ETH/USDT at 2021-05-18 00:05 is 0.01 times the bar" in n for n in found.notes
    )
    assert paths.project(found, ("ETH",), ("close",), {"*": paths.EVERY}, ()).said.min() == 0.01
    crash = read(tmp_path, rows + [row(n, 60.0) for n in range(5, 10)])
    assert crash.notes == ()


@pytest.mark.parametrize(
    "changes",
    [
        # from one bar to the next, no trade between; and with an open that the maker of the bars put there
        {"price": 0.0001},
        {"price": 0.0001, "open": 100.0, "high": 100.0},
        {"price": 9.0},
    ],
)
def test_read__a_fall_that_no_market_made_and_that_stays__then_refused_by_row(
    tmp_path: Path, changes: dict[str, float]
) -> None:
    rows = [row(n) for n in range(5)] + [row(5, **changes)]
    said = problems(tmp_path, rows + [row(n, changes["price"]) for n in range(6, 10)])
    assert "bars.csv: row 7, column close: " in said
    assert "times the bar before it and stays: another unit? Correct the rows, or cut the file there" in said


def test_read__a_collapse_behind_a_gap__then_kept_and_said_and_a_ten_thousandth_refused(
    tmp_path: Path,
) -> None:
    rows = [row(n) for n in range(100)]
    # three bars of an outage: the price was traded down where nobody wrote it, and a bar opens near its close
    fallen = [row(103, 7.0, open=8.0, high=8.1), *(row(n, 7.0) for n in range(104, 200))]
    found = read(tmp_path, [*rows, *fallen])
    assert any("row 102, column close: 7 of ETH/USDT" in n and "0.07 times the bar" in n for n in found.notes)
    assert paths.project(found, ("ETH",), ("close",), {"*": paths.EVERY}, ()).said.min() == 0.07
    said = problems(tmp_path, rows + [row(n, 0.009) for n in range(103, 200)])
    assert "row 102, column close: 0.009 of ETH/USDT" in said
    assert "another unit?" in said
    # the bars of the jump stand side by side, the gap lies elsewhere
    said = problems(tmp_path, [*rows[:50], *rows[53:], *(row(n, 7.0) for n in range(100, 200))])
    assert "row 99, column close: 7 of ETH/USDT" in said


def test_read__another_unit_outside_the_times_asked__then_said_and_inside_refused(tmp_path: Path) -> None:
    rows = [row(n, 100_000.0) for n in range(5)] + [row(n) for n in range(5, 200)]
    path, other = tmp_path / "bars.csv", tmp_path / "other.csv"
    path.write_text("\n".join([HEADER, *rows]))
    other.write_text("\n".join([HEADER, *(row(n, symbol="BTC/USDT") for n in range(200))]))
    for files in ([path], [path, other]):
        wanted = ["ETH/USDT", "BTC/USDT"][: len(files)]
        cut = together.of_files(files, wanted, (BEGIN_S + 300, None)).between(BEGIN_S + 300, None)
        assert any(
            "row 7, column close: 100 of ETH/USDT" in n and "outside the times" in n for n in cut.notes
        )
        assert set(cut.close[:, 0].tolist()) == {100.0}
        with pytest.raises(ConfigError, match="row 7, column close: 100 of ETH/USDT"):
            together.of_files(files, wanted, (BEGIN_S + 240, None))
        with pytest.raises(ConfigError, match="row 7, column close: 100 of ETH/USDT"):
            together.of_files(files, wanted)
    assert bars.read(path, (), (None, BEGIN_S + 300)).between(None, BEGIN_S + 300).close.min() == 100_000.0
    with pytest.raises(ConfigError, match="another unit"):
        bars.read(path, (), (None, BEGIN_S + 360))


def test_read__another_unit_behind_many_doublings__then_refused_all_the_same(tmp_path: Path) -> None:
    doubled = [row(n, 100.0 * 2.0 ** (n // 3)) for n in range(24)]
    assert "row 26, column close" in problems(tmp_path, [*doubled, *(row(n, 1e6) for n in range(24, 30))])


def test_read__a_print_in_the_last_bar__then_unconfirmed_and_no_feed_says_it(tmp_path: Path) -> None:
    rows = [row(n) for n in range(10)]
    for last in (row(9, 0.0001), row(9, 0.0001, open=100.0, high=100.0), row(9, 2e9)):
        found = read(tmp_path, [*rows[:-1], last])
        assert any("row 11, column close" in n and "confirmed by none" in n for n in found.notes)
        moved = paths.project(found, ("ETH",), ("low", "high", "close"), {"*": paths.EVERY}, ())
        assert 0.98 < moved.said.min() < moved.said.max() < 1.02
    # the one before it reverts: the last is no print
    found = read(tmp_path, [*rows[:8], row(8, 0.0001), rows[9]])
    assert not any("confirmed by none" in n for n in found.notes)
    moved = paths.project(found, ("ETH",), ("close",), {"*": paths.EVERY}, ())
    assert moved.said.tolist() == [[1.0] * 10]


def test_between__when_a_cut_ends_or_begins_at_a_print__then_no_feed_says_it_and_it_is_said(
    tmp_path: Path,
) -> None:
    rows = [row(n) for n in range(10)]
    whole = read(tmp_path, [*rows[:5], row(5, 0.0001), *rows[6:]])
    for first, last in ((BEGIN_S, BEGIN_S + 360), (BEGIN_S + 300, BEGIN_S + 600)):
        cut = whole.between(first, last)
        moved = paths.project(cut, ("ETH",), ("low", "close"), {"*": paths.EVERY}, ())
        assert 0.98 < moved.said.min() < moved.said.max() < 1.02
        assert moved.usd_of("ETH") == 100.0
    assert any("the run begins after 2021-05-18 00:05" in n for n in cut.notes)
    # a fall that stays, cut where nothing confirms it yet
    fallen = [row(n, 40.0) for n in range(5, 10)]
    cut = read(tmp_path, [*rows[:5], *fallen]).between(None, BEGIN_S + 360)
    assert any("40 at 2021-05-18 00:05 is the run's last bar" in n for n in cut.notes)


def test_read__two_lengths_or_two_venues__then_told_apart(tmp_path: Path) -> None:
    hours = [row(60 * n, 7.0, "BTC/USDT") for n in range(4)]
    assert "bars are of different lengths" in problems(tmp_path, [row(n) for n in range(181)] + hours)
    header = HEADER + ",venue"
    rows = [row(n) + ",kraken" for n in range(5)] + [row(n, 101.0) + ",binance" for n in range(5)]
    assert read(tmp_path, rows, header).symbols == ("ETH/USDT@kraken", "ETH/USDT@binance")


def test_read__symbol_that_is_not_there__then_the_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text("\n".join([HEADER, row(0), row(1)]))
    with pytest.raises(ConfigError, match="has no SOL/USDT; there are ETH/USDT"):
        bars.read(tmp_path / "bars.csv", ("SOL/USDT",))
    with pytest.raises(ConfigError, match="between the times asked; it spans 2021-05-18 00:00"):
        bars.read(tmp_path / "bars.csv").between(BEGIN_S + 1e6, None)


def test_read__print_far_from_its_own_bar__then_kept_and_said(tmp_path: Path) -> None:
    rows = [row(n) for n in range(10)]
    rows[5] = row(5, low=0.0001)
    found = read(tmp_path, rows)
    assert found.low[5, 0] == 0.0001
    assert any(
        "bars.csv: row 7, column low: 0.0001 of ETH/USDT" in n and "100 % off" in n for n in found.notes
    )
