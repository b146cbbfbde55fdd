"""Executors of both lines of Aave v3 and of Morpho Blue (real), of Compound v3 and Maker (doubles): random states
rescued each way, a daemon's night.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.deploy_aave_v3_0 import LENT_USD, deploy_aave_v3_0
from anvil.deploy_compound_v3 import deploy_compound_v3_on
from anvil.deploy_maker import deploy_maker_on, proxy_of, set_delayed
from anvil.deploy_morpho import deploy_morpho
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.cli import owner_grant
from keeper.cli.executor import verify
from keeper.cli.owner_grant import Asked
from keeper.clock import SystemClock
from keeper.config import load
from keeper.decision import plain_outlook
from keeper.executor import grants_signed
from keeper.executor.desk import Desk
from keeper.inspection import inspect
from keeper.journal.write import Journal
from keeper.model import Call, Proposal
from keeper.seams import Strategy
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.aave_v3.cushion import UNITS
from keeper.venues.maker import Maker
from strategies.deleverage import Deleverage
from strategies.repay import RepayFromWallet
from tests.bench.figures import record
from tests.executor_daemon import WAD, changed
from tests.rescue_states import WALLET, WAYS, Rescued, policy, rescued
from tests.venue_executor_stage import Ground, VenueExecutor
from tests.venue_stage import Guarded, home, running

SAMPLE = 3
STATES = 200
SEED = 20_261_121
BLOCKS_MAX = 8
LOOKS_MAX = 240
EVIDENCE = {
    "aave_v3": "real_bytecode",
    "aave_v3_0": "real_bytecode",
    "morpho_blue": "real_bytecode",
    "compound_v3": "own_double",
    "maker": "own_double",
}
KINDS = tuple(EVIDENCE)
PAY_IN = "repayFromReserve(bytes32,uint64,address,uint256,uint64)"
GAS_MAX = {"aave_v3_0": 620_000}
"""Of a sale, where it is not 500,000."""
USED_PCT = 99
"""Of the ether lent there: its index grows by a third a year, so that its roundings show."""
LOANS = {"maker": (10 * WAD, 14_450 * 10**6), "aave_v3_0": (10 * WAD, 17_200 * 10**6)}
"""Of the night, where a loan is not 10 WETH against 18,800 dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One keeper over all of them."""

    at: Guarded
    stages: Mapping[str, VenueExecutor]


@pytest.fixture(scope="module")
def built(upstream: Anvil, deployment: Deployment) -> Iterator[Ground]:
    """The other protocols beside the Aave market, for this file."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    site, comet = deploy_morpho(client, deployment), deploy_compound_v3_on(client, deployment)
    vaults, pooled = deploy_maker_on(client, deployment)
    spark = deploy_aave_v3_0(client, pooled)
    _borrow_nearly_all(client, spark)
    yield Ground(chain=client, deployment=pooled, morpho=site, comet=comet, maker=vaults, spark=spark)
    client.revert(snapshot)
    client.close()


