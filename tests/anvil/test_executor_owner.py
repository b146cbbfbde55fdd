"""What an owner is told to sign makes the rescue possible; what does not fit is named before the night."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from keeper.cli import app, owner_grant
from keeper.config import load
from keeper.executor.grants import transaction_builder
from keeper.executor.verify import executor_address
from tests.anvil.test_executor_daemon import pool_at
from tests.anvil_daemon import keeper, night
from tests.executor_daemon import WAD, Owned, changed, owned

pytestmark = pytest.mark.anvil


def codes(there: Owned) -> dict[str, str]:
    """What ``keeper check`` finds: code -> every why of it."""
    # in this process: a start of the interpreter for each question is most of what asking costs
    told = json.loads(CliRunner().invoke(app, ["check", "--json", "--config", str(there.on.config)]).stdout)
    found: dict[str, str] = {}
    for finding in told["findings"]:
        found[finding["code"]] = f"{found.get(finding['code'], '')} {finding['why']}"
    return found


def test_grant__signed_by_the_owner_as_printed__lets_the_daemon_rescue(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        assert "grant_expired" in codes(there)
        assert keeper(on, "executor", "verify").returncode == 1

        line = ("grant", "--executor", there.label, "--amount", "WETH=8")
        told = json.loads(keeper(on, *line, "--json").stdout)
        router = on.market.uniswap.router
        assert [s["signs"] for s in told["signs"] if "Router" in s["signs"]] == [f"setRouter({router}, true)"]
        refused = keeper(on, *line, "--safe")
        assert refused.returncode != 0
        assert "it is no Safe" in refused.stderr
        wanted = asyncio.run(
            owner_grant.wanted(load(on.config), owner_grant.Asked(label=there.label, amounts={"WETH": "8"}))
        )
        safe: Any = transaction_builder(wanted.chain_id, wanted.owner, wanted.signings)
        assert [t["data"] for t in safe["transactions"]] == [s["data"] for s in told["signs"]]
        assert (safe["chainId"], safe["meta"]["createdFromSafeAddress"]) == ("31337", executor.owner)
        assert all(s["signs"] in safe["meta"]["description"] for s in told["signs"])
        assert told["owner"] == executor.owner
        for signs in told["signs"]:
            on.chain.send(executor.owner, signs["to"], bytes.fromhex(signs["data"][2:]))

        verified = keeper(on, "executor", "verify", "--json")
        assert verified.returncode == 0, verified.stdout
        assert json.loads(verified.stdout)["executors"][0]["owner"] == executor.owner
        assert json.loads(verified.stdout)["executors"][0]["routers"] == "allowed"
        told_venues = json.loads(verified.stdout)["executors"][0]["venues"]
        assert f"aave {on.market.pool}, uniswap {on.market.uniswap.factory}, " in told_venues
        found = codes(there)
        assert "router_not_allowed" not in found
        _router_taken_back(there, line, router)
        assert not {
            "no_grant",
            "grant_too_small",
            "grant_expired",
            "unknown_position",
            "executor_terms",
        } & set(found), found
        assert "no_executor" in found  # the other positions, whose policies would sell

        pool_at(there, "WETH", 80)
        there.arm()
        with night(on) as story:
            story.falls(WETH=0.8, wstETH=0.8)
            story.block()
            story.block()
            assert story.rescues(there.label) == 1, story.guard.tail()
            assert story.health(there.label) >= 1.25 * WAD
        _deployed_as_printed(there)


def _deployed_as_printed(there: Owned) -> None:
    """An owner without an Executor signs what is printed, in order; it lies where the daemon will look for it."""
    on, other = there.on, there.on.pairs[1]
    on.chain.rpc("evm_setAutomine", True)
    asked = owner_grant.Asked(label=other.label, amounts={"WETH": "3"}, deploy=True, slippage_bps=300)
    found = asyncio.run(owner_grant.wanted(load(on.config), asked))
    assert found.signings[0].signs.startswith("deploy(")
    assert found.refused == ()
    assert "at most 3 % worse" in next(
        s.meaning for s in found.signings if s.signs.startswith("setPosition(")
    )
    place = executor_address(other.guarded)
    assert place in found.signings[0].meaning
    for signing in found.signings:
        on.chain.send(other.guarded, signing.call.target, signing.call.data)
    assert on.chain.call(place, "owner()(address)") == other.guarded
    # it is there, so there is nothing left to deploy; and nothing that loosens within the first hour
    again = asyncio.run(owner_grant.wanted(load(on.config), asked))
    assert [s.call for s in again.signings] == [s.call for s in found.signings[1:] if "Router" not in s.signs]


def _router_taken_back(there: Owned, line: tuple[str, ...], router: str) -> None:
    """Asked for as long as it is not allowed, and no longer; named by check and by verify meanwhile."""
    again = json.loads(keeper(there.on, *line, "--json").stdout)
    assert not [s for s in again["signs"] if "Router" in s["signs"]]
    there.executor.by_owner("setRouter(address,bool)", router, False)
    assert f"router {router}: " in codes(there)["router_not_allowed"]
    verified = keeper(there.on, "executor", "verify", "--json")
    assert verified.returncode == 0
    assert json.loads(verified.stdout)["executors"][0]["routers"] == f"not allowed: {router}"
    again = json.loads(keeper(there.on, *line, "--json").stdout)
    assert [s["signs"] for s in again["signs"] if "Router" in s["signs"]] == [f"setRouter({router}, true)"]


def look_alike(there: Owned) -> str:
    """A contract with the Executor's code and immutables, whose constructor wrote to storage first."""
    chain = there.on.chain
    code = bytes.fromhex(chain.rpc("eth_getCode", there.executor.executor, "latest")[2:])
    size = f"{len(code):04x}"
    # SSTORE(0, 1); CODECOPY(0, 16, size); RETURN(0, size)
    hostile = bytes.fromhex(f"600160005561{size}806100105f395ff3") + code
    made = str(chain.send(there.executor.stranger, None, hostile)["contractAddress"])
    assert chain.rpc("eth_getCode", made, "latest")[2:] == code.hex()
    assert int(chain.rpc("eth_getStorageAt", made, "0x0", "latest"), 16) == 1
    assert chain.call(made, "owner()(address)") == there.executor.owner
    return str(to_checksum_address(made))


