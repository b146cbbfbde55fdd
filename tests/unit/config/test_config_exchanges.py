"""Exchanges as a configuration names them: unknown ones, those that need the extra, and how a market is named."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from keeper.config import exchanges
from keeper.config.exchanges import EXTRA, OWN, ccxt_ids, ticker_problems
from keeper.oracle.exchanges import EXCHANGES

pytestmark = pytest.mark.unit


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of three exchanges, by its files alone."""
    (tmp_path / "async_support").mkdir()
    for name in ("__init__", "okx", "binance", "krakenfutures"):
        (tmp_path / "async_support" / f"{name}.py").touch()
    spec = ModuleSpec("ccxt", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(exchanges, "find_spec", lambda name: spec)
    return tmp_path


def said(**row: object) -> list[str]:
    return ticker_problems([(("chains", 0), {"tickers": [{"name": "kraken"}, row]})])


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("market", ["{BASE}-{QUOTE}", "{base}{quote}", "t{BASE}USD", "{BASE}/{QUOTE}:spot"])
def test_exchange__when_ccxt_knows_it_and_its_market_is_named__then_nothing_is_wrong(market: str) -> None:
    assert said(name="ccxt:okx", market=market, quote="USDT") == []


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ({"name": "krakken"}, "name", 'did you mean "kraken"'),
        ({"name": "kraken", "market": "{BASE}"}, "market", "remove it"),
        ({"name": "gemini", "quote": "USDT"}, "quote", "remove it"),
        ({"name": "ccxt:okex", "market": "{BASE}-USD"}, "name", 'did you mean "okx"'),
        ({"name": "ccxt:nowhere", "market": "{BASE}-USD"}, "name", "its list of exchanges"),
        ({"name": "ccxt:__init__", "market": "{BASE}-USD"}, "name", "is not known to ccxt"),
        ({"name": "ccxt:../okx", "market": "{BASE}-USD"}, "name", "is not known to ccxt"),
        ({"name": "ccxt:krakenfutures", "market": "{BASE}-USD"}, "name", "a reader of its own"),
        ({"name": "ccxt:okx"}, "market", "is required"),
        ({"name": "ccxt:okx", "market": "ETH-USD"}, "market", "must hold {BASE}"),
        ({"name": "ccxt:okx", "market": "{BASE}?x={QUOTE}"}, "market", "must hold {BASE}"),
        ({"name": "ccxt:okx", "market": "{BASE}{BASE}"}, "market", "must hold {BASE}"),
    ],
)
def test_exchange__when_it_is_named_wrongly__then_the_field_its_value_and_what_to_do_are_told(
    row: dict[str, object], field: str, words: str
) -> None:
    (why,) = said(**row)
    assert why.startswith(f"chains[0].tickers[1].{field}: ")
    assert words in why


def test_exchange__when_the_library_is_missing__then_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchanges, "find_spec", lambda name: None)
    (why,) = said(name="ccxt:okx", market="{BASE}-{QUOTE}")
    assert why.endswith(f"which the extra installs: {EXTRA}")
    assert "requirements-tickers.lock" in EXTRA
    assert said(name="gemini") == []


def test_exchange__with_a_reader_of_ours__is_named_as_the_readers_are() -> None:
    assert set(OWN) == EXCHANGES.keys()


def test_library__as_installed__has_the_exchanges_that_the_pages_name() -> None:
    assert {"okx", "binance"} <= (ccxt_ids() or frozenset())
