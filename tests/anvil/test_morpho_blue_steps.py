"""Steps on the real Morpho Blue: what we encode works, what we project holds; what is broken is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, replace

import pytest

from anvil.client import Chain, Reverted
from anvil.deploy_morpho import PARAMS, MorphoSite, deploy_morpho, open_loan, set_price, usual_price
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.errors import ConfigError
from keeper.model import Amount, Position, Refusal, Repay, Step, Supply, Token
from keeper.oracle import drift
from keeper.seams import Delegates, Shadow
from keeper.units import BPS, UINT256_MAX, WAD
from keeper.venues.morpho_blue import math, rules
from keeper.venues.morpho_blue.math import Totals
from keeper.venues.morpho_blue.rules import Case, Liquidation, PreTerms
from tests.morpho_pre import HEALTHY, Borrower, Published, verdict
from tests.morpho_stage import MorphoReader, pre_liquidation, settings

pytestmark = pytest.mark.anvil

DAY_S = 86_400
PRE = "0x9999999999999999999999999999999999999999"
NOBODY = "0x8888888888888888888888888888888888888888"
LINE = 80 * 10**16
TERMS = (LINE, 10**17, 5 * 10**17, 101 * 10**16, 104 * 10**16)
TOTALS = "market(bytes32)(uint128,uint128,uint128,uint128,uint128,uint128)"
POSITION = "position(bytes32,address)(uint256,uint128,uint128)"


@pytest.fixture(scope="module")
def site(upstream: Anvil, deployment: Deployment) -> Iterator[MorphoSite]:
    """Morpho beside the Aave market, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_morpho(client, deployment)
    client.revert(snapshot)
    client.close()


class Stage:
    """A borrower whose loan is half a year old, and a keeper with approvals."""

    def __init__(
        self, chain: Chain, deployment: Deployment, site: MorphoSite, pre: tuple[str, ...] = ()
    ) -> None:
        self.chain, self.deployment, self.site = chain, deployment, site
        self.market = site.market("WETH", "USDC")
        self.user, self.keeper = deployment.roles.actors[0], deployment.roles.keeper
        open_loan(chain, deployment, site, self.market, (self.user, 10 * 10**18 + 7, 20_000 * 10**6 + 1))
        chain.mine(chain.block().timestamp_s + 180 * DAY_S)
        me = chain.accounts[0]
        # a feed that has not answered for half a year prices nothing
        chain.send(me, deployment.token("USDC").feed, "set(int256)", 10**8)
        for symbol in ("WETH", "USDC"):
            token = deployment.token(symbol)
            chain.send(me, token.address, "mint(address,uint256)", self.keeper, 10**6 * token.unit)
            chain.send(self.keeper, token.address, "approve(address,uint256)", site.morpho, 2**256 - 1)
        self.named = settings(deployment, site, self.market, pre=pre)
        self.reader = MorphoReader(chain, deployment, self.named)
        self.venue = self.reader.venue

    def now(self) -> Position:
        return self.reader.position(self.user)

    def token(self, symbol: str) -> Token:
        return next(t for t in self.venue.tokens if t.symbol == symbol)

    def act(self, step: Step) -> int:
        """Send the step as the keeper; gas used. Raises Reverted."""
        call = self.venue.encode(step, self.now())
        receipt = self.chain.send(self.keeper, call.target, call.data, gas=self.venue.gas(step))
        return int(receipt["gasUsed"], 16)

    def stored(self) -> tuple[int, ...]:
        """(supply shares, borrow shares, collateral) as the contract has them."""
        key = bytes.fromhex(self.market.id[2:])
        return tuple(self.chain.call(self.site.morpho, POSITION, key, self.user))

    def case(self) -> Case:
        """The user as the contract sees him now, once it has accrued."""
        self.chain.send(self.keeper, self.site.morpho, f"accrueInterest({PARAMS})", self.market.params)
        words = self.chain.call(self.site.morpho, TOTALS, bytes.fromhex(self.market.id[2:]))
        _, shares, collateral = self.stored()
        fields = dict(zip(Totals.__dataclass_fields__, words, strict=True))
        price = self.chain.call(self.market.oracle, "price()(uint256)")
        return Case(
            totals=Totals(**fields),
            borrow_shares=shares,
            collateral=collateral,
            price=price,
            lltv_wad=self.market.lltv_wad,
        )


