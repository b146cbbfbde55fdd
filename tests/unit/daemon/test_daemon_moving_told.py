"""What check says of policies that move: the difference now, what is over a limit, what would keep a rule still."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from keeper.daemon.beside import WARNING_FILE, omen_text
from keeper.daemon.facts import Guarded
from keeper.daemon.moving import findings
from keeper.daemon.wiring import Site
from keeper.model import Omen, Policy
from keeper.units import WAD
from tests import build, mandates
from tests.build import USDC, WETH, collateral, debt, position

pytestmark = pytest.mark.unit
LOAN = position([collateral(WETH, "10")], [debt(USDC, "8000")])
PLAIN = replace(build.policy(), max_health_wad=4 * WAD, reduce_above_trigger=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is asked of a chain's settings."""

    uniswap_quoter: str | None = "0x1"
    tickers: tuple[str, ...] = ("kraken", "coinbase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is asked of a site."""

    guarded: tuple[Guarded, ...]
    chain: Chain = Chain()


def told(policy: Policy, folder: Path, chain: Chain | None = None) -> list[tuple[str, str, str]]:
    """(severity, code, why) of everything said."""
    mine = Guarded(id=LOAN.id, label="vault", policy=policy, venue_id=build.VENUE)
    site = cast(Site, Place(guarded=(mine,), chain=chain or Chain()))
    means = mandates.means(mandates.mandate(), ())
    found = findings(site, build.snapshot([LOAN], wallet=means), (folder / "journal.db", folder))
    return [(f.severity.value, f.code, f.why) for f in found]


def test_findings__when_a_policy_moves_now__then_its_difference_and_what_is_over(tmp_path: Path) -> None:
    assert told(PLAIN, tmp_path) == []
    over = told(replace(PLAIN, exposure_max_usd=(("asset", "WETH", 18_000),)), tmp_path)
    assert [(severity, code) for severity, code, _ in over] == [
        ("INFO", "policy_moved"),
        ("WARNING", "limit_over"),
    ]
    assert over[0][2].startswith("trigger 1.25 -> 2.075 to reduce: asset WETH $20,000.00 > limit $18,000.00")


def test_findings__when_the_warning_is_followed__then_whether_anybody_measures_it(tmp_path: Path) -> None:
    follows = replace(build.policy(), warning_target_wad=WAD // 10)
    assert [code for _, code, _ in told(follows, tmp_path)] == ["warning_stale"]
    at_s = build.block().timestamp_s
    fresh = Omen(stands=True, score=2.0, line=1.5, at_s=at_s, source="ETH/USDT")
    (tmp_path / WARNING_FILE).write_text(omen_text(fresh))
    ((_, code, why),) = told(follows, tmp_path)
    assert (code, "while an early warning stands" in why) == ("policy_moved", True)


@pytest.mark.parametrize(
    ("ppm", "chain", "words"),
    [
        (5_000, Chain(tickers=()), ["it never acts"]),
        (20_000, Chain(), ["that sale will be refused"]),
        (5_000, Chain(), []),
    ],
)
def test_findings__when_a_depeg_could_not_be_seen_or_sold__then_said_by_day(
    tmp_path: Path, ppm: int, chain: Chain, words: list[str]
) -> None:
    said = told(replace(PLAIN, depeg_ppm=ppm), tmp_path, chain)
    assert [code for _, code, _ in said] == ["depeg_sources"] * len(words)
    assert all(w in why for w, (_, _, why) in zip(words, said, strict=True))
