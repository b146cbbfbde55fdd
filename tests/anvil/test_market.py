"""The market is the real one: its revision, its errors, its liquidation to the unit."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from anvil import renewal, shock
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.compile import ARTIFACTS_DIR, Artifact, own_artifact_texts
from anvil.deploy_multicall3 import MULTICALL3
from anvil.deployment import Deployment
from anvil.liquidator import Liquidator
from keeper.errors import Rejected

pytestmark = pytest.mark.anvil
WAD = 10**18


def _plain(deployment: Deployment, index: int = 0) -> Borrower:
    account = deployment.roles.actors[index]
    return Borrower(account=account, collateral={"WETH": 10 * WAD}, debt={"USDC": 17_000 * 10**6})


def test_pool__asked_its_revision__is_aave_v3_6(chain: Chain, deployment: Deployment) -> None:
    assert chain.call(deployment.pool, "POOL_REVISION()(uint256)") == 10
    assert chain.call(deployment.provider, "getPool()(address)") == deployment.pool


def test_position__opened_at_round_prices__has_the_health_of_the_formula(
    actors: Actors, deployment: Deployment
) -> None:
    borrower = _plain(deployment)
    actors.open(borrower)
    seen = actors.account(borrower.account)
    assert seen.collateral_base == 30_000 * 10**8
    # a second of interest at most; debt rounds up
    assert 0 <= seen.debt_base - 17_000 * 10**8 < 10**5
    assert (
        seen.health_wad
        == (seen.collateral_base * 8_300 * WAD + seen.debt_base // 2) // seen.debt_base // 10_000
    )


def test_healthy_position__liquidator_tries__pool_refuses_by_name(
    actors: Actors, deployment: Deployment
) -> None:
    borrower = _plain(deployment)
    actors.open(borrower)
    liquidator = Liquidator(actors)
    assert liquidator.act([borrower.account]) == ()
    weth, usdc = deployment.token("WETH").address, deployment.token("USDC").address
    with pytest.raises(Reverted) as refused:
        actors.chain.send(
            liquidator.account,
            deployment.pool,
            "liquidationCall(address,address,address,uint256,bool)",
            weth,
            usdc,
            borrower.account,
            2**256 - 1,
            False,
        )
    assert refused.value.name == "HealthFactorNotBelowThreshold"


@pytest.mark.parametrize(
    ("price", "share"),
    [(2_000, 0.5), (1_900, 1.0)],
    ids=["health above 0.95: half the debt", "health below 0.95: all of it"],
)
def test_underwater_position__liquidated__loses_bonus_to_the_unit(
    actors: Actors, deployment: Deployment, price: int, share: float
) -> None:
    borrower = _plain(deployment)
    actors.open(borrower)
    liquidator = Liquidator(actors)
    shock.set_prices(actors.chain, deployment, {"WETH": price * 10**8})
    (done,) = liquidator.act([borrower.account])
    assert (done.collateral, done.debt) == ("WETH", "USDC")
    assert done.debt_units == pytest.approx(17_000 * 10**6 * share, rel=1e-6)
    # 5 % bonus, of which the protocol takes a tenth; units of 1e-18 WETH against 8-decimal dollars
    assert done.loss_usd8 == pytest.approx(done.debt_usd8 * 5 // 100, abs=2)
    assert done.fee_units == pytest.approx(done.seized_units * 5 // 1_050, abs=10**9)
    assert actors.account(borrower.account).debt_base == pytest.approx(
        17_000 * 10**8 * (1 - share), abs=10**5
    )


def test_emode_loop__depegged__is_liquidated_at_one_percent(actors: Actors, deployment: Deployment) -> None:
    account = deployment.roles.actors[3]
    loop = Borrower(account=account, collateral={"wstETH": 10 * WAD}, debt={"WETH": 108 * WAD // 10}, emode=2)
    actors.open(loop)
    assert actors.account(account).threshold_bps == 9_500
    liquidator = Liquidator(actors)
    shock.set_prices(actors.chain, deployment, {"wstETH": 3_600 * 94 * 10**6})
    (done,) = liquidator.act([account])
    assert done.loss_usd8 == pytest.approx(done.debt_usd8 // 100, abs=2)


def test_liquidator__two_debts__takes_the_larger(actors: Actors, deployment: Deployment) -> None:
    account = deployment.roles.actors[4]
    actors.open(
        Borrower(
            account=account,
            collateral={"WETH": 10 * WAD, "WBTC": 10**7},
            debt={"USDC": 5_000 * 10**6, "DAI": 20_000 * WAD},
        )
    )
    liquidator = Liquidator(actors)
    shock.set_prices(actors.chain, deployment, {"WETH": 1_900 * 10**8, "WBTC": 50_000 * 10**8})
    (done,) = liquidator.act([account])
    assert (done.collateral, done.debt) == ("WETH", "DAI")


def test_feed__broken__account_reads_revert(actors: Actors, deployment: Deployment) -> None:
    borrower = _plain(deployment)
    actors.open(borrower)
    shock.set_feed_broken(actors.chain, deployment, "WETH")
    with pytest.raises(Reverted, match="FeedBroken"):
        actors.account(borrower.account)


def test_feed__set__emits_answer_updated_with_round_and_time(chain: Chain, deployment: Deployment) -> None:
    (tx_hash,) = shock.set_prices(chain, deployment, {"DAI": 99_000_000})
    (log,) = chain.receipt(tx_hash)["logs"]
    assert log["topics"][0] == "0x" + keccak(text="AnswerUpdated(int256,uint256,uint256)").hex()
    assert int(log["topics"][1], 16) == 99_000_000
    feed = deployment.token("DAI").feed
    answer = chain.call(feed, "latestRoundData()(uint80,int256,uint256,uint256,uint80)")
    assert answer[:2] == (2, 99_000_000)
    assert answer[3] == chain.block().timestamp_s


@pytest.mark.parametrize(
    ("trouble", "error"),
    [("paused", "ReservePaused"), ("frozen", "ReserveFrozen"), ("capped", "SupplyCapExceeded")],
)
def test_reserve__in_trouble__supply_is_refused_by_name(
    actors: Actors, deployment: Deployment, trouble: str, error: str
) -> None:
    if trouble == "paused":
        shock.set_paused(actors.chain, deployment, "WETH")
    elif trouble == "frozen":
        shock.set_frozen(actors.chain, deployment, "WETH")
    else:
        shock.set_supply_cap(actors.chain, deployment, "WETH", 1)
    with pytest.raises(Reverted) as refused:
        actors.supply(deployment.roles.actors[0], "WETH", WAD)
    assert refused.value.name == error


def test_swap__quoted_on_each_pool__is_near_the_oracle(chain: Chain, deployment: Deployment) -> None:
    quote = "quoteExactInputSingle((address,address,uint256,uint24,uint160))(uint256,uint160,uint32,uint256)"
    prices = {"WETH": 3_000, "WBTC": 90_000, "wstETH": 3_600, "USDC": 1, "DAI": 1}
    for pool in deployment.uniswap.pools:
        sold, bought = (deployment.token(s) for s in pool.symbols)
        amount = 1_000 * sold.unit // prices[sold.symbol]
        arguments = (sold.address, bought.address, amount, pool.fee, 0)
        answer = chain.call(deployment.uniswap.quoter, quote, arguments)
        got_usd = answer[0] * prices[bought.symbol] / bought.unit
        assert got_usd == pytest.approx(1_000 * (1 - pool.fee / 1e6), rel=1e-3)


def test_multicall3__at_its_known_address__answers(chain: Chain, deployment: Deployment) -> None:
    assert deployment.multicall == MULTICALL3
    assert chain.call(MULTICALL3, "getBlockNumber()(uint256)") == chain.block().number


def test_snapshot__used_twice__is_refused(chain: Chain) -> None:
    outer = chain.snapshot()
    chain.revert(outer)
    with pytest.raises(Rejected, match="once"):
        chain.revert(outer)


def test_many_borrowers__opened_in_bulk__each_has_its_position(
    actors: Actors, deployment: Deployment
) -> None:
    accounts = [f"0x{i:040x}" for i in range(0xA11CE000, 0xA11CE000 + 40)]
    borrowers = [
        Borrower(account=a, collateral={"wstETH": WAD}, debt={"WETH": WAD // 2}, emode=2 * (i % 2))
        for i, a in enumerate(accounts)
    ]
    before = actors.chain.block()
    actors.open_many(borrowers)
    assert actors.chain.block().number - before.number <= 4
    for i, account in enumerate(accounts):
        seen = actors.account(account)
        assert seen.threshold_bps == (9_500 if i % 2 else 8_100)
        assert seen.debt_base == pytest.approx(1_500 * 10**8, abs=10**4)


def test_many_borrowers__one_asks_too_much__says_which_error(actors: Actors, deployment: Deployment) -> None:
    greedy = Borrower(account="0x" + "ab" * 20, collateral={"WETH": WAD}, debt={"USDC": 2_450 * 10**6})
    with pytest.raises(Reverted, match="CollateralCannotCoverNewBorrow"):
        actors.open_many([greedy])
    assert actors.chain.rpc("anvil_getAutomine") is True


def test_deployment__written_and_read__is_the_same(deployment: Deployment) -> None:
    assert Deployment.from_json(deployment.to_json()) == deployment


def test_own_contracts__compiled__equal_the_committed_artifacts(market_code: dict[str, Artifact]) -> None:
    # the cache's key is a hash of every source, the settings and the compiler: in a clean clone set-up compiled them
    texts = own_artifact_texts() | renewal.texts()
    assert {p.name for p in ARTIFACTS_DIR.glob("*.json")} == set(texts)
    for name, text in texts.items():
        assert (ARTIFACTS_DIR / name).read_text(encoding="utf-8") == text
