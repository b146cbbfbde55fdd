"""Every kind of account of the 3.0 line on its real bytecode: our integers are the pool's own, to the wei."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deploy_aave_v3_0 import deploy_aave_v3_0
from anvil.deployment import Deployment
from anvil.node import Anvil
from anvil.shock import set_prices
from keeper.model import Amount, Position, Repay, Supply
from keeper.units import WAD
from keeper.venues.aave_v3.math import LINE_3_0
from keeper.venues.aave_v3.rules import Case, Liquidation, closable_units, liquidate
from tests.anvil_reading import Reader
from tests.bench.figures import record
from tests.bulk import mined_together

pytestmark = pytest.mark.anvil

SEED = 20_260_502
CLASSES = ("one_debt", "several_debts", "e_mode", "switched_off", "dust", "isolation", "stable_rate")
EACH = 29
N = len(CLASSES) * EACH
ROUNDS = 3
USD8 = 10**8
ASSETS = ("WETH", "WBTC", "wstETH", "USDC", "DAI")
STABLES = ("USDC", "DAI")
DAY_S = 86_400
STABLE, VARIABLE = 1, 2
SUPPLY = "supply(address,uint256,address,uint16)"
BORROW = "borrow(address,uint256,uint256,uint16,address)"
SWITCH = "setUserUseReserveAsCollateral(address,bool)"


@pytest.fixture(scope="module")
def spark(upstream: Anvil, deployment: Deployment) -> Iterator[Deployment]:
    """The 3.0 market in place of the newer one, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_aave_v3_0(client, deployment)
    client.revert(snapshot)
    client.close()