@pytest.fixture
def stage(chain: Chain, deployment: Deployment, site: MorphoSite) -> Stage:
    return Stage(chain, deployment, site)


def test_steps__top_up_repay_and_close__are_met_or_beaten_and_fill_what_the_contract_keeps(
    stage: Stage,
) -> None:
    usdc, weth = stage.token("USDC"), stage.token("WETH")
    for step in (
        Supply(amount=Amount(token=weth, units=10**18 + 3)),
        Repay(amount=Amount(token=usdc, units=3_000 * 10**6 + 7)),
        # more than is owed: a plan adds what interest may, the contract takes what it does
        Repay(amount=Amount(token=usdc, units=60_000 * 10**6)),
    ):
        snapshot = stage.reader.snapshot([stage.user], wallet=stage.keeper)
        before = snapshot.positions[0]
        assert stage.venue.can(step, before, snapshot.means) is None
        promised = stage.venue.after([step], before)
        shadow = Shadow(
            id=before.id,
            collateral={weth.address: before.collateral[0].stored},
            debt={usdc.address: before.debt[0].stored},
        )
        stage.chain.rpc("anvil_setBlockTimestampInterval", 0)
        gas = stage.act(step)
        stage.chain.rpc("anvil_setBlockTimestampInterval", 12)
        filled = stage.venue.fill([step], stage.chain.block(), snapshot, shadow)
        real = stage.now()
        print(f"{type(step).__name__}: {gas} gas of {stage.venue.gas(step)}")
        assert 2 * gas < stage.venue.gas(step) + 60_000
        assert (promised.health_wad or 0) <= (real.health_wad or 0)
        if real.debt:
            assert (real.health_wad or 0) - (promised.health_wad or 0) < 10**10
        assert (real.health_wad or 0) > (before.health_wad or 0)
        _, shares, collateral = stage.stored()
        assert filled.collateral[weth.address] == collateral
        # a share is a millionth of a unit
        assert abs(filled.debt[usdc.address] - shares) <= 10**6
    assert (real.debt, stage.stored()[1], real.health_wad) == ((), 0, UINT256_MAX)


def test_encode__a_whole_debt_by_units__would_leave_dust_or_revert(stage: Stage) -> None:
    """Why a whole debt is repaid by shares."""
    owed = stage.now().debt[0].amount.units
    repay = f"repay({PARAMS},uint256,uint256,address,bytes)"
    before = stage.chain.snapshot()
    stage.chain.send(stage.keeper, stage.site.morpho, repay, stage.market.params, owed, 0, stage.user, b"")
    assert stage.stored()[1] > 0
    stage.chain.revert(before)
    with pytest.raises(Reverted):
        stage.chain.send(
            stage.keeper, stage.site.morpho, repay, stage.market.params, owed + 10**6, 0, stage.user, b""
        )


def test_can__wrong_token_or_amount__is_refused_by_name(stage: Stage) -> None:
    snapshot = stage.reader.snapshot([stage.user], wallet=stage.keeper)
    position, usdc, weth = snapshot.positions[0], stage.token("USDC"), stage.token("WETH")
    stranger = replace(usdc, address=NOBODY)
    nothing_owed = replace(position, debt=())
    for step, of, code in (
        (Supply(amount=Amount(token=usdc, units=1)), position, "not_collateral"),
        (Supply(amount=Amount(token=weth, units=0)), position, "no_amount"),
        (Supply(amount=Amount(token=weth, units=2**128)), position, "supply_cap"),
        (Supply(amount=Amount(token=stranger, units=1)), position, "reserve_unread"),
        (Repay(amount=Amount(token=weth, units=1)), position, "no_debt"),
        (Repay(amount=Amount(token=usdc, units=1)), nothing_owed, "no_debt"),
    ):
        refused = stage.venue.can(step, of, snapshot.means)
        assert refused is not None
        assert refused.code == code


