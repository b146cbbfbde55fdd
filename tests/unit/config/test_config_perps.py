"""A GMX slot in keeper.toml: what it needs, and that its policy can do something for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import load
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit

A, B, C = ("0x" + f"{n:02d}" * 20 for n in (11, 22, 33))


def written(folder: Path, market: str, strategies: str, more: str = "") -> Path:
    path = folder / "keeper.toml"
    path.write_text(f"""schema = 1
[[chains]]
name = "local"
chain_id = 31337
[[chains.endpoints]]
url = "http://127.0.0.1:1"
[[venues]]
name = "gmx"
kind = "gmx_v2"
chain = "local"
provider = "{A}"
market = "{market}"
{more}
[[positions]]
label = "eth"
venue = "gmx"
account = "{C}"
[policies.default]
strategies = {strategies}
""")
    return path


def test_slot__with_a_strategy_of_its_own__loads(tmp_path: Path) -> None:
    more = f'reader = "{B}"\nsubaccount = "{C}"\nspread_bps = 30'
    settings = load(written(tmp_path, f"{A}:{B}:long", '["add_margin", "stop_on_venue"]', more))
    (venue,) = settings.venues
    assert (venue.market, venue.reader, venue.subaccount, venue.spread_bps) == (f"{A}:{B}:long", B, C, 30)
    bare = load(written(tmp_path, f"{A}:{B}:short", '["reduce_perp"]'))
    assert bare.digest != settings.digest


@pytest.mark.parametrize(
    ("market", "strategies", "words"),
    [
        (f"{A}:{B}:up", '["add_margin"]', "is not a market id"),
        (f"{A}:long", '["add_margin"]', "is not a market id"),
        (f"{A}:{B}:long", '["repay", "add_collateral"]', "names no strategy for a perpetual position"),
        ("ETH-A", '["add_margin"]', "is no market of kind"),
        ("0x" + "5c" * 32, '["add_margin"]', "is no market of kind"),
        (f"{A}:{B}:long", '["close_perp"]', '"close_perp" needs close_at or close_prices'),
    ],
)
def test_slot__wrong__says_what(tmp_path: Path, market: str, strategies: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(written(tmp_path, market, strategies))


def test_slot__on_a_market_that_is_not_perpetual__is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"{A}:{B}:long", '["repay"]')
    path.write_text(path.read_text().replace('"gmx_v2"', '"morpho_blue"'))
    with pytest.raises(ConfigError, match="is no market of kind"):
        load(path)
