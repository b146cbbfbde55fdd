"""What a liquidation takes, venue by venue, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from keeper.risk import loss
from keeper.risk.loss import (
    AAVE_V3_0,
    AAVE_V3_3,
    GmxRule,
    LossRule,
    MakerRule,
    close_share,
    comet_loss_usd,
    gmx_liquidatable,
    gmx_loss_usd,
    loss_usd,
    maker_barked_usd,
    maker_loss_usd,
    maker_reward_usd,
    morpho_incentive,
    morpho_rule,
)

pytestmark = pytest.mark.unit


def test_aave_3_3__close_factor_dust_and_caps() -> None:
    assert loss_usd(20_000, 15_000, 0.99, AAVE_V3_3) == pytest.approx(375)
    assert loss_usd(20_000, 15_000, 0.94, AAVE_V3_3) == pytest.approx(750)
    assert close_share(1900, 1500, 0.99, AAVE_V3_3) == 1.0, "small positions are closed whole"
    assert close_share(2600, 2000, 0.99, AAVE_V3_3) == 0.5
    assert close_share(2020, 2000, 0.99, AAVE_V3_3) == 1.0, "half would leave dust"
    assert loss_usd(1000, 15_000, 0.5, AAVE_V3_3) == pytest.approx(1000 * 0.05 / 1.05)
    assert loss_usd(20_000, 15_000, 1.0, AAVE_V3_3) == 0.0
    assert loss_usd(20_000, 0.0, 0.5, AAVE_V3_3) == 0.0


def test_aave_3_0__half_above_095_and_no_dust_rule() -> None:
    assert loss_usd(20_000, 15_000, 0.9501, AAVE_V3_0) == pytest.approx(375)
    assert loss_usd(20_000, 15_000, 0.95, AAVE_V3_0) == pytest.approx(750), "at the threshold all of it"
    # 1,500 against 1,900: v3.3 closes what is small whole, v3.0 takes half of anything
    assert loss_usd(1900, 1500, 0.99, AAVE_V3_0) == pytest.approx(37.5)
    assert loss_usd(1900, 1500, 0.99, AAVE_V3_3) == pytest.approx(75)


@pytest.mark.parametrize(
    ("lltv", "factor"),
    [
        (0.77, 1.0 / 0.931),  # 1 - 0.3 x 0.23
        (0.86, 1.0 / 0.958),
        (0.945, 1.0 / 0.9835),
        (0.385, 1.15),  # 1 / 0.8155 is more than the cap
        (1.0, 1.0),
    ],
)
def test_morpho__incentive_by_hand__and_all_at_once(lltv: float, factor: float) -> None:
    assert morpho_incentive(lltv) == pytest.approx(factor, rel=1e-12)
    rule = morpho_rule(lltv)
    assert loss_usd(10_000, 7_000, 0.999, rule) == pytest.approx(7_000 * (factor - 1.0))
    # collateral short of debt x factor: all of it goes, the rest of the debt is the lenders'
    assert loss_usd(7_000, 7_000, 0.7, rule) == pytest.approx(7_000 * (1.0 - 1.0 / factor))


def test_morpho__no_market__is_refused() -> None:
    for lltv in (0.0, -1.0, 1.1, math.nan):
        with pytest.raises(ValueError, match="LLTV"):
            morpho_rule(lltv)


def test_comet__absorb__takes_the_discount_of_all_collateral() -> None:
    # 10,000 at 0.95 and 2,000 at 0.90: 500 + 200, whatever is owed
    assert comet_loss_usd([10_000, 2_000], [0.95, 0.90], True) == pytest.approx(700)
    assert comet_loss_usd([10_000, 2_000], [0.95, 0.90], False) == 0.0
    assert comet_loss_usd([10_000, 2_000], [math.nan, 0.90], True) == pytest.approx(10_200)
    assert comet_loss_usd([math.nan], [0.9], True) == math.inf


def test_maker__penalty_and_discount__by_hand() -> None:
    plain = MakerRule(chop=1.13, discount=0.0)
    assert maker_loss_usd(20_000, 10_000, False, plain) == pytest.approx(1_300)
    # 11,300 owed to the auction, sold 10 % under the market: 12,555.56 of collateral for 10,000 of debt
    assert maker_loss_usd(20_000, 10_000, False, MakerRule(chop=1.13, discount=0.10)) == pytest.approx(
        2_555.5556
    )
    # no more than all collateral: 12,000 sold for 10,000 of debt
    assert maker_loss_usd(12_000, 10_000, False, MakerRule(chop=1.13, discount=0.10)) == pytest.approx(2_000)
    assert maker_loss_usd(20_000, 10_000, True, plain) == 0.0
    assert maker_loss_usd(20_000, 0.0, False, plain) == 0.0


def test_maker__room_for_auctions__limits_the_part_but_leaves_no_dust() -> None:
    rule = MakerRule(chop=1.13, dust_usd=7_500, hole_usd=56_500, discount=0.0)
    assert maker_barked_usd(100_000, rule) == pytest.approx(50_000)
    assert maker_loss_usd(200_000, 100_000, False, rule) == pytest.approx(6_500)
    assert maker_barked_usd(55_000, rule) == 55_000, "a rest of 5,000 would be dust"
    # 300 + 0.1 % of 50,000 x 1.13, paid by the system
    assert maker_reward_usd(50_000, MakerRule(tip_usd=300, chip=0.001)) == pytest.approx(356.5)


def test_gmx__whole_position__fees_on_all_of_its_size() -> None:
    rule = GmxRule(liquidation_fee=0.003, close_fee=0.0006, impact_max=0.0, collateral_min=0.005)
    # 100,000 of size needs 500 after a closing fee of 60
    assert gmx_liquidatable(559, 100_000, rule)
    assert not gmx_liquidatable(561, 100_000, rule)
    assert gmx_loss_usd(559, 100_000, rule) == pytest.approx(360)
    assert gmx_loss_usd(561, 100_000, rule) == 0.0
    assert gmx_loss_usd(200, 100_000, rule) == 200, "never more than what remained"
    assert gmx_loss_usd(-50, 100_000, rule) == 0.0
    assert gmx_liquidatable(1.0, 100, rule), "less than a dollar after the fee"
    impact = GmxRule(impact_max=0.01)
    assert gmx_loss_usd(1_500, 100_000, impact) == pytest.approx(1_360)


@pytest.mark.parametrize("bad", [math.nan, -1.0])
def test_any_rule__unknown_number__may_cost_everything(bad: float) -> None:
    assert loss_usd(20_000, bad, 0.9, AAVE_V3_3) == 20_000
    assert loss_usd(20_000, math.nan, 1.5, AAVE_V3_3) == 20_000
    assert loss_usd(math.nan, 1.0, 0.9, AAVE_V3_3) == math.inf
    assert maker_loss_usd(20_000, bad, False, MakerRule()) == 20_000
    assert gmx_loss_usd(500, math.nan, GmxRule()) == 500
    assert gmx_loss_usd(math.nan, 100, GmxRule()) == math.inf


@pytest.mark.parametrize("rule", [AAVE_V3_0, AAVE_V3_3, morpho_rule(0.86), LossRule(bonus=0.15)])
def test_lending_rules__any_state__between_nothing_and_all_collateral(rule: LossRule) -> None:
    for collateral in (0.0, 1.0, 999.0, 2_001.0, 1e6):
        for debt in (0.0, 1.0, 1_500.0, 2_001.0, 1e6):
            for health in (0.0, 0.5, 0.95, 0.951, 0.999):
                assert 0.0 <= loss_usd(collateral, debt, health, rule) <= collateral
    assert loss.unknown_usd(-3.0) == 0.0
