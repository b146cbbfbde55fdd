"""Price history: what a file may hold, every fault named by file, row and column; its covariance."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from keeper.errors import ConfigError
from keeper.risk import estimate as estimates
from keeper.risk import history
from keeper.risk.estimate import estimate

pytestmark = pytest.mark.unit

HOUR_S = 3600
BEGIN_S = 1_735_689_600


def lines(count: int = 60) -> list[str]:
    rng = np.random.default_rng(3)
    prices = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (count, 2)), axis=0))
    rows = [f"{BEGIN_S + n * HOUR_S},{a:.6f},{b:.6f}" for n, (a, b) in enumerate(prices)]
    return ["time,ETH,BTC", *rows]


def parse(rows: list[str]) -> history.History:
    return history.parse("\n".join(rows), "bars.csv")


def problems(rows: list[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(rows)
    return "\n".join(caught.value.problems)


def test_read__plain_and_gzip__same_bars(tmp_path: Path) -> None:
    text = "\n".join(lines())
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = history.read(tmp_path / "a.csv"), history.read(tmp_path / "a.csv.gz")
    assert (plain.names, plain.step_s, plain.missing) == (("ETH", "BTC"), 3600.0, 0)
    np.testing.assert_array_equal(plain.prices, packed.prices)
    assert plain.prices.shape == (60, 2)


def test_parse__iso_times__are_utc() -> None:
    seconds = parse(lines())
    rows = lines()
    rows[1] = rows[1].replace(str(BEGIN_S), "2025-01-01T00:00:00Z")
    rows[2] = rows[2].replace(str(BEGIN_S + HOUR_S), "2025-01-01 01:00:00")
    rows[3] = rows[3].replace(str(BEGIN_S + 2 * HOUR_S), "2025-01-01T02:00+00:00")
    np.testing.assert_array_equal(parse(rows).times_s, seconds.times_s)


@pytest.mark.parametrize(
    ("row", "text", "says"),
    [
        (0, "day,ETH,BTC", "row 1: column 1 is named 'day'"),
        (0, "time,ETH,ETH", "row 1: column ETH is there 2 times"),
        (0, "time,ETH,", "row 1: a column has no name"),
        (0, "time", "row 1: must be: time, then a column"),
        (5, f"{BEGIN_S + 4 * HOUR_S},0,1", "row 6, column ETH: '0' is no price above 0"),
        (5, f"{BEGIN_S + 4 * HOUR_S},1,nan", "row 6, column BTC: 'nan'"),
        (5, f"{BEGIN_S + 4 * HOUR_S},1,-3", "row 6, column BTC: '-3'"),
        (5, f"{BEGIN_S + 4 * HOUR_S},1,", "row 6, column BTC: an empty cell"),
        (5, f"{BEGIN_S + 4 * HOUR_S},1,inf", "row 6, column BTC: 'inf'"),
        (5, f"{BEGIN_S + 4 * HOUR_S},1", "row 6: has 2 columns, the first row has 3"),
        (5, f"{BEGIN_S + 3 * HOUR_S},1,2", "row 6, column time: 1735700400 is there twice"),
        (5, f"{BEGIN_S},1,2", "row 6, column time: 1735689600 is before the row above"),
        (5, "2025-01-01T05:00:00+01:00,1,2", "is no time"),
        (5, "2025-13-01,1,2", "is no time"),
        (5, "now,1,2", "is no time"),
        (5, "yesterday,1,2", "row 6, column time: 'yesterday' is no time"),
        (5, "1735693200000,1,2", "milliseconds?"),
        (5, f"{BEGIN_S + 4 * HOUR_S - 600},1,2", "row 6, column time: 3000 s after the row above"),
    ],
)
def test_parse__one_fault__names_file_row_and_column(row: int, text: str, says: str) -> None:
    rows = lines()
    rows[row] = text
    said = problems(rows)
    assert says in said
    assert said.startswith("bars.csv: ")


def test_parse__too_few_or_nothing__is_refused() -> None:
    assert "has 9 bars; at least 31" in problems(lines(9))
    assert "row 1" in problems([""])


def test_parse__price_that_never_moves__is_no_history() -> None:
    rows = [line if n == 0 else line.rsplit(",", 1)[0] + ",1.0" for n, line in enumerate(lines())]
    assert "column BTC: never changes" in problems(rows)


def test_parse__many_faults__stops_reading() -> None:
    said = problems(["time,ETH", *(f"{BEGIN_S + n * HOUR_S},x" for n in range(1000))])
    assert said.count("\n") == history.PROBLEMS_MAX
    assert "reading stopped" in said


def test_gaps__few__are_counted_and_no_return_crosses_one() -> None:
    rows = lines()
    jump = rows[30].split(",")
    del rows[29]
    rows[29] = f"{jump[0]},{float(jump[1]) * 50},{jump[2]}"
    rows[30:] = [f"{t},{float(a) * 50},{b}" for t, a, b in (line.split(",") for line in rows[30:])]
    found = parse(rows)
    assert found.missing == 1
    names, returns = history.factor_returns(found)
    assert names == ("ETH", "BTC")
    assert returns.shape == (57, 2)
    assert np.abs(returns).max() < 0.1, "the fiftyfold step lies across the gap"


def test_gaps__many__are_refused_at_the_first() -> None:
    rows = lines()
    del rows[10:20]
    assert "row 11, column time: a gap of 10 bars, 10 in all" in problems(rows)


def test_factor_returns__staked_and_wrapped__ratio_and_base() -> None:
    eth = [100.0 * 1.01 ** (n % 7) for n in range(40)]
    ratio = [1.2 * 1.0001**n for n in range(40)]
    rows = ["time,WETH,wstETH"]
    rows += [
        f"{BEGIN_S + n * HOUR_S},{e:.12f},{e * r:.12f}"
        for n, (e, r) in enumerate(zip(eth, ratio, strict=True))
    ]
    names, returns = history.factor_returns(parse(rows))
    assert names == ("ETH", "stETH/ETH")
    assert returns[:, 1] == pytest.approx(np.log(1.0001), rel=1e-6)
    rows[0] = "time,BTC,wstETH"
    with pytest.raises(ConfigError, match="column wstETH: needs a column ETH"):
        history.factor_returns(parse(rows))
    rows[0] = "time,ETH,WETH"
    with pytest.raises(ConfigError, match="columns ETH and WETH are both ETH"):
        history.factor_returns(parse(rows))


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08broken", b"plain text in gz"])
def test_read__broken_file__one_clear_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(data)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("a.csv.gz", "a.csv", "absent.csv"):
        with pytest.raises(ConfigError, match=name):
            history.read(tmp_path / name)


def test_estimate__many_normal_returns__recovers_volatility_and_correlation() -> None:
    rng = np.random.default_rng(7)
    true = np.array([[0.64, 0.3, 0.0], [0.3, 0.36, 0.0], [0.0, 0.0, 0.0004]])
    steps = rng.multivariate_normal([0, 0, 0], true / 365, size=4000)
    made = estimate(("ETH", "BTC", "USDC"), steps, 86_400.0, half_life_days=500.0)
    assert np.sqrt(np.diag(made.covariance)) == pytest.approx([0.8, 0.6, 0.02], rel=0.06)
    assert made.covariance[0, 1] == pytest.approx(0.3, rel=0.15)
    assert 0.0 <= made.shrinkage < 0.02
    # weights 2^(-t/500) over 4000 days: (sum w)^2 / sum w^2 = 2 x 500 / ln 2 nearly
    assert made.effective == pytest.approx(1000 / np.log(2), rel=0.02)


def test_estimate__newest_returns__count_most() -> None:
    calm, wild = np.full((200, 1), 0.001), np.full((200, 1), 0.01)
    sign = np.where(np.arange(200) % 2 == 0, 1.0, -1.0)[:, None]
    up = estimate(("ETH",), np.concatenate([calm, wild]) * np.tile(sign, (2, 1)), 86_400.0, 20.0)
    down = estimate(("ETH",), np.concatenate([wild, calm]) * np.tile(sign, (2, 1)), 86_400.0, 20.0)
    assert up.covariance[0, 0] == pytest.approx(1e-4 * 365, rel=0.01)
    assert down.covariance[0, 0] < 0.03 * up.covariance[0, 0]


def test_estimate__more_factors_than_returns_count__shrinks_to_an_invertible_matrix() -> None:
    rng = np.random.default_rng(1)
    names = tuple(f"A{n}" for n in range(60))
    common = rng.normal(size=(40, 1))
    made = estimate(names, 0.01 * (common + rng.normal(size=(40, 60))), 3600.0, 1.0)
    assert made.shrinkage > 0.05
    assert np.linalg.eigvalsh(made.covariance)[0] > 0
    assert made.covariance == pytest.approx(made.covariance.T)


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        (np.ones((5, 1)), "at least 30"),
        (np.full((40, 1), np.nan), "finite"),
        (np.zeros((40, 1)), "ETH never moves"),
        (np.ones((40, 2)), "shape"),
    ],
)
def test_estimate__no_sample__is_refused(returns: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        estimate(("ETH",), returns, 3600.0)


def test_estimate__library_missing__names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.covariance", None)
    with pytest.raises(ConfigError, match=r"keeper\[analysis\]") as caught:
        estimate(("ETH",), np.random.default_rng(1).normal(size=(40, 1)), 3600.0)
    assert estimates.EXTRA in caught.value.problems[0]
