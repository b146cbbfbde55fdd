"""A row that is named is the line of the file on which a person finds it, whatever stands between; and shapes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keeper.errors import ConfigError
from keeper.replay import bars, fleet, series

pytestmark = pytest.mark.unit

BARS = (
    "ts,symbol,open,high,low,close",
    [f"{60 * n},ETH/USDT,9,9,9,9" for n in range(1, 6)],
    "0,ETH/USDT,9,9,9,",
)
GAS = ("ts,gwei", [f"{60 * n},20" for n in range(1, 6)], "360,none")
BEGIN_S = 1_600_000_200
USERS = (
    '"user","collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"',
    [f'{n},"[[""ETH"", 9, 0.8]]","[[""USDC"", 5]]"' for n in range(1, 6)],
    '6,"[[""ETH"", 9, 80]]","[[""USDC"", 5]]"',
)
GWEI = series.Column(name="gwei", low=0.0, what="a gas price in gwei")


def _bars(path: Path) -> object:
    return bars.read(path)


def _gas(path: Path) -> object:
    return series.read(path, "", (GWEI,))


def _users(path: Path) -> object:
    return fleet.read(path)


KINDS: list[Any] = [
    pytest.param(BARS, _bars, id="bars"),
    pytest.param(GAS, _gas, id="gas"),
    pytest.param(USERS, _users, id="accounts"),
]
File = tuple[str, list[str], str]


def said(path: Path, read: Callable[[Path], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(("file", "read"), KINDS)
def test_row__when_blank_lines_stand_before_it__then_its_own_line_is_named(
    tmp_path: Path, file: File, read: Callable[[Path], object]
) -> None:
    header, rows, wrong = file
    path = tmp_path / "table.csv"
    # line 1 is blank, the header is 2, two rows, two blank lines of which one has spaces, then the wrong one: 7
    path.write_text("\n".join(["", header, *rows[:2], "", "   ", wrong, *rows[2:]]))
    assert f"{path}: row 7" in said(path, read)
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([header, *rows[:2], "", wrong]).encode())
    assert f"{path}: row 5" in said(path, read)
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress("\n".join([header, "", wrong]).encode()))
    assert f"{packed}: row 3" in said(packed, read)


def test_row__when_a_cell_spans_lines__then_the_line_where_it_begins_is_named(tmp_path: Path) -> None:
    header, rows, wrong = USERS
    path = tmp_path / "accounts.csv"
    path.write_text(
        "\n".join([header, rows[0].replace("9, 0.8", "9,\n0.8"), wrong.replace("9, 80", "9,\n80")])
    )
    assert f"{path}: row 4, column collateral" in said(path, fleet.read)


@pytest.mark.parametrize(("file", "read"), KINDS)
def test_file__of_another_shape__then_refused_and_what_is_wrong_named(
    tmp_path: Path, file: File, read: Callable[[Path], object]
) -> None:
    header, rows, _ = file
    path = tmp_path / "table.csv"
    name = header.split(",")[0]
    path.write_text("\n".join([f"{header},{name}", *rows]))
    assert f"{path}: row 1: the column {name.strip(chr(34))!r} is there twice" in said(path, read)
    path.write_text("\n".join([header, rows[0], '"' + rows[1], *rows[2:]]))
    assert f"{path}: row 3: " in said(path, read)
    path.write_text("\n".join([header, rows[0], rows[1] + ",7", *rows[2:]]))
    assert f"{path}: row 3" in said(path, read)
    assert "beyond the" in said(path, read)
    path.write_bytes(b"PAR1\xff\xfe\x00")
    assert f"{path}: is not text" in said(path, read)
    path.write_text("\n\n")
    assert f"{path}: is empty; " in said(path, read)
    path.write_text("\n".join([header, *rows]).replace(",", ";"))
    assert "commas are needed" in said(path, read) or "do semicolons separate" in said(path, read)


@pytest.mark.parametrize(("file", "read"), KINDS)
def test_columns__that_nobody_reads__then_their_names_and_empty_cells_stop_nothing(
    tmp_path: Path, file: File, read: Callable[[Path], object]
) -> None:
    header, rows, _ = file
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *rows]))
    plain = repr(read(path))
    # what a spreadsheet writes: as many commas everywhere as its widest row has, and rows of nothing else
    commas = "," * (header.count(",") + 2)
    for others, cells in ((",note,note", ",a,b"), (",,", ",,"), (",,", ","), ("", ",, "), (",,note", ",a,")):
        path.write_text("\n".join([commas, header + others, *(r + cells for r in rows), commas]))
        assert repr(read(path)).replace("row 2", "row 1") == plain
    # under no name at the end there is no column: what stands there is of another shape
    path.write_text("\n".join([header + ",,", rows[0] + ",,7", *rows[1:]]))
    assert f"{path}: row 2" in said(path, read)
    assert "beyond the" in said(path, read)


def test_columns__when_spaces_stand_around_their_names__then_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gas.csv"
    path.write_text("ts, gwei\n60, 20\n120, 30\n")
    assert series.read(path, "", (GWEI,)).values["gwei"].tolist() == [20.0, 30.0]
    path.write_text(
        "ts, symbol, open, high, low, close\n60, ETH/USDT, 9, 9, 9, 9\n120, ETH/USDT, 9, 9, 9, 9\n"
    )
    assert bars.read(path).symbols == ("ETH/USDT",)


def test_account__without_a_name__then_its_row_is_named(tmp_path: Path) -> None:
    header, rows, _ = USERS
    path = tmp_path / "accounts.csv"
    path.write_text("\n".join([header, rows[0], rows[1][1:]]))
    assert f"{path}: row 3, column user: an empty cell is no name" in said(path, fleet.read)


def test_parquet__when_times_are_texts_or_in_another_zone__then_the_column_is_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet is an extra")
    parquet = pytest.importorskip("pyarrow.parquet", reason="parquet is an extra")
    prices = {f: [9.0, 9.0, 9.0] for f in bars.FIELDS}
    path = tmp_path / "bars.parquet"

    def write(ts: object, **changes: object) -> None:
        columns = {"ts": ts, "symbol": ["ETH/USDT"] * 3, **prices, **changes}
        parquet.write_table(pyarrow.table(columns), path)

    def times(kind: object) -> object:
        return pyarrow.array([60, 120, 180], "int64").cast(pyarrow.timestamp("s")).cast(kind)

    write(["1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z", "1970-01-01T00:03:00Z"])
    assert f"{path}: column ts: is of string" in said(path, bars.read)
    write(times(pyarrow.timestamp("s")).cast(pyarrow.timestamp("s", "Europe/Berlin")))  # type: ignore[attr-defined]
    assert f"{path}: column ts: is in the time zone Europe/Berlin; write UTC" in said(path, bars.read)
    write([60, 120, 180], close=["9", "9", "n/a"])
    assert f"{path}: column close: is of string" in said(path, bars.read)
    write([60, 120, 180], symbol=["ETH/USDT", None, "ETH/USDT"])
    assert f"{path}: row 2, column symbol: an empty cell" in said(path, bars.read)
    write([60, None, 180])
    assert f"{path}: row 2, column ts: nan is no time" in said(path, bars.read)
    # as nanoseconds, and as the milliseconds of a column that says seconds: a year that no nanoseconds hold
    for ts in ([k * 10**9 for k in (BEGIN_S, BEGIN_S + 60, BEGIN_S + 120)], [2**63 - 1] * 3):
        write(ts)
        assert f"{path}: row 1, column ts: {ts[0]:g} is no time in seconds, UTC; nanoseconds?" in said(
            path, bars.read
        )
    write(
        pyarrow.array([1000 * BEGIN_S + 1000 * 60 * k for k in range(3)], "int64").cast(
            pyarrow.timestamp("s")
        )
    )
    assert f"{path}: row 1, column ts: 1.6e+12 is no time in seconds, UTC; milliseconds?" in said(
        path, bars.read
    )
    write([60, 120, 180], high=[2**60 + 1] * 3)
    assert bars.read(path).high.tolist() == [[float(2**60)]] * 3
    write([60, 120, 180], high=pyarrow.array([0, 9, 2**63 + 2**62], "uint64"))
    assert f"{path}: row 1, column high: 0.0 of ETH/USDT is no price" in said(path, bars.read)
    for kind in (pyarrow.timestamp("ms"), pyarrow.timestamp("ns", "UTC")):
        write(times(kind))
        assert bars.read(path).times_s.tolist() == [60.0, 120.0, 180.0]


def test_parquet__series_and_columns_that_are_there_twice__then_named_where_they_are_read(
    tmp_path: Path,
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet is an extra")
    parquet = pytest.importorskip("pyarrow.parquet", reason="parquet is an extra")
    path = tmp_path / "gas.parquet"
    times = pyarrow.array([BEGIN_S, BEGIN_S + 60], "int64")

    def write(ts: object, *more: tuple[str, list[int]]) -> None:
        names, columns = zip(("ts", ts), ("gwei", [20, 30]), *more, strict=True)
        parquet.write_table(pyarrow.table(list(columns), names=list(names)), path)

    for ts in (times, times.cast(pyarrow.timestamp("s")).cast(pyarrow.timestamp("ns", "UTC"))):
        write(ts, ("note", [1, 2]), ("note", [3, 4]))
        assert series.read(path, "", (GWEI,)).times_s.tolist() == [BEGIN_S, BEGIN_S + 60]
    write(times, ("gwei", [40, 50]))
    assert f"{path}: the column 'gwei' is there twice" in said(path, _gas)
    write([k.as_py() * 10**9 for k in times])
    assert f"{path}: row 1, column ts: 1.6e+18 is no time in seconds, UTC; nanoseconds?" in said(path, _gas)
    # as the seconds that the column says these are of the year 52,671
    write(pyarrow.array([k.as_py() * 1000 for k in times], "int64").cast(pyarrow.timestamp("s")))
    assert f"{path}: row 1, column ts: 1.6e+12 is no time in seconds, UTC; milliseconds?" in said(path, _gas)
    write(times.cast(pyarrow.timestamp("s")).cast(pyarrow.timestamp("s", "Europe/Berlin")))
    assert "time zone Europe/Berlin; write UTC" in said(path, _gas)