@pytest.mark.parametrize("how", ["seized", "shares", "everything"])
def test_liquidation__below_the_line__moves_what_the_rule_says(stage: Stage, how: str) -> None:
    edge = stage.now()
    needed = -(-edge.debt[0].amount.units * WAD // stage.market.lltv_wad)
    price = -(-needed * math.ORACLE_SCALE // edge.collateral[0].amount.units)
    # far below, so that all the collateral does not cover the debt
    set_price(stage.chain, stage.market, price * (70 if how == "everything" else 97) // 100)
    stage.chain.rpc("anvil_setBlockTimestampInterval", 0)
    case = stage.case()
    amounts = {
        "seized": {"seized": 10**18},
        "shares": {"shares": case.borrow_shares // 3},
        "everything": {"seized": case.collateral},
    }[how]
    expected = rules.liquidate(case, **amounts)
    assert isinstance(expected, Liquidation)
    call = f"liquidate({PARAMS},address,uint256,uint256,bytes)"
    both = (amounts.get("seized", 0), amounts.get("shares", 0))
    stage.chain.send(stage.keeper, stage.site.morpho, call, stage.market.params, stage.user, *both, b"")
    _, shares, collateral = stage.stored()
    assert case.collateral - collateral == expected.seized_units
    assert case.borrow_shares - shares == expected.repaid_shares + expected.bad_debt_shares
    assert (expected.bad_debt_shares > 0) == (how == "everything")
    logs = stage.venue.liquidation_logs(stage.user)
    query = {"address": logs.target, "topics": list(logs.topics), "fromBlock": "0x0"}
    assert len(stage.chain.rpc("eth_getLogs", query)) == 1


def test_pre_liquidation__only_when_authorised__is_the_line_that_counts(
    chain: Chain, deployment: Deployment, site: MorphoSite
) -> None:
    market = site.market("WETH", "USDC")
    pre_liquidation(chain, site, market, (PRE, TERMS, market.oracle))
    stage = Stage(chain, deployment, site, pre=(PRE,))
    plain = stage.now()
    assert plain.collateral[0].threshold_wad == market.lltv_wad
    chain.send(stage.user, site.morpho, "setAuthorization(address,bool)", PRE, True)
    chain.send(stage.user, site.morpho, "setAuthorization(address,bool)", NOBODY, True)
    lined = stage.now()
    assert lined.collateral[0].threshold_wad == LINE
    assert lined.health_wad == pytest.approx((plain.health_wad or 0) * LINE / market.lltv_wad, rel=1e-6)
    assert lined.collateral[0].bonus_bps == max(rules.bonus_bps_up(market.lltv_wad, ()), 10_400)
    # at the exact price below which PreLiquidation.preLiquidate would no longer call it healthy
    needed = -(-lined.debt[0].amount.units * WAD // LINE)
    edge = -(-needed * math.ORACLE_SCALE // lined.collateral[0].amount.units)
    published = Published(pre_lltv=LINE, lcf=TERMS[1:3], lif=TERMS[3:5], lltv=market.lltv_wad)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    for price, healthy in ((edge, True), (edge - 1, False)):
        set_price(chain, market, price)
        at = stage.now()
        assert ((at.health_wad or 0) >= WAD) == healthy
        # by the published formulas, on the real contract's totals: the PreLiquidation is a double
        case = replace(stage.case(), price=price)
        borrower = Borrower(
            assets=case.totals.borrow_assets,
            shares=case.totals.borrow_shares,
            owes=case.borrow_shares,
            collateral=case.collateral,
            price=price,
        )
        said = verdict(borrower, published, case.borrow_shares // 20)
        assert (said == HEALTHY) if healthy else isinstance(said, tuple)
        terms = PreTerms(line_wad=LINE, close_wad=TERMS[1:3], incentive_wad=TERMS[3:5])
        taken = rules.pre_liquidate(case, terms, shares=case.borrow_shares // 20)
        assert (taken.code if isinstance(taken, Refusal) else astuple(taken)[:3]) == said
    venue = stage.venue
    assert isinstance(venue, Delegates)
    logs = venue.permission_logs(stage.user)
    told = chain.rpc("eth_getLogs", {"address": logs.target, "topics": list(logs.topics), "fromBlock": "0x0"})
    assert venue.permitted(told) == (NOBODY,)


def test_oracle__zero_huge_broken_or_gone__is_never_a_healthy_reading(stage: Stage) -> None:
    chain, market = stage.chain, stage.market
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    set_price(chain, market, 0)
    empty = stage.now()
    assert empty.health_wad == 0
    assert rules.liquidatable(stage.case())
    (named,) = [
        f for f in drift.faults(stage.reader.snapshot([stage.user]), None) if f.subject == empty.row.feeds[0]
    ]
    assert (named.code, named.why[:26]) == ("feed_not_positive", "WETH: its oracle answers 0")
    # the largest that the contract can multiply, and one more
    limit = UINT256_MAX // stage.now().collateral[0].amount.units
    set_price(chain, market, limit)
    assert (stage.now().health_wad or 0) > 10**30
    set_price(chain, market, limit + 1)
    (unread,) = stage.reader.snapshot([stage.user]).unreadable
    assert "overflows" in unread.why
    code = chain.rpc("eth_getCode", market.oracle, "latest")
    for broken in ("0xfe", "0x"):
        chain.rpc("anvil_setCode", market.oracle, broken)
        (unread,) = stage.reader.snapshot([stage.user]).unreadable
        assert "gives no price" in unread.why
    chain.rpc("anvil_setCode", market.oracle, code)
    usual = usual_price(chain, stage.deployment, market)
    set_price(chain, market, usual)
    # the dollar feed prices caps only: without it health stands and nothing can be spent
    chain.send(chain.accounts[0], stage.deployment.token("USDC").feed, "setBroken(bool)", True)
    unpriced = stage.now()
    assert (unpriced.health_wad or 0) > WAD
    assert unpriced.debt[0].price_base == 0


def test_load__what_is_wrong__is_named(stage: Stage) -> None:
    named, market, chain = stage.named, stage.market, stage.chain

    def problem(**changed: object) -> str:
        with pytest.raises(ConfigError) as wrong:
            MorphoReader(chain, stage.deployment, replace(named, **changed))
        return "; ".join(wrong.value.problems)

    assert "no market of this id" in problem(market="0x" + "ab" * 32)
    assert "no contract" in problem(provider=NOBODY)
    assert "not Morpho Blue" in problem(provider=stage.deployment.pool)
    assert "neither a price feed" in problem(usd_feed=market.oracle)
    assert "no contract there" in problem(pre_liquidations=(NOBODY,))
    assert "is no PreLiquidation" in problem(pre_liquidations=(market.oracle,))
    other = replace(market, id="0x" + "cd" * 32)
    pre_liquidation(chain, stage.site, other, (PRE, TERMS, market.oracle))
    assert "another market" in problem(pre_liquidations=(PRE,))
    # an Aave oracle prices dollars as well as a feed does
    by_oracle = MorphoReader(chain, stage.deployment, replace(named, usd_feed=stage.deployment.oracle))
    assert by_oracle.position(stage.user).debt[0].price_base == 10**18
    code = chain.rpc("eth_getCode", market.oracle, "latest")
    chain.rpc("anvil_setCode", market.oracle, "0x")
    assert "has no code" in problem()
    chain.rpc("anvil_setCode", market.oracle, code)
    chain.rpc("anvil_setCode", stage.site.irm, "0xfe")
    assert "not the adaptive curve" in problem()


def test_load__an_oracle_of_zero_address__is_refused(stage: Stage) -> None:
    loan, collateral, _, irm, lltv = stage.market.params
    params = (loan, collateral, "0x" + "0" * 40, irm, lltv)
    stage.chain.send(stage.chain.accounts[0], stage.site.morpho, f"createMarket({PARAMS})", params)
    logs = stage.chain.rpc("eth_getLogs", {"address": stage.site.morpho, "fromBlock": "latest"})
    created = next(log["topics"][1] for log in logs if len(log["topics"]) == 2)
    with pytest.raises(ConfigError, match="zero address"):
        MorphoReader(stage.chain, stage.deployment, replace(stage.named, market=created))


def test_bonus__of_a_line__is_the_contracts_incentive_rounded_up() -> None:
    assert rules.bonus_bps_up(86 * 10**16, ()) == -(-rules.incentive(86 * 10**16) * BPS // WAD) == 10_439
