"""``keeper verify`` on real code of Aave and Morpho: all equal at one block; exit 1 for a decode that is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_morpho import MorphoMarket, MorphoSite, deploy_morpho, set_price, usual_price
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.cli import invoke
from keeper.config import load
from keeper.daemon import bands
from keeper.daemon.wiring import opened
from keeper.oracle import composed, feeds, steps
from keeper.seams import Reading
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.aave_v3.book import selector, word
from keeper.venues.morpho_blue import MorphoBlue, math
from keeper.venues.morpho_blue.book import PRICE
from tests.morpho_stage import Loan, constants, open_loans

pytestmark = pytest.mark.anvil

NOBODY = "0x000000000000000000000000000000000000dEaD"
AFTER_S = 40 * 86_400


class Stage:
    """A node with both markets, two loans on Aave, two on Morpho: one of each below its line."""

    def __init__(self, node: Anvil, chain: Chain, deployment: Deployment, site: MorphoSite) -> None:
        self.url, self.chain, self.deployment, self.site = node.url, chain, deployment, site
        self.market: MorphoMarket = site.market("WETH", "USDC")
        self.accounts = deployment.roles.actors[:2]

    def aave(self, *more: str) -> list[str]:
        named = [a for account in self.accounts for a in ("--account", account)]
        return ["verify", "--rpc", self.url, "--provider", self.deployment.provider, *named, *more]

    def morpho(self, *more: str) -> list[str]:
        named = [a for account in self.accounts for a in ("--account", account)]
        where = ["--provider", self.site.morpho, "--market", self.market.id]
        return ["verify", "--rpc", self.url, *where, *named, *more]


@pytest.fixture(scope="module")
def stage(upstream: Anvil, deployment: Deployment) -> Iterator[Stage]:
    chain = deployment.chain(upstream.url)
    snapshot = chain.snapshot()
    site = deploy_morpho(chain, deployment)
    here = Stage(upstream, chain, deployment, site)
    weth, usdc = deployment.token("WETH"), deployment.token("USDC")
    actors = Actors(chain, deployment)
    price = actors.price_usd8("WETH") // 10**8
    owed = price * usdc.unit
    for account, given in zip(here.accounts, (3, 2), strict=True):
        debt = {"USDC": owed}
        actors.open(Borrower(account=account, collateral={"WETH": given * weth.unit}, debt=debt))
    loans = [
        Loan(account=a, given=n * weth.unit, owed=owed) for a, n in zip(here.accounts, (3, 2), strict=True)
    ]
    open_loans(chain, deployment, site, here.market, loans)
    # the second loan goes under on both, and interest of weeks stands in no view that leaves it out
    set_price(chain, here.market, usual_price(chain, deployment, here.market) * 11 // 20)
    chain.mine(chain.block().timestamp_s + AFTER_S)
    yield here
    chain.revert(snapshot)
    chain.close()


def told(capsys: pytest.CaptureFixture[str], line: list[str]) -> tuple[int, dict[str, Any]]:
    code = invoke([*line, "--json"])
    return code, json.loads(capsys.readouterr().out)


def said(document: dict[str, Any], account: str, what: str) -> dict[str, Any]:
    (position,) = (p for p in document["positions"] if p["account"] == account)
    return next(f for f in position["facts"] if f["what"].startswith(what))


def test_verify__when_the_reader_is_right__then_health_is_the_pools_at_the_hash_it_names(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = told(capsys, stage.aave("--account", NOBODY))
    assert code == 0
    assert document["equal"]
    (block,) = document["blocks"]
    newest = stage.chain.block()
    assert (block["number"], block["hash"]) == (newest.number, newest.hash)
    signature = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
    for account in stage.accounts:
        pool = stage.chain.call(stage.deployment.pool, signature, account)
        fact = said(document, account, "health")
        assert fact == {"what": "health, wad", "ours": str(pool[5]), "venue": str(pool[5]), "equal": True}
    assert invoke(stage.aave("--account", NOBODY)) == 0
    shown = capsys.readouterr().out
    assert newest.hash in shown
    assert "1 more: nothing there, as the venue says too" in shown
    assert "all equal" in shown


def test_verify__when_interest_is_not_in_the_view__then_the_debt_is_the_contracts_and_so_is_the_verdict(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = told(capsys, stage.morpho())
    assert code == 0, document
    safe, under = stage.accounts
    assert said(document, safe, "liquidatable")["venue"] is False
    assert said(document, under, "liquidatable")["venue"] is True
    signature = "market(bytes32)(uint128,uint128,uint128,uint128,uint128,uint128)"
    stored = stage.chain.call(stage.site.morpho, signature, bytes.fromhex(stage.market.id[2:]))
    shares = stage.chain.call(
        stage.site.morpho,
        "position(bytes32,address)(uint256,uint128,uint128)",
        bytes.fromhex(stage.market.id[2:]),
        under,
    )[1]
    lazy = math.to_assets_up(shares, stored[2], stored[3])
    assert int(said(document, under, "debt")["venue"]) > lazy


def test_verify__when_a_block_is_named__then_that_one_is_pinned_and_not_the_newest(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = stage.chain.block()
    code, before = told(capsys, stage.aave("--block", str(newest.number - 1)))
    assert code == 0
    (block,) = before["blocks"]
    assert (block["number"], block["hash"]) == (newest.number - 1, newest.parent_hash)
    _, now = told(capsys, stage.aave())
    under = stage.accounts[1]
    assert said(before, under, "health")["venue"] != said(now, under, "health")["venue"]
    assert invoke(stage.aave("--block", str(newest.number + 1_000))) == 69
    assert f"the endpoint knows no block {newest.number + 1_000}" in capsys.readouterr().err


def _health_off_by_one(self: AaveV3, *asked: Any) -> Reading:
    reading = RIGHT(self, *asked)
    spoilt = tuple(replace(p, health_wad=(p.health_wad or 0) + 1) for p in reading.positions)
    return replace(reading, positions=spoilt)


RIGHT = AaveV3.decode


def test_verify__when_a_decode_is_wrong_by_one_wei__then_the_difference_is_shown_and_it_exits_1(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AaveV3, "decode", _health_off_by_one)
    assert invoke(stage.aave()) == 1
    shown = capsys.readouterr().out
    assert "DIFFERS by +1" in shown
    assert "2 of 2 differ or could not be read" in shown


def test_verify__when_a_reader_leaves_a_position_out__then_what_the_venue_has_is_shown_and_it_exits_1(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = MorphoBlue.decode

    def blind(self: MorphoBlue, *asked: Any) -> Reading:
        return replace(right(self, *asked), positions=())

    monkeypatch.setattr(MorphoBlue, "decode", blind)
    code, document = told(capsys, stage.morpho())
    assert code == 1
    assert not document["equal"]
    assert {p["why"] for p in document["positions"]} == {"our reader says nothing of it"}
    debt = said(document, stage.accounts[0], "debt")
    assert (debt["ours"], debt["equal"]) == ("0", False)


def written(stage: Stage, folder: Path, *, emergency: str = "1.10", accept: str = "false") -> Path:
    """A configuration that guards one loan on each venue."""
    file = folder / "keeper.toml"
    file.write_text(
        f"""\
