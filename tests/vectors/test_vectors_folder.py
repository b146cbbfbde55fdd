"""The folder named by ``KEEPER_VECTORS`` is really read: each format is counted there, and one wrong number fails."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import test_risk_vectors as vectors

pytestmark = pytest.mark.vectors

LINES: list[tuple[str, Callable[[], None], Callable[[Any], None]]] = [
    (
        "aave_math_utils*.jsonl",
        vectors.test_health__aave_math_utils__within_bounds,
        lambda case: case["expected"].update(
            health_factor=str(float(case["expected"]["health_factor"]) * 1.00001)
        ),
    ),
    (
        "morpho_blue_sdk*.jsonl",
        vectors.test_health_and_price__morpho_sdk__within_bounds,
        lambda case: case["expected"]["now"].update(
            liquidation_price_1e36=str(int(int(case["expected"]["now"]["liquidation_price_1e36"]) * 1.0001))
        ),
    ),
    (
        "gmx_sdk*.jsonl",
        vectors.test_liquidation_price__gmx_sdk__within_bound,
        lambda case: case["expected"].update(
            liquidation_price_1e30=str(
                int(case["expected"]["liquidation_price_1e30"]) * 1_000_001 // 1_000_000
            )
        ),
    ),
    (
        "gains_sdk*.jsonl",
        vectors.test_liquidation_price__gains_sdk__within_bound,
        lambda case: case["expected"].update(
            liquidation_price=case["expected"]["liquidation_price"] * 1.00001
        ),
    ),
]
LISTS: list[tuple[str, Callable[[], None], Callable[[Any], None]]] = [
    (
        "lending_vectors.json",
        vectors.test_health__aave_contracts__within_bounds_and_never_healthier,
        lambda d: d["aave-3.6.0"][-1]["expect"].update(
            hf=str(int(d["aave-3.6.0"][-1]["expect"]["hf"]) * 100_001 // 100_000)
        ),
    ),
    (
        "gmx_v2_vectors.json",
        vectors.test_verdict__gmx_reader__same_side,
        lambda d: d[-1]["reader"].update(liq=not d[-1]["reader"]["liq"]),
    ),
    (
        "compound_v3_vectors.json",
        vectors.test_verdict__compound_v3_contract__same_side_stored_and_accrued,
        lambda d: [
            v["expect"].update(is_liquidatable_stored=not v["expect"]["is_liquidatable_stored"])
            for v in d["vectors"]
        ],
    ),
]


def one_file(pattern: str) -> Path:
    found = sorted((*(vectors.DATA / "vectors").glob(pattern), *vectors.DATA.glob(pattern)))
    if not found:
        pytest.skip(f"no {pattern} beside the repository")
    return found[0]


def judged(case: dict[str, Any]) -> bool:
    """A case whose spoilt number is compared: it has a debt and a boundary."""
    expected = case["expected"]
    if "health_factor" in expected:
        return float(expected["total_debt_usd"]) > 1.0
    if "now" in expected:
        return expected["now"]["liquidation_price_1e36"] not in (None, "0")
    prices = [expected[k] for k in ("liquidation_price", "liquidation_price_1e30") if k in expected]
    return all(p is not None and float(p) > 0 for p in prices)


def counted(capsys: pytest.CaptureFixture[str], test: Callable[[], None]) -> int:
    test()
    return sum(
        int(word)
        for word in capsys.readouterr().out.replace(",", " ").replace("}", " ").split()
        if word.isdigit()
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("pattern", "test", "spoil"), LINES)
def test_folder__lines__are_counted_and_one_wrong_number_fails(
    pattern: str,
    test: Callable[[], None],
    spoil: Callable[[Any], None],
    packed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = counted(capsys, test)
    cases = [c for c in map(json.loads, one_file(pattern).read_text().splitlines()) if judged(c)][:5]
    monkeypatch.setenv("KEEPER_VECTORS", str(tmp_path))

    def write() -> None:
        text = "\n".join(json.dumps(c) for c in cases)
        name = tmp_path / pattern.replace("*", "_mine")
        if packed:
            name.with_name(name.name + ".gz").write_bytes(gzip.compress(text.encode()))
        else:
            name.write_text(text)

    write()
    assert counted(capsys, test) > before
    spoil(cases[-1])
    write()
    with pytest.raises(AssertionError):
        test()


@pytest.mark.parametrize(("name", "test", "spoil"), LISTS)
def test_folder__documents__are_counted_and_one_wrong_answer_fails(
    name: str,
    test: Callable[[], None],
    spoil: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = counted(capsys, test)
    document = json.loads(one_file(name).read_text())
    monkeypatch.setenv("KEEPER_VECTORS", str(tmp_path))
    (tmp_path / name).write_text(json.dumps(document))
    assert counted(capsys, test) > before
    spoil(document)
    (tmp_path / name).write_text(json.dumps(document))
    with pytest.raises(AssertionError):
        test()
