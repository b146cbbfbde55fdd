"""One real daemon lives through one fault after another: each is named, journaled and alarmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from anvil import shock
from anvil.compile import compile_aave
from anvil.deploy_aave_v3 import USD, ZERO
from anvil.scenario import load_scenario
from anvil.stage import stage
from tests.anvil_daemon import (
    Night,
    armed,
    keeper,
    night,
    owes,
    rewritten,
    second_market,
    submit,
    until,
)

pytestmark = pytest.mark.anvil

TOPUP = """
[policies.topup]
warn = "1.35"
trigger = "1.20"
target = "1.25"
emergency = "1.08"
hysteresis = "0.02"
cooldown_blocks = 2
strategies = ["add_collateral"]
[policies.topup.caps]
per_action_usd = 50000
per_day_usd = 200000
gas_usd_max = 100
gas_usd_emergency = 500
"""
TARGET_WAD = 1_249 * 10**15
"""The target of 1.25, less the interest of a block or two."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The crash's stage; "mixed" may only be topped up. The tests of this file are one night, in order."""
    with stage(load_scenario("crash"), tmp_path_factory.mktemp("faults"), mode="live") as on:
        mixed = f'account = "{on.pairs[1].guarded}"\npolicy = '
        rewritten(on, {f"{mixed}'plain'": f"{mixed}'topup'"})
        other = second_market(on)
        owes(other, on.pairs[0].guarded)
        named = f'name = "other"\nkind = "aave_v3"\nchain = "local"\nprovider = "{other.market.provider}"'
        venue = f"[[venues]]\n{named}"
        on.config.write_text(f"{on.config.read_text()}{TOPUP}{venue}\n")
        armed(on)
        with night(on) as lives:
            pid = lives.guard.pid
            yield lives
            # whatever happened, nobody restarted it
            assert lives.guard.pid == pid
            lives.block()


def test_account__when_it_owes_on_a_market_that_no_policy_covers__then_it_is_told_at_the_start(
    lived: Night,
) -> None:
    until(lambda: bool(lived.alarms("plain", "unguarded")))
    (said,) = [e for e in lived.entries("alarm", "plain") if e.data["code"] == "unguarded"]
    assert said.data["severity"] == "WARNING"
    assert "no policy covers" in said.why
    assert lived.on.market.provider not in said.subject
    assert lived.alarms("mixed", "unguarded") == []


def test_feed__when_it_reverts__then_only_its_holders_are_unknown_and_never_healthy(lived: Night) -> None:
    before = lived.position("mixed")
    assert before["level"] in ("SAFE", "WATCH")
    shock.set_feed_broken(lived.on.chain, lived.on.market, "WBTC", wait=False)
    view = lived.block()

    mixed = lived.position("mixed", view)
    assert mixed["level"] == "UNKNOWN"
    assert mixed["health_wad"] is None
    assert "WBTC" in mixed["unreadable"]
    assert mixed["last_known"] == {
        "level": before["level"],
        "health_wad": before["health_wad"],
        "block": view["block"] - 1,
    }
    for label in ("plain", "e-mode loop"):
        assert lived.position(label, view)["level"] in ("SAFE", "WATCH")
        assert int(lived.position(label, view)["health_wad"]) == lived.health(label)
    assert lived.alarms("mixed", "unknown") == ["CRITICAL"]
    assert lived.alarms("plain", "unknown") == []
    assert "-> UNKNOWN" in lived.entries("level", "mixed")[-1].why
    assert "WBTC" in lived.entries("decision", "mixed")[-1].why

    done = keeper(lived.on, "positions", "--json")
    assert done.returncode == 1, done.stderr
    shown = {p["label"]: p for p in json.loads(done.stdout)["positions"]}
    assert (shown["mixed"]["level"], shown["mixed"]["health"]) == ("UNKNOWN", None)
    assert shown["mixed"]["health_wad"] is None
    assert "WBTC" in shown["mixed"]["unreadable"]
    assert shown["plain"]["health_wad"] == str(lived.health("plain"))


