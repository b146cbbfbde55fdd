"""What the market's admin changes on the real pool is seen at the next read: each by its code and its token."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.shock import set_frozen, set_ltv_zero, set_paused, set_supply_cap
from keeper.model import Snapshot
from keeper.oracle import drift
from keeper.oracle.faults import Fault
from tests.anvil_reading import Reader

pytestmark = pytest.mark.anvil
Change = Callable[[Chain, Deployment], object]


class Watch:
    """A borrower of WETH and WBTC against USDC, read before and after."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.market = chain, deployment
        self.actors = Actors(chain, deployment)
        self.user = deployment.roles.actors[0]
        held = {"WETH": 10 * 10**18, "WBTC": 10**7}
        self.actors.open(Borrower(account=self.user, collateral=held, debt={"USDC": 12_000 * 10**6}))
        self.reader = Reader(chain, deployment)
        self.before = self.look()

    def look(self) -> Snapshot:
        return self.reader.snapshot([self.user])

    def said(self) -> tuple[Fault, ...]:
        return drift.faults(self.look(), self.before)


@pytest.fixture
def watch(chain: Chain, deployment: Deployment) -> Watch:
    return Watch(chain, deployment)


def configured(chain: Chain, market: Deployment, signature: str, *arguments: object) -> None:
    """A call of the pool's admin."""
    chain.send(market.roles.deployer, market.configurator, signature, *arguments)


def cut(chain: Chain, market: Deployment) -> None:
    token = market.token("WETH").address
    configured(
        chain,
        market,
        "configureReserveAsCollateral(address,uint256,uint256,uint256)",
        token,
        7_000,
        7_400,
        10_500,
    )


def borrow_capped(chain: Chain, market: Deployment) -> None:
    configured(chain, market, "setBorrowCap(address,uint256)", market.token("USDC").address, 1)


CHANGES: tuple[tuple[str, Change, tuple[tuple[str, str], ...]], ...] = (
    ("pause", lambda c, m: set_paused(c, m, "WETH"), (("reserve_paused", "WETH is paused"),)),
    ("pause of the debt", lambda c, m: set_paused(c, m, "USDC"), (("reserve_paused", "USDC is paused"),)),
    # from 3.1 a freeze takes the loan-to-value as well
    (
        "freeze",
        lambda c, m: set_frozen(c, m, "WETH"),
        (("ltv_zero", "WETH has a loan-to-value of 0"), ("reserve_frozen", "WETH is frozen")),
    ),
    ("freeze of the debt", lambda c, m: set_frozen(c, m, "USDC"), (("reserve_frozen", "USDC is frozen"),)),
    ("supply cap", lambda c, m: set_supply_cap(c, m, "WETH", 1), (("supply_capped", "WETH is supplied"),)),
    ("ltv", lambda c, m: set_ltv_zero(c, m, "WBTC"), (("ltv_zero", "WBTC has a loan-to-value of 0"),)),
    ("threshold", cut, (("threshold_cut", "liquidation threshold cut: WETH 83.00% -> 74.00%"),)),
    # no way of a rescue borrows: what may be repaid and supplied is as before
    ("borrow cap", borrow_capped, ()),
    ("another's", lambda c, m: set_paused(c, m, "DAI"), ()),
)


@pytest.mark.parametrize(("change", "codes"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_drift__when_the_admin_changes_the_market__then_the_next_read_says_it_by_code_and_token(
    watch: Watch, change: Change, codes: tuple[tuple[str, str], ...]
) -> None:
    assert watch.said() == ()
    change(watch.chain, watch.market)
    said = watch.said()
    assert [f.code for f in said] == [code for code, _ in codes]
    for fault, (_, text) in zip(said, codes, strict=True):
        assert fault.why.startswith(text), fault.why
        assert watch.user in fault.subject


def test_drift__when_all_the_cash_is_borrowed__then_what_is_held_cannot_leave_and_that_is_said(
    watch: Watch,
) -> None:
    whale, weth = watch.market.roles.actors[9], watch.market.token("WETH").address
    cash = watch.chain.call(watch.market.pool, "getVirtualUnderlyingBalance(address)(uint128)", weth)
    watch.actors.open(Borrower(account=whale, collateral={"USDC": 10**9 * 10**6}, debt={"WETH": int(cash)}))
    assert [(f.code, f.why.split()[0]) for f in watch.said() if f.code == "no_cash"] == [("no_cash", "WETH")]