def test_check__what_would_fail_at_night__is_named_by_day(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        terms = executor.terms(trigger=126 * WAD // 100, target=136 * WAD // 100, max=150 * WAD // 100)
        executor.configure(terms)
        executor.grant("WETH", 2**256 - 1)
        found = codes(there)
        assert "policy target 1.25, executor trigger 1.26" in found["executor_terms"]
        assert "without limit" in found["grant_unlimited"]
        executor.grant("WETH", WAD // 10)
        assert "grant, cap and position leave 0.1" in codes(there)["grant_too_small"]
        executor.grant("WETH", 0)
        assert "no_grant" in codes(there)
        on.chain.send(executor.guardian, executor.executor, "pause()")
        assert "paused" in codes(there)
        alike = look_alike(there)
        changed(on.config, {executor.executor: alike})
        told = codes(there)["contract"]
        assert "UNPROVEN" in told
        assert executor.executor in told
        verified = keeper(on, "executor", "verify", "--json")
        assert verified.returncode == 1
        assert json.loads(verified.stdout)["executors"][0]["verdict"].startswith("UNPROVEN: our factory puts")
        changed(on.config, {f"executor = '{alike}'": f"executor = '{on.market.pool}'"})
        assert "other code" in codes(there)["contract"] or "bytes of code" in codes(there)["contract"]
        assert keeper(on, "executor", "verify").returncode == 1
        changed(
            on.config,
            {f"executor = '{on.market.pool}'": "executor = '0x000000000000000000000000000000000000dEaD'"},
        )
        assert "no contract there" in codes(there)["contract"]