def test_feed__when_it_answers_again__then_the_alarm_is_cleared_and_health_is_back(lived: Night) -> None:
    shock.set_feed_broken(lived.on.chain, lived.on.market, "WBTC", False, wait=False)
    view = lived.block()
    mixed = lived.position("mixed", view)
    assert mixed["level"] in ("SAFE", "WATCH")
    assert mixed["last_known"] is None
    assert int(mixed["health_wad"]) == lived.health("mixed")
    assert lived.alarms("mixed", "unknown") == ["CRITICAL", "CLEARED"]
    assert lived.nonce == _granted(lived)


def test_oracle__when_replaced__then_unknown_for_one_block_and_loaded_anew(lived: Night) -> None:
    """Static facts that changed are loaded at once, not when the hourly job comes round."""
    on = lived.on
    on.chain.rpc("evm_setAutomine", True)
    tokens = [t.address for t in on.market.tokens]
    feeds = [t.feed for t in on.market.tokens]
    code = compile_aave()["AaveOracle"]
    oracle = on.chain.deploy(code, on.market.provider, tokens, feeds, ZERO, ZERO, USD)
    on.chain.rpc("evm_setAutomine", False)
    submit(on, on.market.provider, "setPriceOracle(address)", oracle)
    view = lived.block()
    assert {p["level"] for p in view["positions"]} == {"UNKNOWN"}
    assert {p["health_wad"] for p in view["positions"]} == {None}
    for _ in range(5):
        view = lived.block()
        if all(p["level"] != "UNKNOWN" for p in view["positions"]):
            break
    assert {p["label"]: int(p["health_wad"]) for p in view["positions"]} == {
        pair.label: lived.health(pair.label) for pair in on.pairs
    }
    assert lived.alarms("plain", "unknown") == ["CRITICAL", "CLEARED"]
    assert "oracle changed" in lived.logged("market loaded anew")[0]["why"]


def test_supply_cap__when_reached_and_nothing_else_is_allowed__then_named_and_acted_once_lifted(
    lived: Night,
) -> None:
    shock.set_supply_cap(lived.on.chain, lived.on.market, "WETH", 1, wait=False)
    view = lived.falls(WETH=0.86, wstETH=0.86, WBTC=0.86)
    assert lived.position("mixed", view)["level"] == "ACT"
    assert lived.position("plain", view)["level"] in ("SAFE", "WATCH")
    assert lived.alarms("mixed", "venue_refuses") == ["CRITICAL"]
    said = lived.entries("decision", "mixed")[-1]
    assert "supply cap of WETH is reached" in said.why
    rejected: Any = said.data["rejected"]
    assert [(r["strategy"], r["code"]) for r in rejected] == [("add_collateral", "venue_refuses")]
    assert lived.rescues("mixed") == 0

    shock.set_supply_cap(lived.on.chain, lived.on.market, "WETH", 0, wait=False)
    lived.block()
    view = lived.block()
    assert lived.rescues("mixed") == 1
    assert lived.health("mixed") >= TARGET_WAD
    assert lived.alarms("mixed", "venue_refuses") == ["CRITICAL", "CLEARED"]


def test_pause__when_repaying_is_impossible__then_collateral_is_added_and_the_pause_is_alarmed(
    lived: Night,
) -> None:
    on = lived.on
    for symbol in ("USDC", "WETH"):
        shock.set_paused(on.chain, on.market, symbol, wait=False)
    view = lived.falls(WETH=0.8, wstETH=0.8, WBTC=0.8)
    assert lived.position("plain", view)["level"] == "ACT"
    assert int(lived.position("plain", view)["health_wad"]) == lived.health("plain")
    assert lived.alarms("plain", "venue_refuses") == ["CRITICAL"]
    rejected: Any = lived.entries("decision", "plain")[-1].data["rejected"]
    assert [(r["strategy"], r["code"], "paused" in r["why"]) for r in rejected] == [
        ("repay", "venue_refuses", True),
        ("add_collateral", "venue_refuses", True),
    ]
    lived.block()
    assert lived.rescues("plain") == 0

    shock.set_paused(on.chain, on.market, "WETH", False, wait=False)
    lived.block()
    lived.block()
    assert [i.plan.strategy for i in lived.intents("plain")] == ["add_collateral"]
    assert lived.rescues("plain") == 1
    assert lived.health("plain") >= TARGET_WAD
    assert lived.rescues("mixed") == 2

    shock.set_paused(on.chain, on.market, "USDC", False, wait=False)
    lived.block()
    assert lived.alarms("plain", "venue_refuses") == ["CRITICAL", "WARNING", "CLEARED"]