schema = 1
state_dir = "state"
[[chains]]
name = "local"
chain_id = {stage.deployment.chain_id}
multicall = "{stage.deployment.multicall}"
[[chains.endpoints]]
name = "first"
url = "{stage.url}"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "local"
provider = "{stage.deployment.provider}"
[[venues]]
name = "weth-usdc"
kind = "morpho_blue"
chain = "local"
provider = "{stage.site.morpho}"
market = "{stage.market.id}"
usd_feed = "{stage.deployment.token("USDC").feed}"
[[positions]]
label = "pool"
venue = "aave"
account = "{stage.accounts[0]}"
[[positions]]
label = "market"
venue = "weth-usdc"
account = "{stage.accounts[1]}"
accept_thin_emergency = {accept}
[policies.default]
emergency = "{emergency}"
"""
    )
    return file


def test_verify__when_a_configuration_is_given__then_its_positions_on_both_venues_are_proved(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = told(capsys, ["verify", "--config", str(written(stage, tmp_path))])
    assert code == 0, document
    kinds = {p["id"].split(":")[0] for p in document["positions"]}
    assert kinds == {"aave_v3", "morpho_blue"}


def test_check__when_one_update_may_jump_over_emergency__then_it_is_refused_unless_accepted(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(stage, tmp_path, emergency="1.05", accept="true")
    _, document = told(capsys, ["check", "--config", str(file)])
    thin = {f["subject"]: f["severity"] for f in document["findings"] if f["code"] == "thin_emergency"}
    assert thin == {"pool": "CRITICAL", "market": "INFO"}


def test_check__when_a_feed_keeps_a_thousand_rounds__then_its_own_moves_are_measured(
    stage: Stage, tmp_path: Path
) -> None:
    feed, kept = stage.deployment.token("WETH").feed, stage.chain.snapshot()
    answer = stage.chain.call(feed, "latestAnswer()(int256)")
    round_ = b"".join(word(n) for n in (5_000, answer, 1, 1, 5_000))
    answers = {feeds.LATEST_ROUND: round_, steps.GET_ROUND: round_, feeds.LATEST_ANSWER: word(answer)}
    stage.chain.rpc("anvil_setCode", feed, constants(answers))
    stage.chain.mine()
    settings = load(written(stage, tmp_path))

    async def measured() -> dict[str, float]:
        async with opened(settings, settings.chains[0]) as site:
            return await bands.measured(site, (await site.view()).snapshot)

    try:
        found = asyncio.run(measured())
    finally:
        stage.chain.revert(kept)
    # the mock of the dollar keeps no rounds: the table stands for it
    assert list(found.values()) == [0.0]


def test_check__when_morphos_oracle_names_its_feeds__then_each_is_looked_at_and_a_wrong_scale_is_found(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["check", "--config", str(written(stage, tmp_path))]
    _, before = told(capsys, line)
    unlooked = [f for f in before["findings"] if f["code"] == "feed_unlooked"]
    assert [f["severity"] for f in unlooked if "morpho" in f["subject"]] == ["INFO"]
    # 1.10 is wide enough for ETH against a dollar
    assert "thin_emergency" not in {f["code"] for f in before["findings"]}
    kept = stage.chain.snapshot()
    price = stage.chain.call(stage.market.oracle, "price()(uint256)")
    parts = {
        "BASE_FEED_1": word(stage.deployment.token("WETH").feed),
        "QUOTE_FEED_1": word(stage.deployment.token("USDC").feed),
        "SCALE_FACTOR": word(10 ** (36 + 6 - 18 + 8)),
    }
    answers = {selector(f"{name}()"): parts.get(name, word(0)) for name in composed.NAMES}
    stage.chain.rpc("anvil_setCode", stage.market.oracle, constants(answers | {PRICE: word(price)}))
    stage.chain.mine()
    try:
        _, document = told(capsys, line)
    finally:
        stage.chain.revert(kept)
    found = {
        (f["code"], f["subject"].rsplit(":", 1)[1]) for f in document["findings"] if "morpho" in f["subject"]
    }
    assert ("feed_decimals", stage.market.oracle) in found
    # nobody wrote the feeds for forty days
    assert {("feed_stale", "BASE_FEED_1"), ("feed_stale", "QUOTE_FEED_1")} <= found
    assert "feed_unlooked" not in {code for code, _ in found}


@pytest.mark.parametrize(
    ("line", "code", "why"),
    [
        (["--rpc", "http://127.0.0.1:1", "--account", NOBODY], 69, "cannot be reached"),
        (["--rpc", "http://127.0.0.1:1"], 2, "--account"),
        (["--account", NOBODY], 2, "goes with --rpc"),
    ],
)
def test_verify__when_asked_wrongly_or_nobody_answers__then_its_exit_code_says_so(
    line: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["verify", *line]) == code
    assert why in capsys.readouterr().err