class Script:
    """What one random account of a class does, as calls to the pool."""

    def __init__(self, kind: str, rng: random.Random, market: Deployment, prices: Mapping[str, int]) -> None:
        self.account = str(to_checksum_address(rng.randbytes(20)))
        self._rng, self._market, self._prices = rng, market, prices
        self.given: list[tuple[str, int]] = []
        self.owner: list[bytes] = []
        getattr(self, f"_{kind}")(10 ** rng.uniform(2, 4.7))

    def _units(self, symbol: str, usd: float) -> int:
        return max(1, int(usd * USD8 * self._market.token(symbol).unit / self._prices[symbol])) | 1

    def _give(self, symbol: str, usd: float) -> None:
        self.given.append((symbol, self._units(symbol, usd)))

    def _owe(self, symbol: str, usd: float, rate: int = VARIABLE) -> None:
        token = self._market.token(symbol).address
        self.owner.append(encode_call(BORROW, token, self._units(symbol, usd), rate, 0, self.account))

    def _switch(self, symbol: str, on: bool) -> None:
        self.owner.append(encode_call(SWITCH, self._market.token(symbol).address, on))

    def _one_debt(self, usd: float) -> None:
        for symbol in ("WETH", "wstETH"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        self._owe("USDC", usd * self._rng.uniform(0.02, 0.25))

    def _several_debts(self, usd: float) -> None:
        for symbol in ("WETH", "USDC"):
            self._give(symbol, usd * self._rng.uniform(0.2, 1))
        for symbol in self._rng.sample(("WETH", "WBTC", "wstETH", "DAI"), 3):
            self._owe(symbol, usd * self._rng.uniform(0.01, 0.08))

    def _e_mode(self, usd: float) -> None:
        mode = self._rng.choice((1, 2))
        given, owed = ("USDC", "DAI") if mode == 1 else ("wstETH", "WETH")
        self.owner.append(encode_call("setUserEMode(uint8)", mode))
        self._give(given, usd)
        if self._rng.random() < 0.5:
            # not of the category: its own threshold counts
            self._give("WETH" if mode == 1 else "DAI", usd / 3)
        self._owe(owed, usd * self._rng.uniform(0.1, 0.85))

    def _switched_off(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("DAI", usd * 2)
        self._switch("DAI", False)
        self._owe("USDC", usd * self._rng.uniform(0.01, 0.3))

    def _dust(self, usd: float) -> None:
        self._give("WETH", usd)
        self.given.append(("DAI", self._rng.randint(2, 10**6)))
        token = self._market.token("USDC").address
        self.owner.append(encode_call(BORROW, token, self._rng.randint(1, 50), VARIABLE, 0, self.account))

    def _isolation(self, usd: float) -> None:
        # nobody else's supply switches an isolated asset on
        self._give("WBTC", usd)
        self._switch("WBTC", True)
        self._owe(self._rng.choice(STABLES), usd * self._rng.uniform(0.1, 0.6))

    def _stable_rate(self, usd: float) -> None:
        self._give("WETH", usd)
        self._give("wstETH", usd / 2)
        self._owe("USDC", usd * self._rng.uniform(0.05, 0.3), STABLE)
        if self._rng.random() < 0.5:
            self._owe("USDC", usd * self._rng.uniform(0.01, 0.1))
        if self._rng.random() < 0.5:
            self._owe("DAI", usd * self._rng.uniform(0.01, 0.1))


def _open(chain: Chain, market: Deployment, people: list[Script]) -> None:
    lender, me = market.roles.lender, chain.accounts[0]
    for symbol in ASSETS:
        total = sum(u for p in people for s, u in p.given if s == symbol)
        chain.send(me, market.token(symbol).address, "mint(address,uint256)", lender, total + 1)
    for start in range(0, len(people), 50):
        some = people[start : start + 50]
        supplies = [
            (lender, encode_call(SUPPLY, market.token(s).address, u, p.account, 0))
            for p in some
            for s, u in p.given
        ]
        mined_together(chain, market.pool, supplies)
        mined_together(chain, market.pool, [(p.account, data) for p in some for data in p.owner])


def _account_data(market: Deployment, account: str, number: int) -> tuple[str, tuple[object, ...]]:
    data = "0xbf92857c" + account[2:].lower().rjust(64, "0")
    return "eth_call", ({"to": market.pool, "data": data}, hex(number))


def _agrees(position: Position | None, pool: tuple[int, ...]) -> bool:
    if position is None:
        return False
    counted = tuple(h for h in position.collateral if h.threshold_wad)
    collateral = sum(h.value_base for h in counted)
    weighted = sum(h.value_base * (h.threshold_wad // 10**14) for h in counted)
    ours = (collateral, sum(h.value_base for h in position.debt), weighted // collateral if collateral else 0)
    return (*ours, position.health_wad) == (pool[0], pool[1], pool[3], pool[5])


def _whale(chain: Chain, market: Deployment, prices: Mapping[str, int]) -> None:
    """Somebody borrows most of the cash: at real rates every term of the compounding shows within weeks."""

    def units(symbol: str, usd: int) -> int:
        return usd * USD8 * market.token(symbol).unit // prices[symbol]

    debt = {s: units(s, 40_000_000) for s in ("USDC", "DAI", "WETH")}
    pledge = {"wstETH": units("wstETH", 400_000_000)}
    Actors(chain, market).open(Borrower(account=market.roles.actors[0], collateral=pledge, debt=debt))


def test_states_exact__203_random_accounts_of_seven_classes__equal_the_pool_to_the_wei(
    chain: Chain, spark: Deployment
) -> None:
    rng, actors = random.Random(SEED), Actors(chain, spark)
    start = {s: actors.price_usd8(s) for s in ASSETS}
    _whale(chain, spark, start)
    people = [Script(kind, rng, spark, start) for kind in CLASSES for _ in range(EACH)]
    _open(chain, spark, people)
    accounts = [p.account for p in people]
    reader = Reader(chain, spark)
    assert reader.venue.market.line is LINE_3_0
    wrong: set[str] = set()
    underwater = fixed = 0
    for _ in range(ROUNDS):
        stable, wild = (0.97, 1.03), (0.3, 1.6)
        moved = {s: int(p * rng.uniform(*(stable if s in STABLES else wild))) for s, p in start.items()}
        set_prices(chain, spark, moved)
        chain.mine(reader.block().timestamp_s + rng.randint(1, 40 * DAY_S))
        block = reader.block()
        found = {p.id.account: p for p in reader.snapshot(accounts).positions}
        pool = chain.batch(_account_data(spark, a, block.number) for a in accounts)
        for account, answer in zip(accounts, pool, strict=True):
            words = tuple(int(answer[2 + 64 * i : 66 + 64 * i], 16) for i in range(6))
            underwater += words[5] < WAD
            if not _agrees(found.get(account), words):
                wrong.add(account)
        fixed += sum("(stable rate)" in h.amount.token.symbol for p in found.values() for h in p.debt)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": N, "seed": SEED}
    record("states_exact_aave_v3_0", N - len(wrong), unit="states", bound=f"= {N}", holds=not wrong, **proof)
    record("states_wrong_aave_v3_0", len(wrong), unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong, f"{len(wrong)} of {N} differ, e.g. {sorted(wrong)[0]}"
    assert underwater, "no account was ever liquidatable: the prices do not reach the interesting states"
    assert fixed == EACH * ROUNDS, "debt at a stable rate stands apart, under its own name"


@pytest.fixture
def loan(chain: Chain, spark: Deployment) -> Reader:
    """One account with collateral of two thresholds and one debt, a year old."""
    user = spark.roles.actors[1]
    collateral = {"WETH": 10 * 10**18 + 7, "wstETH": 3 * 10**18 + 1}
    Actors(chain, spark).open(
        Borrower(account=user, collateral=collateral, debt={"USDC": 25_000 * 10**6 + 1})
    )
    chain.mine(chain.block().timestamp_s + 365 * DAY_S)
    return Reader(chain, spark)


def _liquidated(chain: Chain, market: Deployment, user: str) -> bool:
    """Whether the pool lets somebody liquidate a little at the newest block, undone at once."""
    who, token = market.roles.liquidator, market.token("USDC").address
    call = "liquidationCall(address,address,address,uint256,bool)"
    try:
        chain.call(
            market.pool, call + "()", market.token("WETH").address, token, user, 10**6, False, sender=who
        )
    except Reverted as refused:
        # 45 is HEALTH_FACTOR_NOT_BELOW_THRESHOLD of the line's numbered errors
        if "45" not in str(refused):
            raise
        return False
    return True


def test_verdict__at_the_exact_boundary_price__is_the_pools_own_on_both_sides(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user = spark.roles.actors[1]
    liquidator, usdc = spark.roles.liquidator, spark.token("USDC").address
    chain.send(chain.accounts[0], usdc, "mint(address,uint256)", liquidator, 10**12)
    chain.send(liquidator, usdc, "approve(address,uint256)", spark.pool, 2**256 - 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)

    def health(price: int) -> int:
        set_prices(chain, spark, {"WETH": price})
        return loan.position(user).health_wad or 0

    low, high = 500 * USD8, 3_000 * USD8
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if health(middle) >= WAD else (middle, high)
    sides = []
    for price in (high, low):
        ours = health(price) < WAD
        sides.append((ours, _liquidated(chain, spark, user)))
    assert sides == [(False, False), (True, True)]


def test_rescue__by_top_up_and_by_repayment__does_what_was_projected(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user, keeper = spark.roles.actors[1], spark.roles.keeper
    tokens = {t.symbol: t for t in loan.venue.tokens}
    for symbol in ("WETH", "USDC"):
        chain.send(chain.accounts[0], tokens[symbol].address, "mint(address,uint256)", keeper, 10**22)
        chain.send(keeper, tokens[symbol].address, "approve(address,uint256)", spark.pool, 2**256 - 1)
    for step in (
        Supply(amount=Amount(token=tokens["WETH"], units=10**18)),
        Repay(amount=Amount(token=tokens["USDC"], units=5_000 * 10**6)),
        Repay(amount=Amount(token=tokens["USDC"], units=50_000 * 10**6)),
    ):
        chain.rpc("anvil_setBlockTimestampInterval", 0)
        snapshot = loan.snapshot([user], wallet=keeper)
        before = snapshot.positions[0]
        assert loan.venue.can(step, before, snapshot.means) is None
        promised = loan.venue.after([step], before)
        call = loan.venue.encode(step, before)
        receipt = chain.send(keeper, call.target, call.data, gas=loan.venue.gas(step))
        assert int(receipt["gasUsed"], 16) < loan.venue.gas(step)
        real = loan.position(user)
        assert (promised.health_wad or 0) <= (real.health_wad or 0)
        assert (real.health_wad or 0) > (before.health_wad or 0)
    assert not real.debt


def test_stable_rate__when_owed__is_read_and_named_and_no_step_touches_it(
    chain: Chain, spark: Deployment
) -> None:
    user, keeper = spark.roles.actors[2], spark.roles.keeper
    Actors(chain, spark).open(Borrower(account=user, collateral={"WETH": 10**19}, debt={"USDC": 50 * 10**6}))
    reader = Reader(chain, spark)
    # nobody owes at a stable rate yet: accounts are not asked for it
    assert len(reader.position(user).debt) == 1
    calm = len(reader.venue.calls([user], reader.seen[reader.venue.id]))
    usdc = spark.token("USDC").address
    chain.send(user, spark.pool, BORROW, usdc, 9_000 * 10**6, STABLE, 0, user)
    chain.mine(chain.block().timestamp_s + 90 * DAY_S)
    snapshot = reader.snapshot([user], wallet=keeper)
    assert len(reader.venue.calls([user], reader.seen[reader.venue.id])) == calm + 1
    (position,) = snapshot.positions
    fixed, variable = position.debt
    assert fixed.amount.token.symbol == "USDC (stable rate)"
    assert fixed.amount.units > 9_000 * 10**6
    assert "stable_rate" in position.row.flags
    refused = reader.venue.can(Repay(amount=fixed.amount), position, snapshot.means)
    assert refused is not None
    assert refused.code == "reserve_unread"
    part = Repay(amount=Amount(token=variable.amount.token, units=10 * 10**6))
    assert reader.venue.can(part, position, snapshot.means) is None
    assert reader.venue.after([part], position).debt[0] == fixed


def test_liquidation__half_of_the_reserves_debt__moves_what_the_rule_says(
    chain: Chain, spark: Deployment, loan: Reader
) -> None:
    user, liquidator = spark.roles.actors[1], spark.roles.liquidator
    usdc, weth = spark.token("USDC"), spark.token("WETH")
    chain.send(chain.accounts[0], usdc.address, "mint(address,uint256)", liquidator, 10**12)
    chain.send(liquidator, usdc.address, "approve(address,uint256)", spark.pool, 2**256 - 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    set_prices(chain, spark, {"WETH": 1_900 * USD8})
    before = loan.position(user)
    assert 0.95 < (before.health_wad or 0) / WAD < 1
    held = {h.amount.token.symbol: h for h in (*before.collateral, *before.debt)}
    case = Case(
        health_wad=before.health_wad or 0,
        collateral_units=held["WETH"].amount.units,
        collateral_price=held["WETH"].price_base,
        collateral_unit=weth.unit,
        debt_units=held["USDC"].amount.units,
        debt_price=held["USDC"].price_base,
        debt_unit=usdc.unit,
        total_debt_base=held["USDC"].value_base,
        bonus_bps=held["WETH"].bonus_bps,
        bonus_fee_bps=held["WETH"].bonus_fee_bps,
        cover_units=2**200,
    )
    expected = liquidate(LINE_3_0, case)
    assert isinstance(expected, Liquidation)
    assert expected.repaid_units == closable_units(LINE_3_0, case)
    call = "liquidationCall(address,address,address,uint256,bool)"
    chain.send(liquidator, spark.pool, call, weth.address, usdc.address, user, 2**256 - 1, False)
    signature = "balanceOf(address)(uint256)"
    assert chain.call(weth.address, signature, liquidator) == expected.seized_units
    assert 10**12 - chain.call(usdc.address, signature, liquidator) == expected.repaid_units