def test_wallet__when_empty__then_named_and_acted_once_filled(lived: Night) -> None:
    on = lived.on
    held = {s: on.actors.balance(s, _wallet(lived)) for s in ("USDC", "WETH", "DAI")}
    for symbol in held:
        _deal(lived, symbol, 0)
    view = lived.falls(WETH=0.75, wstETH=0.75, WBTC=0.75)
    assert lived.position("plain", view)["level"] == "ACT"
    assert lived.alarms("plain", "empty_wallet") == ["CRITICAL"]
    assert lived.alarms("mixed", "empty_wallet") == ["CRITICAL"]
    assert "the wallet holds no USDC" in lived.entries("decision", "plain")[-1].why
    lived.block()
    assert lived.rescues("plain") == 1

    for symbol, units in held.items():
        _deal(lived, symbol, units)
    lived.block()
    lived.block()
    assert lived.rescues("plain") == 2
    assert lived.health("plain") >= TARGET_WAD
    assert lived.alarms("plain", "empty_wallet") == ["CRITICAL", "CLEARED"]


def test_gas_tank__when_empty__then_named_and_acted_once_filled(lived: Night) -> None:
    on = lived.on
    on.chain.rpc("anvil_setBalance", _wallet(lived), "0x0")
    view = lived.falls(WETH=0.7, wstETH=0.7, WBTC=0.75)
    assert lived.position("plain", view)["level"] == "ACT"
    assert lived.alarms("plain", "gas_tank") == ["CRITICAL"]
    lived.block()
    # every block tries anew: what the guard refused starts no cooldown
    refused = [e.block_number for e in lived.entries("refusal", "plain") if e.data["code"] == "gas_tank"]
    assert refused == [view["block"], view["block"] + 1]
    assert lived.rescues("plain") == 2

    on.chain.rpc("anvil_setBalance", _wallet(lived), hex(10 * 10**18))
    lived.block()
    lived.block()
    assert lived.rescues("plain") == 3
    assert lived.health("plain") >= TARGET_WAD
    assert lived.alarms("plain", "gas_tank") == ["CRITICAL", "CLEARED"]


def test_night__when_over__then_every_transaction_is_a_rescue_and_nobody_was_liquidated(lived: Night) -> None:
    done = sum(lived.rescues(p.label) for p in lived.on.pairs)
    assert lived.nonce == _granted(lived) + done
    assert lived.entries("stop") == []
    assert [e.why for e in lived.entries("start") if not e.subject].count("live start") == 1
    standing = {a["code"]: a["severity"] for a in lived.logged("alarm") if a["severity"] == "CRITICAL"}
    assert "broken" not in standing
    for pair in lived.on.pairs:
        assert lived.on.actors.account(pair.guarded).health_wad > 10**18


def _wallet(lived: Night) -> str:
    assert lived.settings.wallet.address is not None
    return lived.settings.wallet.address


def _deal(lived: Night, symbol: str, units: int) -> None:
    """Set a balance out of nothing: the wallet's nonce must not move."""
    token = lived.on.market.token(symbol).address
    lived.on.chain.rpc("anvil_dealERC20", _wallet(lived), token, hex(units))


def _granted(lived: Night) -> int:
    """Approvals that were sent before the night: two tokens to each of two markets."""
    return 2 * 2