def _borrow_nearly_all(chain: Chain, spark: Deployment) -> None:
    units = {
        symbol: usd * spark.token(symbol).unit // Actors(chain, spark).price_usd8(symbol) * 10**8
        for symbol, usd in (("wstETH", 10 * LENT_USD), ("WETH", LENT_USD * USED_PCT // 100))
    }
    whale = Borrower(
        account=spark.roles.liquidator, collateral={"wstETH": units["wstETH"]}, debt={"WETH": units["WETH"]}
    )
    Actors(chain, spark).open(whale)


@pytest.fixture
def ground(built: Ground, chain: Chain) -> Ground:
    return replace(built, chain=chain)


@pytest.mark.anvil
@pytest.mark.parametrize("kind", KINDS[1:])
def test_rescues__random_states__each_way_reaches_what_it_promised(ground: Ground, kind: str) -> None:
    _held(rescued(ground, kind, SAMPLE, seed=SEED), SAMPLE, WAYS)


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", KINDS)
def test_rescues__200_random_states__each_way_reaches_what_it_promised(ground: Ground, kind: str) -> None:
    every = (*WAYS, *WALLET)
    found = rescued(ground, kind, STATES, seed=SEED, ways=every)
    for way, done in sorted(found.done.items()):
        record(
            f"rescues_{way}_{kind}", done, unit="states", bound=f"= {STATES}", holds=done == STATES,
            evidence=EVIDENCE[kind], n=STATES, seed=SEED,
        )  # fmt: skip
    gas = int(median(found.gas["deleverage"]))
    most = GAS_MAX.get(kind, 500_000)
    record(
        f"deleverage_gas_on_{kind}", gas, unit="gas", bound=f"<= {most}", holds=gas <= most,
        evidence=EVIDENCE[kind], n=STATES, seed=SEED,
    )  # fmt: skip
    _held(found, STATES, every)


def _held(found: Rescued, states: int, ways: tuple[Strategy, ...]) -> None:
    assert found.wrong == []
    assert found.done == {way.name: states for way in ways}, found.refused


@pytest.fixture
def guarded(tmp_path: Path, upstream: Anvil, ground: Ground) -> Night:
    """Borrowers with empty wallets, an Executor each, and a keeper whose wallet holds gas and nothing else."""
    owners = ground.deployment.roles.actors
    ground.oracles(3_000)
    kinds = ("morpho_blue", "compound_v3", "maker", "aave_v3_0")
    # the vault is held by its owner's proxy, as most are
    stages = {
        kind: VenueExecutor(ground, kind, owner, proxied=True)
        for kind, owner in zip(kinds, (*owners[:2], owners[3], owners[2]), strict=True)
    }
    at = home(
        tmp_path,
        upstream,
        ground.chain,
        [(stage.settings, {kind: stage.account}) for kind, stage in stages.items()],
        multicall=ground.deployment.multicall,
        native=ground.deployment.token("WETH").address,
    )
    uniswap = ground.deployment.uniswap
    second = f"[[chains.endpoints]]\nname = 'anvil-2'\nurl = '{upstream.url}'\nrate_per_s = 1000\n"
    words = {
        "native_token =": f"uniswap_quoter = '{uniswap.quoter}'\nnative_token =",
        "[[venues]]": f"{second}[[venues]]",
        "[policies.default]\n": "[policies.default]\nstrategies = ['repay', 'add_collateral', 'deleverage']\n",
    }
    for kind, stage in stages.items():
        words[f'label = "{kind}"'] = f"label = '{kind}'\nexecutor = '{stage.executor}'"
        stage.bot, stage.stranger = at.wallet, owners[4]
        stage.borrow(*LOANS.get(kind, (10 * WAD, 18_800 * 10**6)))
    changed(at.config, words)
    at = replace(at, settings=load(at.config))
    for stage in stages.values():
        _granted(at, stage)
    with Journal.open(at.settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", at.settings.digest, "test", "for the night")
    return Night(at=at, stages=stages)


def _granted(at: Guarded, stage: VenueExecutor) -> None:
    """The owner signs what ``keeper grant`` prints, the whole grant as a message that a stranger hands in."""
    found = asyncio.run(owner_grant.wanted(at.settings, Asked(label=stage.kind, amounts={"WETH": "10"})))
    assert found.refused == ()
    assert found.owner == stage.owner
    permit, before = stage.seat.permit, found.signings[:-1]
    if permit is None:  # a finite allowance, and the unit that this line's rounding asks for
        assert isinstance(stage.reader.venue, AaveV3)
        assert found.signings[-1].call in [c.gives for c in stage.reader.venue.cushions(stage.executor)]
        for signing in before:
            stage.chain.send(stage.owner, signing.call.target, signing.call.data)
        (verdict,) = [row[-1] for row in asyncio.run(verify(at.settings)) if row[0] == stage.kind]
        assert verdict.startswith("it keeps nothing of aWETH")
        told = {f.code for f in asyncio.run(inspect(at.settings)) if f.subject == stage.kind}
        assert "no_cushion" in told
        stage.chain.send(stage.owner, found.signings[-1].call.target, found.signings[-1].call.data)
        return
    assert found.signings[-1].call == permit.given(stage.executor, True)
    if found.typed is None:  # Maker knows no signed grant
        assert stage.kind == "maker"
        for signing in found.signings:
            stage.chain.send(stage.owner, signing.call.target, signing.call.data)
        return
    for signing in before:
        stage.chain.send(stage.owner, signing.call.target, signing.call.data)
    signature = bytes.fromhex(stage.chain.rpc("eth_signTypedData_v4", stage.owner, found.typed)[2:])
    block = stage.chain.block()
    words = asyncio.run(stage.reader.read(block)(grants_signed.asked(permit, stage.owner)))
    who = (block.chain_id, stage.owner, stage.executor)
    shown: Any = found.typed["message"]
    *_, deadline = shown.values()
    deadline_s = int(deadline)
    message = grants_signed.message(permit, who, deadline_s - grants_signed.TERM_S, words)
    assert message is not None
    call = grants_signed.handed_in(message, signature)
    stage.chain.send(stage.stranger, call.target, call.data)


@pytest.mark.anvil
def test_daemon__wallet_empty_after_a_crash__all_are_at_target_after_one_transaction_each(
    ground: Ground, guarded: Night
) -> None:
    at, stages = guarded.at, guarded.stages
    _told(at, stages)
    # just above 1: health 1.006 on Morpho, 1.053 on Compound, 1.05 of the vault
    stages["morpho_blue"].trade_to("WETH", "USDC", 500, 2_200)
    stages["maker"].trade_to("WETH", "DAI", 500, 2_200)
    held = {kind: stage.leftovers() for kind, stage in stages.items()}
    with running(at) as block:
        block()
        assert not at.intents()
        # the next hour's price is known first: the vault is in danger here, and its Executor may not act yet
        ground.chain.rpc("evm_setAutomine", True)
        set_delayed(ground.chain, ground.vaults, 3_000 * WAD, 2_200 * WAD)
        ground.chain.rpc("evm_setAutomine", False)
        for _ in range(LOOKS_MAX):  # delayed prices are looked at by the second, not by the block
            block()
            if "not_triggered" in _refusals(at, stages["maker"].account):
                break
            time.sleep(0.5)
        assert "not_triggered" in _refusals(at, stages["maker"].account)
        assert not at.intents()
        ground.chain.rpc("evm_setAutomine", True)
        ground.oracles(2_200)
        ground.chain.rpc("evm_setAutomine", False)
        assert 1.0 < stages["morpho_blue"].health() / WAD < 1.01
        for _ in range(BLOCKS_MAX):
            block()
            if all(at.rescues(stage.account) for stage in stages.values()):
                break
        block()
    for kind, stage in stages.items():
        assert at.rescues(stage.account) == ["deleverage"], kind
        assert 1.25 <= stage.health() / WAD <= 1.40, kind
        assert stage.leftovers() == held[kind] == ({"aWETH": UNITS} if kind == "aave_v3_0" else {})
        assert stage.seq() == 1
        assert stage.actors.balance("USDC", stage.owner) == 0
    assert len(at.intents()) == len(stages)


def _refusals(at: Guarded, account: str) -> set[str]:
    """Codes with which ways to rescue that account were refused."""
    told = [e for e in at.entries("decision") if account in e.subject]
    return {str(r["code"]) for e in told for r in e.data.get("rejected", ())}  # type: ignore[attr-defined]


def _told(at: Guarded, stages: Mapping[str, VenueExecutor]) -> None:
    """What the commands say before the night: code as committed, and nothing that would refuse by night."""
    rows = asyncio.run(verify(at.settings))
    assert [row[-1] for row in rows] == ["as committed"] * len(stages)
    for kind, stage in stages.items():
        back = asyncio.run(owner_grant.revoked(at.settings, kind))
        permit, taken = stage.seat.permit, back.signings[0].call
        assert back.owner == stage.owner
        if permit is not None:
            assert taken == permit.given(stage.executor, False)
        else:
            assert taken.target == stage.seat.receipts[stage.token("WETH")]
    found = asyncio.run(inspect(at.settings))
    wrong = {
        "unreadable",
        "no_grant",
        "grant_too_small",
        "grant_unlimited",
        "foreign_authorization",
        "executor",
        "no_cushion",
    }
    assert wrong.isdisjoint(f.code for f in found), found


@pytest.mark.anvil
@pytest.mark.parametrize("kind", KINDS[1:])
def test_refusals__revoked_paused_or_acted_on__are_the_same_here_and_there(ground: Ground, kind: str) -> None:
    stage = VenueExecutor(ground, kind, ground.deployment.roles.actors[0])
    ground.oracles(3_000)
    stage.configure(stage.terms())
    stage.authorise()
    # a vault three times as large: what is left of its debt is above the dust limit
    stage.borrow(*((30 * WAD, 36_000 * 10**6) if kind == "maker" else (10 * WAD, 18_000 * 10**6)))
    if kind == "maker":
        # the delayed price fell and nobody poked: what the Executor does first counts here already
        fallen = 2_150 * WAD
        ground.chain.send(stage.stranger, ground.vaults.osm, "file(uint128,uint128)", fallen, fallen)
    else:
        ground.oracles(2_150)
    stage.trade_to("WETH", stage.owes, 500, 2_150)
    ground.chain.rpc("anvil_mine", "0x6")
    desk = stage.desk()
    planned, call = _sale(stage, desk)
    assert planned == ""
    before = ground.chain.snapshot()
    stage.authorise(False)
    assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("no_grant", "GrantShort")
    stage.authorise()
    stage.by_owner("pause()")
    assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("paused", "IsPaused")
    stage.by_owner("unpause()")
    # above every trigger and, by more than the interest of a slow hour, below every target
    ground.oracles(2_300 if kind == "maker" else 2_750)
    assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("not_triggered", "NotTriggered")
    if isinstance(stage.reader.venue, Maker):
        # a lower price of the next hour counts here, and the Executor still goes by the Vat's
        stage.reader.venue.foreseen_wad = 2_000 * WAD
        assert stage.health() < stage.terms().trigger
        assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("not_triggered", "NotTriggered")
        stage.reader.venue.foreseen_wad = None
    ground.chain.revert(before)
    if kind == "maker":
        before = ground.chain.snapshot()
        _given_away(stage, desk, call)
        ground.chain.revert(before)
    stage.sends(call)
    ground.oracles(1_850)
    assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("cooldown", "WrongSeq")


def _given_away(stage: VenueExecutor, desk: Desk, call: Call) -> None:
    """The vault, handed to a contract that says it obeys its owner: nothing is sold of it, nothing paid in."""
    vaults, number, units = stage.ground.vaults, stage.settings.vaults[0], 5_000 * WAD
    stage.actors.mint("DAI", stage.executor, units)
    stage.actors.mint("DAI", stage.bot, units)
    stage.chain.send(stage.bot, stage.token("DAI"), "approve(address,uint256)", stage.settings.proxy, units)
    pay_in = Call(
        target=stage.executor,
        data=encode_call(PAY_IN, stage.position, stage.seq(), stage.token("DAI"), units, 2**40),
    )
    assert _refusal(stage, pay_in, dry=True) == ""
    liar = proxy_of(stage.chain, stage.owner)
    stage.chain.send(stage.owner, vaults.manager, "give(uint256,address)", number, liar)
    assert (_sale(stage, desk)[0], _refusal(stage, call)) == ("vault_given_away", "VaultUnknown")
    assert _refusal(stage, pay_in) == "VaultUnknown"
    # the keeper's own wallet, which the Vat would let
    shot = stage.snapshot(desk)
    (position,) = shot.positions
    said = RepayFromWallet().propose(
        position, plain_outlook(position, policy(), ""), policy(), shot.means, stage.reader.venue, shot.block
    )
    assert not isinstance(said, Proposal)
    assert said.code == "vault_given_away"


def _sale(stage: VenueExecutor, desk: Desk) -> tuple[str, Call]:
    """Why the strategy would not sell now, or the call with which it would."""
    shot, venue = stage.snapshot(desk), stage.reader.venue
    (position,) = shot.positions
    said = Deleverage().propose(
        position, plain_outlook(position, policy(), ""), policy(), shot.means, venue, shot.block
    )
    if not isinstance(said, Proposal):
        return said.code, Call(target=stage.executor, data=b"")
    return "", venue.encode(said.steps[0], position)


def _refusal(stage: VenueExecutor, call: Call, *, dry: bool = False) -> str:
    """The contract's own word on it; ``dry``: undone where it takes it."""
    before = stage.chain.snapshot() if dry else ""
    try:
        stage.sends(call)
    except Reverted as reverted:
        return reverted.name
    finally:
        if dry:
            stage.chain.revert(before)
    return ""
